import { describe, expect, test } from 'vitest'
import { type BufferPool, UdpSocket } from 'wraith-transport'

import { thrownBy } from './support/errors.ts'
import { expectAudit, isZero, makePool } from './support/pools.ts'

/** `WRAITH_DEBUG` is read once per pool, so one test can make pools of both kinds. */
function poolWith(setting: string | undefined, options = {}): BufferPool {
  const before = process.env['WRAITH_DEBUG']
  try {
    if (setting === undefined) delete process.env['WRAITH_DEBUG']
    else process.env['WRAITH_DEBUG'] = setting
    return makePool({ bufferSize: 64, capacity: 2, ...options })
  } finally {
    if (before === undefined) delete process.env['WRAITH_DEBUG']
    else process.env['WRAITH_DEBUG'] = before
  }
}

describe('WRAITH_DEBUG', () => {
  test.each([
    [undefined, false],
    ['', false],
    ['0', false],
    ['1', true],
    ['true', true],
  ])('= %s: info().debug is %s', (setting, debug) => {
    expect(poolWith(setting).info().debug).toBe(debug)
  })
})

describe('in debug mode', () => {
  test('every view onto a disposed buffer reads nothing', () => {
    const pool = poolWith('1')
    const guard = pool.acquire()
    const { bytes } = guard
    const views = [bytes, bytes.subarray(3), new Uint8Array(bytes.buffer), guard.data]
    const view = new DataView(bytes.buffer, bytes.byteOffset)
    bytes.fill(1)
    guard.dispose()
    for (const each of views) expect(each.byteLength).toBe(0)
    expect(bytes[0]).toBeUndefined()
    expect(bytes.toString()).toBe('')
    expect(() => view.getUint8(0)).toThrow(TypeError)
    expect(() => bytes.fill(1)).toThrow(TypeError)
  })

  test('a late write reaches nobody', () => {
    const pool = poolWith('1', { capacity: 1, onExhausted: 'throw' })
    const guard = pool.acquire()
    const late = guard.bytes
    guard.dispose()
    const next = pool.acquire()
    late[0] = 0xff
    expect(() => late.set([0xff])).toThrow(TypeError)
    expect(isZero(next.bytes)).toBe(true)
    next.dispose()
  })

  test('a view ends with its own guard and not with another', () => {
    const pool = poolWith('1')
    const [one, other] = [pool.acquire(), pool.acquire()]
    other.bytes.fill(2)
    one.dispose()
    expect(other.bytes.every((byte) => byte === 2)).toBe(true)
    expect(other.bytes.byteLength).toBe(64)
    other.dispose()
  })

  test('buffers of the heap end as pooled ones do', () => {
    const pool = poolWith('1', { capacity: 1 })
    const [pooled, fallback] = [...pool.acquireMany(2)]
    const late = fallback?.bytes as Uint8Array
    fallback?.dispose()
    expect(late.byteLength).toBe(0)
    pooled?.dispose()
  })

  test('a buffer that disposeAfter keeps can be used until its promise settles', async () => {
    const pool = poolWith('1')
    const guard = pool.acquire()
    const { bytes } = guard
    const used = guard.disposeAfter(
      Promise.resolve().then(() => {
        bytes.fill(7)
        return bytes.byteLength
      }),
    )
    await expect(used).resolves.toBe(64)
    expect(bytes.byteLength).toBe(0)
  })

  test('memory that user code detached itself is given back all the same', () => {
    const pool = poolWith('1')
    const guard = pool.acquire()
    structuredClone(guard.bytes.buffer, { transfer: [guard.bytes.buffer as ArrayBuffer] })
    expect(guard.bytes.byteLength).toBe(0)
    guard.dispose()
    const again = pool.acquire()
    expect(again.bytes.byteLength).toBe(64)
    expect(isZero(again.bytes)).toBe(true)
    again.dispose()
    expect(expectAudit(pool)).toMatchObject({ free: 2, cached: 0 })
  })

  test('what was written into a guard is what sendOwned sends, and its view ends', async () => {
    const pool = poolWith('1', { capacity: 64 })
    const socket = await UdpSocket.bind({ address: '127.0.0.1', pool })
    const received = new Promise<string>((resolve) => {
      socket.consume((batch) => resolve(String(batch.copy(0))))
    })
    const guard = pool.acquire()
    guard.length = guard.bytes.write('from its own memory')
    const late = guard.bytes
    expect(socket.sendOwned(guard, socket.address())).toBe(true)
    expect(late.byteLength).toBe(0)
    await expect(received).resolves.toBe('from its own memory')
    await socket.close()
  })

  test('a guard that sendOwned refused is still good', async () => {
    const pool = poolWith('1', { capacity: 64 })
    const socket = await UdpSocket.bind({ address: '127.0.0.1', pool })
    const guard = pool.acquire()
    guard.length = guard.bytes.write('not sent')
    expect(thrownBy(() => socket.sendOwned(guard)).code).toBe('WRAITH_ERR_NOT_CONNECTED')
    const { bytes } = guard
    expect(String(guard.data)).toBe('not sent')
    expect(socket.sendOwned(guard, socket.address())).toBe(true)
    expect(bytes.byteLength).toBe(0)
    const refused = pool.acquire()
    expect(() => socket.sendOwned(refused)).toThrow()
    refused.dispose()
    expect(pool.available).toBe(64)
    await socket.close()
  })

  test('the views of a batch end with it, and those of a taken row with its guard', async () => {
    const pool = poolWith('1', { capacity: 64 })
    const socket = await UdpSocket.bind({ address: '127.0.0.1', pool })
    const seen = new Promise<{ late: Uint8Array; guard: ReturnType<BufferPool['acquire']> }>((resolve) => {
      socket.consume((batch) => resolve({ late: batch.bytes(0), guard: batch.take(0) }))
    })
    socket.send('packet', socket.address().port)
    const { late, guard } = await seen
    socket.stop()
    expect(late.byteLength).toBe(0)
    expect(String(guard.data)).toBe('packet')
    const { bytes } = guard
    guard.dispose()
    expect(bytes.byteLength).toBe(0)
    await socket.close()
  })
})

describe('without debug mode', () => {
  test('a late view is the same memory, zeroed, and later the next holder', () => {
    const pool = poolWith('0', { capacity: 1, onExhausted: 'throw' })
    const guard = pool.acquire()
    const late = guard.bytes
    late.fill(1)
    guard.dispose()
    expect(isZero(late)).toBe(true)
    const next = pool.acquire()
    next.bytes.fill(2)
    expect(late.every((byte) => byte === 2)).toBe(true)
    next.dispose()
  })
})
