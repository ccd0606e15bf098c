import { describe, expect, test } from 'vitest'
import { BufferPool } from 'wraith-transport'
import {
  backends,
  bind,
  deliver,
  dgram,
  drain,
  expectAllHome,
  failsWith,
  texts,
  turns,
} from './support/udp.js'
import { resultOf } from './support/udp-process.js'

test('without options: every IPv4 address, a port of the kernel’s, a pool of its own', async () => {
  const socket = await bind({ address: '0.0.0.0' })
  expect(socket.address()).toMatchObject({ address: '0.0.0.0', family: 'IPv4' })
  expect(socket.address().port).toBeGreaterThan(0)
  expect(socket.pool).toMatchObject({ bufferSize: 2048, capacity: 1024 })
  expect(socket.info()).toMatchObject({ backend: 'recvmmsg', batchSize: 64, timestamps: false })
  expect(Object.isFrozen(socket.address())).toBe(true)
  expect(Object.isFrozen(socket.info())).toBe(true)
})

test('type and address say the family', async () => {
  expect((await bind({ address: '::1' })).address().family).toBe('IPv6')
  expect((await bind({ type: 'udp6', address: '::' })).address()).toMatchObject({
    address: '::',
    family: 'IPv6',
  })
})

test('a host name is resolved', async () => {
  const socket = await bind({ address: 'localhost', type: 'udp4' })
  expect(socket.address().address).toMatch(/^127\./)
  const error = failsWith('WRAITH_ERR_INVALID_ADDRESS', 'address')
  await expect(bind({ address: 'no such host' })).rejects.toEqual(error)
})

test('ipv6Only hears no IPv4, and leaves the port to an IPv4 socket', async () => {
  const v6 = await bind({ type: 'udp6', address: '::', ipv6Only: true })
  const { port } = v6.address()
  const v4 = await bind({ address: '0.0.0.0', port })
  await deliver(await dgram('udp4'), { port, address: '127.0.0.1' }, 'four')
  await deliver(await dgram('udp6'), { port, address: '::1' }, 'six')
  expect(
    drain(v6)
      .flat()
      .map((row) => row.text),
  ).toEqual(['six'])
  expect(
    drain(v4)
      .flat()
      .map((row) => row.text),
  ).toEqual(['four'])
  expect(() => v6.send('x', port, '::ffff:127.0.0.1')).toThrow()
})

test('a port that is taken is refused, and so is an address of another machine', async () => {
  const { port } = (await bind()).address()
  await expect(bind({ port })).rejects.toMatchObject({
    code: 'WRAITH_ERR_ADDRESS_IN_USE',
    syscall: 'bind',
    option: 'address',
  })
  await expect(bind({ address: '192.0.2.1' })).rejects.toMatchObject({
    code: 'WRAITH_ERR_ADDRESS_NOT_AVAILABLE',
    syscall: 'bind',
  })
})

test('reusePort shares a port: each packet arrives once, a sender always at the same socket', async () => {
  const a = await bind({ reusePort: true })
  const b = await bind({ reusePort: true, port: a.address().port })
  expect(b.address()).toEqual(a.address())
  const sent: string[] = []
  for (let i = 0; i < 32; i++) {
    const sender = await dgram()
    for (const word of ['first', 'second']) {
      sent.push(`${word} ${sender.address().port}`)
      await deliver(sender, a.address(), `${word} ${sender.address().port}`)
    }
  }
  const [atA, atB] = [a, b].map((socket) => drain(socket).flat())
  expect([...atA!, ...atB!].map((row) => row.text).sort()).toEqual(sent.sort())
  const ports = (rows: typeof atA): Set<number> => new Set(rows?.map((row) => row.peer.port))
  expect([...ports(atA)].filter((port) => ports(atB).has(port))).toEqual([])
  await expect(bind({ port: a.address().port })).rejects.toEqual(failsWith('WRAITH_ERR_ADDRESS_IN_USE'))
})

test('reuseAddr lets two sockets bind one port', async () => {
  const a = await bind({ reuseAddr: true })
  const b = await bind({ reuseAddr: true, port: a.address().port })
  await deliver(await dgram(), a.address(), 'x')
  expect([...drain(a), ...drain(b)].flat().map((row) => row.text)).toEqual(['x'])
})

test('buffer sizes: asked, got, and what lifts the limit', async () => {
  const small = await bind({ recvBufferSize: 65_536, sendBufferSize: 32_768 })
  expect(small.getRecvBufferSize()).toBe(2 * 65_536)
  expect(small.getSendBufferSize()).toBe(2 * 32_768)
  expect(small.info().recvBuffer).toEqual({ asked: 65_536, got: 131_072 })
  const huge = await bind({ recvBufferSize: 0x7fff_ffff })
  const { asked, got, note } = huge.info().recvBuffer
  expect(asked).toBe(0x7fff_ffff)
  expect(got).toBeLessThan(asked!)
  expect(note).toMatch(/sysctl -w net\.core\.rmem_max=2147483647/)
  const plain = await bind()
  expect(plain.info().recvBuffer.asked).toBeUndefined()
})

test.each([1, 2, 1024])('a batch has at most batchSize rows (%d)', async (batchSize) => {
  const socket = await bind({ batchSize, recvBufferSize: 1 << 20 })
  expect(socket.info().batchSize).toBe(batchSize)
  await deliver(await dgram(), socket.address(), ...Array.from({ length: 20 }, (_, i) => `${i}`))
  const sizes = drain(socket).map((rows) => rows.length)
  expect(sizes).toEqual(batchSize === 1024 ? [20] : new Array(20 / batchSize).fill(batchSize))
})

test('bufferSize and capacity are those of its own pool', async () => {
  const { pool } = await bind({ bufferSize: 512, capacity: 16 })
  expect(pool).toMatchObject({ bufferSize: 512, capacity: 16 })
  expect(pool.metrics().available).toBe(16)
})

test('a pool with fewer slots than a batch has rows receives smaller batches', async () => {
  const socket = await bind({ capacity: 3, batchSize: 64 })
  await deliver(await dgram(), socket.address(), ...Array.from({ length: 7 }, (_, i) => `${i}`))
  expect(drain(socket).map((rows) => rows.length)).toEqual([3, 3, 1])
})

describe('signal', () => {
  test('that has fired makes bind reject with its reason', async () => {
    const reason = new Error('of the test')
    await expect(bind({ signal: AbortSignal.abort(reason) })).rejects.toMatchObject({
      code: 'WRAITH_ERR_ABORTED',
      cause: reason,
    })
  })

  test('that fires while a host name is resolved makes bind reject', async () => {
    const controller = new AbortController()
    const binding = bind({ address: 'localhost', type: 'udp4', signal: controller.signal })
    controller.abort()
    await expect(binding).rejects.toEqual(failsWith('WRAITH_ERR_ABORTED'))
  })

  test('that fires later closes the socket', async () => {
    const controller = new AbortController()
    const socket = await bind({ signal: controller.signal })
    controller.abort()
    await socket.closed
    expect(() => socket.address()).toThrow(failsWith('WRAITH_ERR_SOCKET_CLOSED'))
  })

  test('that fires after close() does nothing', async () => {
    const controller = new AbortController()
    const socket = await bind({ signal: controller.signal })
    await socket.close()
    controller.abort()
    await turns()
  })
})

describe('fd', () => {
  /** Makes a socket in Python, as systemd does, and starts Node.js with it as descriptor 3. */
  const passed = (setup: string): readonly string[] => [
    'python3',
    '-c',
    `
import os, socket, sys
${setup}
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.execvp(sys.argv[1], sys.argv[1:])
`,
  ]
  const udp = "s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\ns.bind(('127.0.0.1', 0))"

  test.each(backends)('adopts a bound socket that another program passed on (%s)', async (backend) => {
    const result = await resultOf(
      `
      const socket = await UdpSocket.bind({ fd: 3, backend: '${backend}' })
      const sender = await dgram()
      await deliver(sender, socket.address(), 'a', 'b')
      const batch = socket.tryReceive()
      print([batch.length, batch.bytes(0).toString(), batch.bytes(1).toString(), socket.address().address])
      sender.close()
      await socket.close()
      `,
      { through: passed(udp) },
    )
    expect(result).toEqual([2, 'a', 'b', '127.0.0.1'])
  })

  test('keeps a connected socket connected, and closes the descriptor in the end', async () => {
    const result = await resultOf(
      `
      import { fstatSync } from 'node:fs'
      const socket = await UdpSocket.bind({ fd: 3, type: 'udp4' })
      const remote = socket.remoteAddress()
      await socket.close()
      let after
      try { fstatSync(3) } catch (error) { after = error.code }
      print([remote.address, remote.port, after])
      `,
      { through: passed(`${udp}\ns.connect(('127.0.0.1', 9))`) },
    )
    expect(result).toEqual(['127.0.0.1', 9, 'EBADF'])
  })

  test.each([
    ['a TCP socket', 's = socket.socket()', 'WRAITH_ERR_OUT_OF_RANGE'],
    ['a Unix socket', 's = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)', 'WRAITH_ERR_OUT_OF_RANGE'],
    ['an IPv6 socket', 's = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)', 'WRAITH_ERR_OUT_OF_RANGE'],
    ['a file', "s = open('/dev/null')", 'WRAITH_ERR_OUT_OF_RANGE'],
  ])('refuses %s and leaves it open', async (_what, setup, code) => {
    const result = await resultOf(
      `
      import { fstatSync } from 'node:fs'
      let failed
      try { await UdpSocket.bind({ fd: 3 }) } catch (error) { failed = [error.code, error.option] }
      globalThis.gc()
      await new Promise(setImmediate)
      fstatSync(3)
      print(failed)
      `,
      { through: passed(setup) },
    )
    expect(result).toEqual([code, 'fd'])
  })

  test('refuses a descriptor that this process reads already, which goes on as before', async () => {
    const result = await resultOf(
      `
      import { readdirSync, readlinkSync } from 'node:fs'
      const sockets = () => readdirSync('/proc/self/fd').filter((fd) => {
        try { return readlinkSync('/proc/self/fd/' + fd).startsWith('socket:') } catch { return false }
      })
      const before = sockets()
      const theirs = await dgram()
      const fd = Number(sockets().find((fd) => !before.includes(fd)))
      const failed = []
      for (let i = 0; i < 3; i++) {
        try { await UdpSocket.bind({ fd }) } catch (error) { failed.push(error.code) }
        globalThis.gc()
        await new Promise(setImmediate)
      }
      const sender = await dgram()
      const got = once(theirs, 'message')
      await deliver(sender, theirs.address(), 'x')
      print([...failed, (await got)[0].toString()])
      sender.close()
      theirs.close()
      `,
    )
    expect(result).toEqual([...new Array(3).fill('WRAITH_ERR_BUSY'), 'x'])
  })

  test('that cannot be had leaves the descriptor to its owner: a closed pool', async () => {
    const result = await resultOf(
      `
      import { fstatSync } from 'node:fs'
      const pool = new BufferPool({ capacity: 1 })
      pool.close()
      let failed
      try { await UdpSocket.bind({ fd: 3, pool }) } catch (error) { failed = error.code }
      globalThis.gc()
      await new Promise(setImmediate)
      fstatSync(3)
      print([failed])
      `,
      { through: passed(udp) },
    )
    expect(result).toEqual(['WRAITH_ERR_POOL_CLOSED'])
  })

  test('that is not open is refused', async () => {
    await expect(bind({ fd: 1_000_000 })).rejects.toEqual(failsWith('WRAITH_ERR_OUT_OF_RANGE', 'fd'))
  })
})

test('a closed pool is refused, and a failed bind leaves nothing behind in a good one', async () => {
  const closed = new BufferPool({ capacity: 1 })
  closed.close()
  await expect(bind({ pool: closed })).rejects.toEqual(failsWith('WRAITH_ERR_POOL_CLOSED'))
  const pool = new BufferPool({ capacity: 4 })
  const { port } = (await bind()).address()
  for (let i = 0; i < 10; i++) await expect(bind({ pool, port })).rejects.toThrow()
  expectAllHome(pool)
  pool.close()
  await pool.closed
})

test('options stay as they were given', async () => {
  const options = Object.freeze({ address: '127.0.0.1', batchSize: 2 })
  const socket = await bind(options)
  await deliver(await dgram(), socket.address(), 'x')
  expect(texts(socket.tryReceive()!)).toEqual(['x'])
})
