import { describe, expect, test } from 'vitest'
import { BufferPool, buildFrame, FrameType, parseFrames } from 'wraith-transport'
import { bind, debug, deliver, dgram, drain, failsWith, pattern, texts } from './support/udp.js'
import { resultOf } from './support/udp-process.js'
import { expectZeros, sharedPool } from './support/udp-shared-pools.js'

describe('a batch', () => {
  test('shows each packet, of any size, in its own memory', async () => {
    const socket = await bind({ pool: sharedPool() })
    const sent = [0, 1, 2, 63, 64, 65, 1500, 2048].map((length) => pattern(length))
    await deliver(await dgram(), socket.address(), ...sent)
    const rows = drain(socket).flat()
    expect(rows.map((row) => row.bytes)).toEqual(sent)
    expect(rows.every((row) => row.peer.address === '127.0.0.1')).toBe(true)
  })

  test('over batches: a packet is never seen with the bytes of another one', async () => {
    const socket = await bind({ pool: sharedPool(16, 256), batchSize: 4 })
    const sender = await dgram()
    for (let round = 0; round < 50; round++) {
      const sent = Array.from({ length: 6 }, (_, i) => pattern((round * 7 + i * 41) % 257, round + i))
      await deliver(sender, socket.address(), ...sent)
      expect(drain(socket).flatMap((rows) => rows.map((row) => row.bytes))).toEqual(sent)
    }
  })

  test('has no view over all of its packets, and says so', async () => {
    const socket = await bind({ pool: sharedPool() })
    await deliver(await dgram(), socket.address(), 'x')
    const batch = socket.tryReceive()!
    expect(() => batch.view).toThrow(failsWith('WRAITH_ERR_UNSUPPORTED'))
    expect(batch.lengths[0]).toBe(1)
    expect(batch.copy(0).toString()).toBe('x')
  })

  test('is parsed like any other: a payload begins as far behind its offset as in bytes(i)', async () => {
    const frames = ['one', 'three', 'seven'].map((text, sequence) =>
      buildFrame({ type: FrameType.Ping, sequence, payload: Buffer.from(text) }),
    )
    const socket = await bind({ pool: sharedPool() })
    await deliver(await dgram(), socket.address(), ...frames)
    const batch = socket.tryReceive()!
    const columns = parseFrames(batch)
    expect(columns).toMatchObject({ length: 3, ok: 3 })
    const payloads = Array.from({ length: 3 }, (_, i) => {
      const start = columns.payloadOffsets[i]! - batch.offsets[i]!
      return batch.bytes(i).toString('utf8', start, start + columns.payloadLengths[i]!)
    })
    expect(payloads).toEqual(['one', 'three', 'seven'])
  })

  test('flags what was truncated to a slot', async () => {
    const socket = await bind({ pool: sharedPool(8, 64), onTruncated: 'keep' })
    await deliver(await dgram(), socket.address(), pattern(65))
    const [row] = drain(socket).flat()
    expect(row).toMatchObject({ truncated: true, wireLength: 65, bytes: pattern(65).subarray(0, 64) })
  })

  test('leaves no view behind when its slots go home', async () => {
    const socket = await bind({ pool: sharedPool() })
    await deliver(await dgram(), socket.address(), 'abc')
    const batch = socket.tryReceive()!
    const view = batch.bytes(0)
    expect(view.toString()).toBe('abc')
    batch.dispose()
    await socket.close()
    expect(view.byteLength).toBe(0)
    expectZeros(socket.pool)
  })
})

describe('a row that is taken', () => {
  test('is a guard of the pool, whose bytes beyond the packet are zeros, and the socket goes on', async () => {
    const pool = sharedPool(8, 64)
    const socket = await bind({ pool, batchSize: 4 })
    const sender = await dgram()
    for (let round = 0; round < 20; round++) {
      await deliver(sender, socket.address(), `a${round}`, `b${round}`)
      const batch = socket.tryReceive()!
      using guard = batch.take(1)
      expect(batch.bytes(0).toString()).toBe(`a${round}`)
      expect(() => batch.bytes(1)).toThrow(failsWith('WRAITH_ERR_STALE_BATCH'))
      expect(() => batch.take(1)).toThrow(failsWith('WRAITH_ERR_STALE_BATCH'))
      batch.dispose()
      expect(guard.data.toString()).toBe(`b${round}`)
      expect(guard.bytes.subarray(guard.length).every((byte) => byte === 0)).toBe(true)
      expect(pool.metrics().lent).toBe(1)
    }
    await socket.close()
    expectZeros(pool)
  })

  test('is handed on by transfer(): the same slot, and no view of it stays here', async () => {
    const pool = sharedPool(8, 64)
    const other = BufferPool.attach(pool.share())
    const socket = await bind({ pool })
    await deliver(await dgram(), socket.address(), 'hello')
    const batch = socket.tryReceive()!
    const view = batch.bytes(0)
    const ticket = batch.take(0).transfer()
    batch.dispose()
    if (!debug) expect(view.byteLength).toBe(0)
    using guard = other.adopt(ticket)
    expect(guard.data.toString()).toBe('hello')
    expect(pool.audit().transit).toBe(0)
  })
})

describe('sendOwned', () => {
  test('sends slots of a shared pool, which are home when the kernel has the bytes, unseen', async () => {
    const pool = sharedPool(8, 64)
    const [socket, peer] = [await bind({ pool }), await bind()]
    for (let round = 0; round < 20; round++) {
      const guard = pool.acquire()
      guard.length = guard.bytes.write(`packet ${round}`)
      const view = guard.bytes
      expect(socket.sendOwned(guard, peer.address())).toBe(true)
      expect(guard.disposed).toBe(true)
      expect(view.byteLength).toBe(0)
    }
    expect(drain(peer).flatMap((rows) => rows.map((row) => row.text))).toEqual(
      Array.from({ length: 20 }, (_, round) => `packet ${round}`),
    )
    await socket.close()
    expectZeros(pool)
  })

  test('leaves the guard with its bytes when it throws', async () => {
    const pool = sharedPool(8, 2048)
    const socket = await bind({ pool })
    const guard = pool.acquire()
    guard.length = guard.bytes.write('mine')
    expect(() => socket.sendOwned(guard)).toThrow(failsWith('WRAITH_ERR_NOT_CONNECTED'))
    expect(guard.data.toString()).toBe('mine')
    expect(() => socket.sendOwned(guard, { address: '127.255.255.255', port: 9, family: 'IPv4' })).toThrow(
      failsWith('WRAITH_ERR_PERMISSION'),
    )
    expect(guard.data.toString()).toBe('mine')
    guard.dispose()
    await socket.close()
    expectZeros(pool)
  })

  test('of a guard of another object of the same pool sends a copy', async () => {
    const pool = sharedPool(8, 64)
    const other = BufferPool.attach(pool.share())
    const socket = await bind({ pool })
    const guard = other.acquire()
    guard.length = guard.bytes.write('other')
    expect(socket.sendOwned(guard, socket.address())).toBe(true)
    expect(texts(socket.tryReceive()!)).toEqual(['other'])
    other.close()
  })
})

test('memory that user code moves away is never received into again, and the packets go on', async () => {
  const result = await resultOf<{
    moved: string
    got: string[]
    quarantined: number
    warnings: string[]
    ok: boolean
  }>(`
    const warnings = []
    process.on('warning', (warning) => warnings.push(warning.code))
    const pool = new BufferPool({ shared: true, capacity: 8, bufferSize: 64 })
    const socket = await UdpSocket.bind({ address: '127.0.0.1', pool, batchSize: 4 })
    const send = (text) => socket.send(text, socket.address())
    send('first')
    const batch = socket.tryReceive()
    const bytes = batch.bytes(0)
    // Node 20 has no transfer(), but a byte stream's reader takes the memory of what it is given to read into.
    const take = async (view) => {
      const { byteLength } = view
      if (ArrayBuffer.prototype.transfer) return new Uint8Array(view.buffer.transfer(), 0, byteLength)
      const stream = new ReadableStream({ type: 'bytes', pull: (it) => { it.byobRequest.view[0] = 102; it.byobRequest.respond(1) } })
      const { value } = await stream.getReader({ mode: 'byob' }).read(new Uint8Array(view.buffer, 0, view.byteLength))
      return new Uint8Array(value.buffer, 0, 5)
    }
    const theirs = await take(bytes)
    batch.dispose()
    const got = []
    for (let round = 0; round < 30; round++) {
      send('packet ' + round)
      const batch = socket.tryReceive()
      got.push(batch.bytes(0).toString())
    }
    const moved = Buffer.from(theirs).toString()
    await socket.close()
    await new Promise(setImmediate)
    const { ok, quarantined } = pool.audit()
    print({ moved, got, quarantined, warnings, ok })
    pool.close()
  `)
  if (debug) return expect(result.ok).toBe(true)
  expect(result).toEqual({
    moved: 'first',
    got: Array.from({ length: 30 }, (_, round) => `packet ${round}`),
    quarantined: 1,
    warnings: ['WRAITH_WARN_DETACHED'],
    ok: true,
  })
})
