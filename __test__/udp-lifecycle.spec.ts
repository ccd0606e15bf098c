import { describe, expect, test } from 'vitest'
import { bind, deliver, dgram, failsWith, turns } from './support/udp.js'
import { resultOf, runModule } from './support/udp-process.js'

describe('the process ends by itself', () => {
  test.each([
    ['has no consumer', ''],
    ['is paused', 'socket.consume(() => {}); socket.pause()'],
    ['was stopped', 'socket.consume(() => {}); socket.stop()'],
    ['is unref’d and reads', 'socket.unref().consume(() => {})'],
    ['was unref’d while it reads', 'socket.consume(() => {}); socket.unref()'],
    ['is closed', 'socket.consume(() => {}); void socket.close()'],
    ['has an iterator that nobody asks', 'socket[Symbol.asyncIterator]()'],
    [
      'lends a batch that is never disposed of',
      "await deliver(sender, socket.address(), 'x'); socket.tryReceive()",
    ],
  ])('when the socket %s', async (_state, act) => {
    const { code, signal, stderr } = await runModule(`
      const sender = await dgram()
      const socket = await UdpSocket.bind({ address: '127.0.0.1' })
      ${act}
      sender.close()
    `)
    expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' })
  })

  test.each([
    ['reads', 'socket.consume(seen)'],
    ['was unref’d and ref’d', 'socket.unref().consume(seen); socket.ref()'],
    ['was paused and resumed', 'socket.pause().consume(seen); socket.resume()'],
    ['is iterated', 'void (async () => { for await (const batch of socket) seen(batch) })()'],
  ])('but not while it %s', async (_state, act) => {
    // Nothing else keeps the process: the sender is another process, which answers to what is printed.
    const { code, lines } = await runModule(`
      import { spawn } from 'node:child_process'
      const socket = await UdpSocket.bind({ address: '127.0.0.1' })
      const seen = (batch) => { print([batch.bytes(0).toString()]); void socket.close() }
      ${act}
      spawn(process.execPath, ['-e', \`
        const socket = require('node:dgram').createSocket('udp4')
        socket.send('came', \${socket.address().port}, '127.0.0.1', () => socket.close())
      \`], { stdio: 'ignore', detached: true }).unref()
    `)
    expect(lines).toEqual([['came']])
    expect(code).toBe(0)
  })
})

test('hasRef() says whether a reading socket keeps the process', async () => {
  const socket = await bind()
  expect(socket.hasRef()).toBe(true)
  expect(socket.unref().hasRef()).toBe(false)
  expect(socket.ref().hasRef()).toBe(true)
  await socket.close()
  expect(socket.hasRef()).toBe(false)
  socket.ref().unref()
})

test('process.exit() inside a handler ends the process with its code', async () => {
  const { code, signal, stderr } = await runModule(`
    const socket = await UdpSocket.bind({ address: '127.0.0.1' })
    socket.consume(() => process.exit(7))
    socket.send('x', socket.address())
  `)
  expect({ code, signal, stderr }).toEqual({ code: 7, signal: null, stderr: '' })
})

describe('a handler that fails', () => {
  const body = (handler: string, event: string): string => `
    const socket = await UdpSocket.bind({ address: '127.0.0.1', batchSize: 1, capacity: 4 })
    const [seen, failures] = [[], []]
    process.on('${event}', (error) => failures.push(error.message))
    socket.consume(${handler})
    const sender = await dgram()
    await deliver(sender, socket.address(), 'a', 'b', 'c')
    await until(() => seen.length === 3 && failures.length === 3)
    const { ok, lent } = socket.pool.audit()
    sender.close()
    await socket.close()
    print({ seen, failures, ok, lent, home: socket.pool.audit().posted + socket.pool.audit().batched })
  `
  const wanted = {
    seen: ['a', 'b', 'c'],
    failures: ['of a', 'of b', 'of c'],
    ok: true,
    lent: 0,
    home: 0,
  }

  test('by a throw: an uncaught exception each time, and the next batch comes', async () => {
    const handler = `(batch) => {
      const text = batch.bytes(0).toString()
      seen.push(text)
      throw new Error('of ' + text)
    }`
    expect(await resultOf(body(handler, 'uncaughtException'))).toEqual(wanted)
  })

  test('by a rejection: an unhandled rejection each time, and the next batch comes', async () => {
    const handler = `async (batch) => {
      const text = batch.bytes(0).toString()
      seen.push(text)
      await null
      throw new Error('of ' + text)
    }`
    expect(await resultOf(body(handler, 'unhandledRejection'))).toEqual(wanted)
  })

  test('by a throw after it left for another consumer: that one gets the next batch', async () => {
    const handler = `(batch) => {
      seen.push(batch.bytes(0).toString())
      socket.stop()
      socket.consume((next) => {
        const text = next.bytes(0).toString()
        seen.push(text)
        throw new Error('of ' + text)
      })
      throw new Error('of a')
    }`
    expect(await resultOf(body(handler, 'uncaughtException'))).toEqual(wanted)
  })

  test.each([
    ['throws', '() => { throw new Error("mine") }'],
    ['rejects', 'async () => { throw new Error("mine") }'],
  ])('without anybody to catch it (%s) the process ends with its stack', async (_how, handler) => {
    const { code, signal, stderr } = await runModule(`
      const socket = await UdpSocket.bind({ address: '127.0.0.1' })
      socket.consume(${handler})
      socket.send('x', socket.address())
    `)
    expect({ code, signal }).toEqual({ code: 1, signal: null })
    expect(stderr).toMatch(/Error: mine/)
  })
})

describe('close', () => {
  test('is idempotent, and resolves when the port is free again', async () => {
    const socket = await bind()
    const { port } = socket.address()
    const first = socket.close()
    expect(socket.close()).toBe(first)
    expect(socket.closed).toBe(first)
    await first
    for (let round = 0; round < 20; round++) {
      const next = await bind({ port })
      await next.close()
    }
  })

  test("tells 'close' once, and [Symbol.dispose] does the same", async () => {
    for (const end of [
      (socket: Awaited<ReturnType<typeof bind>>) => socket.close(),
      (socket: Awaited<ReturnType<typeof bind>>) => socket[Symbol.asyncDispose](),
      (socket: Awaited<ReturnType<typeof bind>>) => {
        socket[Symbol.dispose]()
        return socket.closed
      },
    ]) {
      const socket = await bind()
      let closes = 0
      socket.on('close', () => closes++)
      await end(socket)
      await turns()
      expect(closes).toBe(1)
    }
  })

  test('every call after it is refused, but for those that ask', async () => {
    const socket = await bind()
    const to = socket.address()
    await socket.close()
    const calls: Record<string, () => unknown> = {
      consume: () => socket.consume(() => {}),
      tryReceive: () => socket.tryReceive(),
      send: () => socket.send('x', to),
      sendOwned: () => socket.sendOwned(undefined as never),
      disconnect: () => socket.disconnect(),
      address: () => socket.address(),
      remoteAddress: () => socket.remoteAddress(),
      addMembership: () => socket.addMembership('239.1.1.1'),
      dropMembership: () => socket.dropMembership('239.1.1.1'),
      addSourceSpecificMembership: () => socket.addSourceSpecificMembership('127.0.0.1', '239.1.1.1'),
      dropSourceSpecificMembership: () => socket.dropSourceSpecificMembership('127.0.0.1', '239.1.1.1'),
      setBroadcast: () => socket.setBroadcast(true),
      setTTL: () => socket.setTTL(1),
      setMulticastTTL: () => socket.setMulticastTTL(1),
      setMulticastLoopback: () => socket.setMulticastLoopback(true),
      setMulticastInterface: () => socket.setMulticastInterface('127.0.0.1'),
      getRecvBufferSize: () => socket.getRecvBufferSize(),
      getSendBufferSize: () => socket.getSendBufferSize(),
      info: () => socket.info(),
    }
    const closed = failsWith('WRAITH_ERR_SOCKET_CLOSED')
    for (const [name, call] of Object.entries(calls)) expect(call, name).toThrow(closed)
    await expect(socket.connect(1)).rejects.toEqual(closed)
    expect(socket.pause().resume().stop().paused).toBe(false)
    expect(socket.metrics().rxPackets).toBe(0)
  })

  test('while connect() resolves a name makes that reject', async () => {
    const socket = await bind()
    const refused = expect(socket.connect(9, 'localhost')).rejects.toEqual(
      failsWith('WRAITH_ERR_SOCKET_CLOSED'),
    )
    await socket.close()
    await refused
  })

  test('a thousand sockets one after the other leave no handle and no descriptor', async () => {
    const { handles, descriptors } = await resultOf<{ handles: number; descriptors: number }>(`
      import { readdirSync } from 'node:fs'
      const descriptors = () => readdirSync('/proc/self/fd').length
      const handles = () => process.report.getReport().libuv.filter(({ type }) => type === 'poll').length
      const pool = new BufferPool({ capacity: 64 })
      const cycle = async () => {
        const socket = await UdpSocket.bind({ address: '127.0.0.1', pool })
        socket.consume(() => {})
        await socket.close()
      }
      await cycle()
      const before = { handles: handles(), descriptors: descriptors() }
      for (let i = 0; i < 1000; i++) await cycle()
      print({ handles: handles() - before.handles, descriptors: descriptors() - before.descriptors })
    `)
    expect({ handles, descriptors }).toEqual({ handles: 0, descriptors: 0 })
  })
})

test('a socket that nobody refers to any more and that reads, reads on', async () => {
  const { got } = await resultOf<{ got: string }>(`
    let got
    const port = await (async () => {
      const socket = await UdpSocket.bind({ address: '127.0.0.1' })
      socket.unref().consume((batch) => { got = batch.bytes(0).toString() })
      return socket.address().port
    })()
    for (let i = 0; i < 5; i++) { gc(); await new Promise(setImmediate) }
    const sender = await dgram()
    await deliver(sender, { port, address: '127.0.0.1' }, 'x')
    await until(() => got !== undefined)
    sender.close()
    print({ got })
  `)
  expect(got).toBe('x')
})

test("once() and off() work for 'close', and unknown events are refused", async () => {
  const socket = await bind()
  let calls = 0
  const listener = (): void => void calls++
  socket.once('close', listener).off('close', listener)
  expect(() => socket.on('message' as never, listener as never)).toThrow(
    failsWith('WRAITH_ERR_INVALID_ARG_TYPE', 'event'),
  )
  await deliver(await dgram(), socket.address(), 'x')
  await socket.close()
  expect(calls).toBe(0)
})
