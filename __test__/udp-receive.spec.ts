import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { networkInterfaces } from 'node:os'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import {
  backends,
  bind,
  collect,
  debug,
  deliver,
  dgram,
  drain,
  pattern,
  turns,
  until,
} from './support/udp.js'

/** A sender that the test closes itself. */
async function bound(address: string): Promise<Socket> {
  const socket = createSocket('udp4')
  socket.bind(0, address)
  await once(socket, 'listening')
  return socket
}

describe.each(backends)('received through %s', (backend) => {
  describe.each([
    ['udp4', '127.0.0.1', 'IPv4'],
    ['udp6', '::1', 'IPv6'],
  ] as const)('%s', (type, address, family) => {
    test('content, order, count and peer of every packet are what was sent', async () => {
      const socket = await bind({ backend, type, address, batchSize: 16 })
      const senders = [await dgram(type), await dgram(type), await dgram(type)]
      const sent: { bytes: Uint8Array; port: number }[] = []
      const all = collect(socket, 300)
      for (let i = 0; i < 300; i++) {
        const sender = senders[(i * 7) % 3]!
        const bytes = pattern((i * 13) % 1500, i)
        sent.push({ bytes, port: sender.address().port })
        await deliver(sender, socket.address(), bytes)
        if (i % 32 === 31) await turns(2)
      }
      const got = await all
      expect(got).toHaveLength(sent.length)
      for (const [i, { bytes, port }] of sent.entries()) {
        expect(got[i]).toMatchObject({
          peer: { address, family, port },
          truncated: false,
          wireLength: bytes.length,
        })
        expect(Buffer.compare(got[i]!.bytes, bytes)).toBe(0)
      }
      const total = sent.reduce((sum, { bytes }) => sum + bytes.length, 0)
      expect(socket.metrics()).toMatchObject({ rxPackets: 300, rxBytes: total, rxTruncated: 0 })
    })

    test('a datagram of no bytes is a packet', async () => {
      const socket = await bind({ backend, type, address })
      const sender = await dgram(type)
      await deliver(sender, socket.address(), '', 'x', '')
      const [rows = []] = drain(socket)
      expect(rows.map((row) => row.text)).toEqual(['', 'x', ''])
      expect(rows[0]?.peer.port).toBe(sender.address().port)
      expect(socket.metrics()).toMatchObject({ rxPackets: 3, rxBytes: 1 })
    })
  })

  test('every length around a boundary arrives whole', async () => {
    const bufferSize = 2048
    const socket = await bind({ backend, bufferSize, batchSize: 8 })
    const sender = await dgram()
    const powers = Array.from({ length: 12 }, (_, i) => 1 << i).flatMap((n) => [n - 1, n, n + 1])
    const lengths = [...new Set([0, ...powers, 1471, 1472, 1473, 2046, 2047, 2048])].filter(
      (n) => n <= bufferSize,
    )
    const all = collect(socket, lengths.length)
    await deliver(sender, socket.address(), ...lengths.map((length) => pattern(length)))
    for (const [i, row] of (await all).entries()) {
      expect(row.bytes.length).toBe(lengths[i])
      expect(row.truncated).toBe(false)
      expect(Buffer.compare(row.bytes, pattern(lengths[i]!))).toBe(0)
    }
  })

  test('the largest datagrams of both families arrive whole', async () => {
    for (const [type, size] of [
      ['udp4', 65_507],
      ['udp6', 65_527],
    ] as const) {
      const socket = await bind({ backend, type, bufferSize: 65_536, capacity: 4, batchSize: 2 })
      await deliver(await dgram(type), socket.address(), pattern(size))
      const [[row] = []] = drain(socket)
      expect(row?.wireLength).toBe(size)
      expect(Buffer.compare(row!.bytes, pattern(size))).toBe(0)
    }
  })

  test('an IPv6 socket hears IPv4 senders under their mapped addresses, as dgram shows them', async () => {
    const socket = await bind({ backend, type: 'udp6', address: '::' })
    const { port } = socket.address()
    const [v4, v6] = [await dgram('udp4'), await dgram('udp6')]
    await deliver(v4, { port, address: '127.0.0.1' }, 'four')
    await deliver(v6, { port, address: '::1' }, 'six')
    const rows = drain(socket).flat()
    expect(rows.map(({ text, peer }) => [text, peer])).toEqual([
      ['four', { address: '::ffff:127.0.0.1', family: 'IPv6', port: v4.address().port }],
      ['six', { address: '::1', family: 'IPv6', port: v6.address().port }],
    ])
    for (const { peer } of rows) expect(socket.send('answer', peer)).toBe(true)
  })

  test('a full receive buffer loses what the kernel counts, and nothing else', async () => {
    const socket = await bind({ backend, recvBufferSize: 16_384, batchSize: 16 })
    const sender = await dgram()
    const sent = 2000
    for (let i = 0; i < sent; i++) await deliver(sender, socket.address(), `${i}`)
    const got = drain(socket).flat()
    const { rxPackets, rxDroppedByKernel } = socket.metrics()
    expect(rxDroppedByKernel).toBeGreaterThan(0)
    expect(got).toHaveLength(rxPackets)
    expect(rxPackets + rxDroppedByKernel).toBe(sent)
    const numbers = got.map((row) => Number(row.text))
    expect(numbers).toEqual(numbers.map((_, i) => i))
    // The next packet that gets through carries the count of its own moment.
    await deliver(sender, socket.address(), 'after')
    expect(drain(socket).flat()).toHaveLength(1)
    expect(socket.metrics()).toMatchObject({ rxDroppedByKernel, rxDroppedByKernelAtBatch: rxDroppedByKernel })
  })

  test('more peers than the cache holds are all named right, also those that come back', async () => {
    // Every address of 127.0.0.0/8 is this machine's: as many peers as anybody likes.
    const socket = await bind({ backend, address: '0.0.0.0', batchSize: 64 })
    const to = { port: socket.address().port, address: '127.0.0.1' }
    const wanted: string[] = []
    const got: string[] = []
    socket.consume((batch) => {
      for (let i = 0; i < batch.length; i++) {
        const { address, port } = batch.peer(i)
        got.push(`${batch.bytes(i)} ${address}:${port}`)
      }
    })
    const speak = async (sender: Socket, word: string): Promise<void> => {
      const { address, port } = sender.address()
      wanted.push(`${word} ${address}:${port}`)
      await deliver(sender, to, word)
    }
    const early = await Promise.all(Array.from({ length: 50 }, (_, i) => dgram('udp4', `127.1.0.${i + 1}`)))
    for (const sender of early) await speak(sender, 'early')
    for (let peer = 0; peer < 4200; peer += 100) {
      const group = await Promise.all(
        Array.from({ length: 100 }, (_, i) => bound(`127.2.${peer / 100}.${i + 1}`)),
      )
      for (const sender of group) await speak(sender, 'passing')
      for (const sender of group) sender.close()
      await until(() => got.length === wanted.length)
    }
    for (const sender of early) await speak(sender, 'again')
    await until(() => got.length === wanted.length)
    expect(got).toEqual(wanted)
    expect(socket.metrics().peerCacheMisses).toBeGreaterThanOrEqual(4250)
  })

  test('timestamps are the kernel clock of the arrival, and zeros without the option', async () => {
    for (const timestamps of [true, false]) {
      const socket = await bind({ backend, timestamps, batchSize: 8 })
      const sender = await dgram()
      const before = BigInt(Date.now()) * 1_000_000n
      await deliver(sender, socket.address(), 'a', 'b', 'c')
      const after = BigInt(Date.now() + 1) * 1_000_000n
      const batch = socket.tryReceive()!
      const stamps = [...batch.timestamps.subarray(0, batch.length)]
      const stampsMs = [...batch.timestampsMs.subarray(0, batch.length)]
      if (!timestamps) {
        expect(stamps).toEqual([0n, 0n, 0n])
        expect(stampsMs).toEqual([0, 0, 0])
        continue
      }
      expect(stamps).toEqual([...stamps].sort((a, b) => (a < b ? -1 : 1)))
      for (const [i, stamp] of stamps.entries()) {
        expect(stamp >= before && stamp <= after).toBe(true)
        expect(stampsMs[i]).toBeCloseTo(Number(stamp) / 1e6, 2)
      }
    }
  })
})

describe('a packet larger than a buffer', () => {
  const warnings: (Error & { code?: string })[] = []
  const note = (warning: Error): void => void warnings.push(warning)
  beforeEach(() => void process.on('warning', note))
  afterEach(() => {
    process.off('warning', note)
    warnings.length = 0
  })

  const ours = (): string[] =>
    warnings.filter(({ code }) => code === 'WRAITH_WARN_TRUNCATED').map(({ message }) => message)

  test.each(backends)(
    'is flagged, counted, and warned of once with the size that fits (%s)',
    async (backend) => {
      const socket = await bind({ backend, bufferSize: 100, batchSize: 4 })
      const sender = await dgram()
      await deliver(sender, socket.address(), pattern(100), pattern(101), pattern(500))
      const rows = drain(socket).flat()
      expect(rows.map(({ truncated, wireLength }) => [truncated, wireLength])).toEqual([
        [false, 100],
        [true, 101],
        [true, 500],
      ])
      for (const row of rows) {
        const whole = pattern(row.wireLength)
        expect(Buffer.compare(row.bytes, whole.subarray(0, 100))).toBe(0)
      }
      await until(() => ours().length > 0)
      await deliver(sender, socket.address(), pattern(900))
      drain(socket)
      await new Promise(setImmediate)
      expect(ours()).toHaveLength(1)
      expect(ours()[0]).toMatch(/bufferSize: 500 would hold it/)
      expect(socket.metrics()).toMatchObject({ rxTruncated: 3, rxDroppedTruncated: 0, rxPackets: 4 })
    },
  )

  test("'keep' hands it over flagged without a warning", async () => {
    const socket = await bind({ bufferSize: 10, onTruncated: 'keep' })
    await deliver(await dgram(), socket.address(), pattern(11))
    const batch = socket.tryReceive()!
    expect(batch.truncated(0)).toBe(true)
    expect(batch.flags[0]! & 1).toBe(1)
    expect(batch.bytes(0).length).toBe(10)
    await new Promise(setImmediate)
    expect(ours()).toEqual([])
  })

  test.each(backends)("'drop' leaves it out and counts it (%s)", async (backend) => {
    const socket = await bind({ backend, bufferSize: 10, onTruncated: 'drop', batchSize: 2 })
    await deliver(
      await dgram(),
      socket.address(),
      pattern(11),
      'a',
      pattern(20),
      pattern(30),
      'b',
      pattern(40),
    )
    expect(
      drain(socket)
        .flat()
        .map((row) => row.text),
    ).toEqual(['a', 'b'])
    await new Promise(setImmediate)
    expect(ours()).toEqual([])
    expect(socket.metrics()).toMatchObject({
      rxTruncated: 4,
      rxDroppedTruncated: 4,
      rxPackets: 2,
      rxBytes: 2,
    })
  })
})

test('the link-local zone of a peer is its interface, as dgram has it', async () => {
  const local = Object.entries(networkInterfaces())
    .flatMap(([name, addresses]) => (addresses ?? []).map((address) => ({ name, ...address })))
    .find(({ address }) => address.startsWith('fe80:'))
  // Machines without a link-local address show this in the namespace of privileged/link-local.spec.ts.
  if (local === undefined) return
  const zoned = `${local.address}%${local.name}`
  const socket = await bind({ address: zoned })
  const sender = await dgram('udp6', zoned)
  await deliver(sender, { port: socket.address().port, address: zoned }, 'x')
  const [[row] = []] = drain(socket)
  expect(row?.peer).toEqual({ address: zoned, family: 'IPv6', port: sender.address().port })
  expect(socket.address().address).toBe(zoned)
  expect(socket.send('answer', row!.peer)).toBe(true)
})

test('what was received is zeroed when its batch ends', async () => {
  const socket = await bind({ capacity: 1, batchSize: 1, bufferSize: 64 })
  await deliver(await dgram(), socket.address(), pattern(64))
  const batch = socket.tryReceive()!
  const memory = new Uint8Array(batch.view.buffer)
  expect(memory.some((byte) => byte !== 0)).toBe(true)
  batch.dispose()
  if (debug) expect(memory.length).toBe(0)
  else expect([...memory]).toEqual(new Array(64).fill(0))
})
