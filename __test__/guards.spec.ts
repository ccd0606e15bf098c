import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { open } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { type PooledBuffer, UdpSocket } from 'wraith-transport'

import { expectRefusal, rejectionOf, thrownBy } from './support/errors.ts'
import { debugMode, expectAudit, isZero, makePool } from './support/pools.ts'

describe('bytes, length and data', () => {
  test('are a Buffer, how much of it is in use, and that part', () => {
    const guard = makePool({ bufferSize: 64, capacity: 1 }).acquire()
    expect(Buffer.isBuffer(guard.bytes)).toBe(true)
    expect(guard.bytes).toBe(guard.bytes)
    expect(guard.data.byteLength).toBe(0)
    guard.length = guard.bytes.write('hello')
    expect(guard.length).toBe(5)
    expect(Buffer.isBuffer(guard.data)).toBe(true)
    expect(guard.data.toString('latin1')).toBe('hello')
    expect(Buffer.concat([guard.data, Buffer.from('!')]).toString()).toBe('hello!')
    guard.data[0] = 0x6a
    expect(guard.bytes[0]).toBe(0x6a)
    guard.length = 64
    expect(guard.data.byteLength).toBe(64)
    guard.length = 0
    guard.dispose()
  })

  test('have every method of a Buffer', () => {
    const guard = makePool({ bufferSize: 64, capacity: 1 }).acquire()
    const { bytes } = guard
    bytes.writeUInt32BE(0xdeadbeef, 0)
    expect(bytes.readUInt16LE(0)).toBe(0xadde)
    expect(bytes.toString('hex', 0, 4)).toBe('deadbeef')
    expect(bytes.subarray(0, 4).equals(Buffer.from('deadbeef', 'hex'))).toBe(true)
    expect(Buffer.compare(bytes, Buffer.alloc(64))).toBe(1)
    expect(bytes.indexOf(0xbe)).toBe(2)
    expect(bytes.toJSON().data).toHaveLength(64)
    guard.dispose()
  })

  test('reset with the buffer: the next holder starts with length 0', () => {
    const pool = makePool({ bufferSize: 8, capacity: 1, onExhausted: 'throw' })
    const first = pool.acquire()
    first.length = 8
    first.dispose()
    const second = pool.acquire()
    expect(second.length).toBe(0)
    second.dispose()
  })
})

describe('a disposed guard', () => {
  const uses: [string, (guard: PooledBuffer) => unknown][] = [
    ['bytes', (guard) => guard.bytes],
    ['length', (guard) => guard.length],
    ['length =', (guard) => (guard.length = 1)],
    ['data', (guard) => guard.data],
    ['pooled', (guard) => guard.pooled],
    ['touch', (guard) => guard.touch('late')],
    ['disposeAfter', (guard) => guard.disposeAfter(Promise.resolve())],
  ]

  test.each(uses)('is stale: %s throws', (_name, use) => {
    const pool = makePool({ capacity: 1 })
    const guard = pool.acquire()
    guard.dispose()
    expectRefusal(
      thrownBy(() => use(guard)),
      { code: 'WRAITH_ERR_STALE_BUFFER', given: 'disposed of or given away' },
    )
    expect(guard.disposed).toBe(true)
  })

  test('may be disposed of again, which does nothing', () => {
    const pool = makePool({ capacity: 2 })
    const guard = pool.acquire()
    guard.dispose()
    const next = pool.acquire()
    next.bytes.fill(7)
    guard.dispose()
    guard[Symbol.dispose]()
    expect(next.bytes.every((byte) => byte === 7)).toBe(true)
    expect(pool.available).toBe(1)
    expect(expectAudit(pool).lent).toBe(1)
    next.dispose()
    expect(pool.metrics()).toMatchObject({ acquires: 2, releases: 2 })
  })

  test('is refused by release, stale before anything else', () => {
    const pool = makePool({ capacity: 1 })
    const guard = pool.acquire()
    pool.release(guard)
    expect(thrownBy(() => pool.release(guard)).code).toBe('WRAITH_ERR_STALE_BUFFER')
    expect(pool.available).toBe(1)
  })

  test('leaves a view behind that reads nothing of the next holder in debug mode, zeros otherwise', () => {
    const pool = makePool({ bufferSize: 16, capacity: 1, onExhausted: 'throw' })
    const guard = pool.acquire()
    const late = guard.bytes
    late.fill(0xaa)
    guard.dispose()
    expect(late.byteLength).toBe(debugMode ? 0 : 16)
    if (!debugMode) expect(isZero(late)).toBe(true)
    const next = pool.acquire()
    next.bytes.fill(0xbb)
    expect(late[0]).toBe(debugMode ? undefined : 0xbb)
    next.dispose()
  })
})

describe('disposeAfter', () => {
  test('keeps the buffer out until the promise settles, and passes its value on', async () => {
    const pool = makePool({ capacity: 1, onExhausted: 'throw' })
    const guard = pool.acquire()
    const { bytes } = guard
    let settle: (value: string) => void = () => {}
    const after = guard.disposeAfter(
      new Promise<string>((resolve) => {
        settle = resolve
      }),
    )
    expect(guard.disposed).toBe(true)
    guard.dispose()
    expect(pool.available).toBe(0)
    bytes[0] = 1
    settle('done')
    await expect(after).resolves.toBe('done')
    expect(pool.available).toBe(1)
  })

  test('gives the buffer back when the promise rejects, and passes the reason on', async () => {
    const pool = makePool({ capacity: 1 })
    const reason = new Error('the write failed')
    await expect(pool.acquire().disposeAfter(Promise.reject(reason))).rejects.toBe(reason)
    expect(pool.available).toBe(1)
  })

  test('takes any thenable, and refuses anything else with the guard still good', () => {
    const pool = makePool({ capacity: 1 })
    const guard = pool.acquire()
    for (const given of [undefined, null, 1, 'then', {}, () => {}]) {
      expectRefusal(
        thrownBy(() => guard.disposeAfter(given as never)),
        { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'promise', allowed: 'a promise' },
      )
    }
    expect(guard.disposed).toBe(false)
    // biome-ignore lint/suspicious/noThenProperty: a thenable is what is tested
    return guard.disposeAfter({ then: (done: (value: number) => void) => done(3) } as PromiseLike<number>)
  })

  test('lets using end its scope while fs.write still reads the bytes', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'wraith-guards-'))
    const file = await open(join(folder, 'written'), 'w')
    const pool = makePool({ bufferSize: 1 << 20, capacity: 4, onExhausted: 'throw' })
    const pending: Promise<unknown>[] = []
    for (let i = 0; i < 4; i++) {
      using guard = pool.acquire()
      guard.bytes.fill(i + 1)
      pending.push(guard.disposeAfter(file.write(guard.bytes, 0, 1 << 20, i << 20)))
    }
    expect(pool.available).toBe(0)
    await Promise.all(pending)
    expect(pool.available).toBe(4)
    await file.close()
    const written = readFileSync(join(folder, 'written'))
    rmSync(folder, { recursive: true })
    for (let i = 0; i < 4; i++) {
      const part = written.subarray(i << 20, (i + 1) << 20)
      expect(part.every((byte) => byte === i + 1)).toBe(true)
    }
  })

  test('lets a guard end while fs.read still writes the bytes', async () => {
    const pool = makePool({ bufferSize: 4096, capacity: 1 })
    const file = await open('/dev/zero', 'r')
    const guard = pool.acquire()
    guard.bytes.fill(1)
    const read = file.read(guard.bytes, 0, 4096)
    const seen = guard.disposeAfter(read.then(({ buffer }) => isZero(buffer)))
    await expect(seen).resolves.toBe(true)
    await file.close()
  })

  test('lets a guard end while dgram.send still reads the bytes', async () => {
    const receiver = await UdpSocket.bind({ address: '127.0.0.1' })
    const sender = createSocket('udp4')
    sender.bind(0, '127.0.0.1')
    await once(sender, 'listening')
    const pool = makePool({ bufferSize: 64, capacity: 8, onExhausted: 'throw' })
    const received: string[] = []
    const all = new Promise<void>((resolve) => {
      receiver.consume((batch) => {
        for (let i = 0; i < batch.length; i++) received.push(String(batch.copy(i)))
        if (received.length === 8) resolve()
      })
    })
    const sent = Array.from({ length: 8 }, (_, i) => {
      const guard = pool.acquire()
      guard.length = guard.bytes.write(`packet ${i}`)
      const { data } = guard
      return guard.disposeAfter(
        new Promise<void>((resolve, reject) => {
          sender.send(data, receiver.address().port, '127.0.0.1', (error) =>
            error === null ? resolve() : reject(error),
          )
        }),
      )
    })
    await Promise.all(sent)
    expect(pool.available).toBe(8)
    await all
    expect(received).toEqual(Array.from({ length: 8 }, (_, i) => `packet ${i}`))
    sender.close()
    await receiver.close()
  })
})

describe('guards that leave by another way', () => {
  test('sendOwned takes the guard over, and the next holder sees zeros', async () => {
    const pool = makePool({ bufferSize: 64, capacity: 1, onExhausted: 'throw' })
    const own = await UdpSocket.bind({ address: '127.0.0.1', pool })
    const guard = pool.acquire()
    guard.bytes.fill(0xee)
    guard.length = 64
    expect(own.sendOwned(guard, own.address())).toBe(true)
    expect(guard.disposed).toBe(true)
    const again = pool.acquire()
    expect(isZero(again.bytes)).toBe(true)
    again.dispose()
    await own.close()
  })

  test('a taken row is zeroed when its guard ends', async () => {
    const pool = makePool({ bufferSize: 64, capacity: 4, onExhausted: 'throw' })
    const socket = await UdpSocket.bind({ address: '127.0.0.1', pool, batchSize: 1 })
    const taken = new Promise<PooledBuffer>((resolve) => {
      socket.consume((batch) => resolve(batch.take(0)))
    })
    socket.send(Buffer.alloc(64, 0xdd), socket.address().port)
    const guard = await taken
    expect(guard.length).toBe(64)
    expect(guard.data.equals(Buffer.alloc(64, 0xdd))).toBe(true)
    guard.dispose()
    await socket.close()
    using all = pool.acquireMany(4)
    for (const { bytes } of all) expect(isZero(bytes)).toBe(true)
  })

  test('a rejected disposeAfter of a fallback buffer frees its place', async () => {
    const pool = makePool({ capacity: 1, maxFallback: 1 })
    const [pooled, fallback] = [...pool.acquireMany(2)]
    const error = await rejectionOf(() => {
      pool.acquire()
    })
    expect(error.code).toBe('WRAITH_ERR_POOL_EXHAUSTED')
    await fallback?.disposeAfter(Promise.reject(new Error('x'))).catch(() => {})
    expect(pool.metrics().fallbackLive).toBe(0)
    pooled?.dispose()
  })
})
