import { describe, expect, test } from 'vitest'
import { UdpSocket } from 'wraith-transport'

import { expectRefusal, thrownBy } from './support/errors.ts'
import { debugMode, expectAudit, isZero, makePool } from './support/pools.ts'

/** The smallest page of any kernel that Node.js runs on. */
const PAGE = 4096

describe('a new pool', () => {
  test('has the defaults of its documentation', () => {
    const pool = makePool()
    expect(pool.bufferSize).toBe(2048)
    expect(pool.capacity).toBe(1024)
    expect(pool.available).toBe(1024)
    expect(pool.info()).toMatchObject({ onExhausted: 'allocate', leakDetection: 'sampled', debug: debugMode })
  })

  test('takes undefined for an option that was not given', () => {
    const pool = makePool({ bufferSize: undefined, capacity: 4 } as object)
    expect([pool.bufferSize, pool.capacity]).toEqual([2048, 4])
  })

  test.each([
    [1, 1],
    [64, 1],
    [65, 3],
    [1500, 32],
    [1500, 33],
    [9000, 100],
    [16 * 1024 * 1024, 1],
    [1, 4096],
  ])('lends %i bytes %i times, each buffer apart from all others', (bufferSize, capacity) => {
    const pool = makePool({ bufferSize, capacity, onExhausted: 'throw' })
    const guards = pool.acquireMany(capacity)
    for (const [i, guard] of guards.entries()) guard.bytes.fill(1 + (i % 255))
    for (const [i, guard] of guards.entries()) {
      expect(guard.bytes.byteLength).toBe(bufferSize)
      const fill = 1 + (i % 255)
      expect(guard.bytes.every((byte) => byte === fill)).toBe(true)
    }
    expect(pool.available).toBe(0)
    guards.dispose()
    expect(pool.available).toBe(capacity)
  })

  test('says what memory it has: strides of 64 bytes, in whole pages', () => {
    const info = makePool({ bufferSize: 1500, capacity: 10 }).info()
    expect(info).toEqual({
      bufferSize: 1500,
      capacity: 10,
      strideBytes: 1536,
      memoryBytes: expect.any(Number),
      mlock: { asked: false, got: false },
      hugePages: { asked: false, got: false },
      onExhausted: 'allocate',
      leakDetection: 'sampled',
      shared: false,
      debug: debugMode,
    })
    expect(info.memoryBytes).toBeGreaterThanOrEqual(10 * 1536)
    expect(info.memoryBytes % PAGE).toBe(0)
    expect(Object.isFrozen(info)).toBe(true)
    expect(Object.isFrozen(info.mlock)).toBe(true)
  })

  test('says whether the kernel granted mlock and huge pages, and if not, why', () => {
    const { mlock, hugePages } = makePool({ capacity: 2048, mlock: true, hugePages: true }).info()
    for (const granted of [mlock, hugePages]) {
      expect(granted.asked).toBe(true)
      if (granted.got) expect(granted.why).toBeUndefined()
      else expect(granted.why).toMatch(/\w+/)
    }
  })
})

describe('acquire and release', () => {
  test('zero a buffer before the next holder sees it', () => {
    const pool = makePool({ bufferSize: 1500, capacity: 3, onExhausted: 'throw' })
    for (let round = 0; round < 10; round++) {
      const guards = pool.acquireMany(3)
      for (const guard of guards) {
        expect(isZero(guard.bytes)).toBe(true)
        expect(guard.length).toBe(0)
        guard.bytes.fill(0xff)
        guard.length = 1500
      }
      guards.dispose()
    }
  })

  test('give back all the same by dispose, release and Symbol.dispose', () => {
    const pool = makePool({ capacity: 3 })
    const [a, b, c] = [pool.acquire(), pool.acquire(), pool.acquire()]
    expect(pool.available).toBe(0)
    a.dispose()
    expect(pool.available).toBe(1)
    pool.release(b)
    expect(pool.available).toBe(2)
    c[Symbol.dispose]()
    expect(pool.available).toBe(3)
    expect([a.disposed, b.disposed, c.disposed]).toEqual([true, true, true])
  })

  test('work with using, which gives back when the scope ends and when it throws', () => {
    const pool = makePool({ capacity: 2 })
    {
      using guard = pool.acquire()
      guard.length = guard.bytes.write('hello')
      expect(pool.available).toBe(1)
    }
    expect(pool.available).toBe(2)
    expect(() => {
      using _guard = pool.acquire()
      throw new Error('in the scope')
    }).toThrow('in the scope')
    expect(pool.available).toBe(2)
  })

  test('keep two pools apart', () => {
    const [one, other] = [makePool({ capacity: 1 }), makePool({ capacity: 1 })]
    const [a, b] = [one.acquire(), other.acquire()]
    a.bytes.fill(1)
    b.bytes.fill(2)
    expect(a.bytes.every((byte) => byte === 1)).toBe(true)
    expectRefusal(
      thrownBy(() => one.release(b)),
      { code: 'WRAITH_ERR_FOREIGN_BUFFER', option: 'guard', given: 'another pool' },
    )
    expect(b.disposed).toBe(false)
    a.dispose()
    b.dispose()
  })
})

describe('an exhausted pool', () => {
  test("throws with onExhausted: 'throw', and lends again when one comes home", () => {
    const pool = makePool({ capacity: 2, onExhausted: 'throw' })
    const guards = pool.acquireMany(2)
    expectRefusal(
      thrownBy(() => pool.acquire()),
      { code: 'WRAITH_ERR_POOL_EXHAUSTED', given: 'all 2 buffers', allowed: /capacity 2; dump\(\)/ },
    )
    guards[0]?.dispose()
    const again = pool.acquire()
    expect(again.pooled).toBe(true)
    again.dispose()
    guards.dispose()
  })

  test('gives undefined from tryAcquire, with either policy', () => {
    for (const onExhausted of ['throw', 'allocate'] as const) {
      const pool = makePool({ capacity: 1, onExhausted })
      const guard = pool.tryAcquire()
      expect(guard?.pooled).toBe(true)
      expect(pool.tryAcquire()).toBeUndefined()
      expect(pool.metrics()).toMatchObject({ acquires: 2, exhaustions: 1, fallbackAllocations: 0 })
      guard?.dispose()
    }
  })

  test("gives buffers of the heap with 'allocate', zeroed, which do not count as the pool's", () => {
    const pool = makePool({ bufferSize: 100, capacity: 1 })
    const first = pool.acquire()
    const fallback = pool.acquire()
    expect([first.pooled, fallback.pooled]).toEqual([true, false])
    expect(fallback.bytes.byteLength).toBe(100)
    expect(isZero(fallback.bytes)).toBe(true)
    expect(fallback.bytes.write('heap')).toBe(4)
    expect(pool.metrics()).toMatchObject({ lent: 1, fallbackLive: 1, fallbackAllocations: 1 })
    fallback.touch('ignored').dispose()
    expect(pool.metrics()).toMatchObject({ lent: 1, fallbackLive: 0, fallbackAllocations: 1 })
    expect(pool.available).toBe(0)
    first.dispose()
  })

  test('never has more than maxFallback buffers of the heap at a time', () => {
    const pool = makePool({ capacity: 1, maxFallback: 2 })
    const guards = pool.acquireMany(3)
    expectRefusal(
      thrownBy(() => pool.acquire()),
      { code: 'WRAITH_ERR_POOL_EXHAUSTED', given: 'all 1 buffers and 2 fallback buffers' },
    )
    guards[2]?.dispose()
    pool.acquire().dispose()
    guards.dispose()
  })

  test('has no fallback at all with maxFallback: 0', () => {
    const pool = makePool({ capacity: 1, maxFallback: 0 })
    const guard = pool.acquire()
    expect(thrownBy(() => pool.acquire()).code).toBe('WRAITH_ERR_POOL_EXHAUSTED')
    guard.dispose()
  })

  test('takes a fallback guard by release, of its own pool only', () => {
    const [pool, other] = [makePool({ capacity: 1 }), makePool({ capacity: 1 })]
    const guards = pool.acquireMany(2)
    expect(thrownBy(() => other.release(guards[1] as never)).code).toBe('WRAITH_ERR_FOREIGN_BUFFER')
    pool.release(guards[1] as never)
    guards.dispose()
  })
})

describe('acquireMany', () => {
  test('gives an array that ends all its guards together', () => {
    const pool = makePool({ capacity: 40, onExhausted: 'throw' })
    {
      using guards = pool.acquireMany(40)
      expect(Array.isArray(guards)).toBe(true)
      expect(guards).toHaveLength(40)
      expect(guards.map((guard) => guard.bytes.byteLength)).toEqual(new Array(40).fill(2048))
      expect(Object.getPrototypeOf(guards.filter(() => true))).toBe(Array.prototype)
      guards[7]?.dispose()
    }
    expect(pool.available).toBe(40)
    expect(pool.acquireMany(0)).toHaveLength(0)
  })

  test('gives all or nothing', () => {
    const pool = makePool({ capacity: 4, onExhausted: 'throw' })
    const held = pool.acquireMany(2)
    expect(thrownBy(() => pool.acquireMany(3)).code).toBe('WRAITH_ERR_POOL_EXHAUSTED')
    expect(pool.available).toBe(2)
    expect(expectAudit(pool).lent).toBe(2)
    held.dispose()
  })

  test('counts fallback buffers in, and gives those back too when it fails', () => {
    const pool = makePool({ capacity: 2, maxFallback: 2 })
    const held = pool.acquire()
    expect(thrownBy(() => pool.acquireMany(4)).code).toBe('WRAITH_ERR_POOL_EXHAUSTED')
    expect(pool.metrics()).toMatchObject({ lent: 1, fallbackLive: 0, available: 1 })
    const many = pool.acquireMany(3)
    expect(many.map((guard) => guard.pooled)).toEqual([true, false, false])
    many.dispose()
    held.dispose()
  })
})

describe('close', () => {
  test('is idempotent; open guards stay good and go home; closed resolves after the last', async () => {
    const pool = makePool({ capacity: 3, onExhausted: 'throw' })
    const guards = pool.acquireMany(2)
    let resolved = false
    const closed = pool.closed.then(() => {
      resolved = true
    })
    pool.close()
    pool.close()
    for (const call of [() => pool.acquire(), () => pool.tryAcquire(), () => pool.acquireMany(1)]) {
      expectRefusal(thrownBy(call), { code: 'WRAITH_ERR_POOL_CLOSED', given: 'closed' })
    }
    expect(pool.available).toBe(0)
    const [first, second] = guards as unknown as [(typeof guards)[0], (typeof guards)[0]]
    first.length = first.bytes.write('still mine')
    expect(String(first.data)).toBe('still mine')
    first.dispose()
    await Promise.resolve()
    expect(resolved).toBe(false)
    pool.release(second)
    await closed
    expect(expectAudit(pool)).toMatchObject({ free: 3, lent: 0, cached: 0 })
  })

  test('resolves at once when everything is home', async () => {
    const pool = makePool({ capacity: 64 })
    pool.acquireMany(64).dispose()
    pool[Symbol.dispose]()
    await pool.closed
  })

  test('waits for fallback buffers too', async () => {
    const pool = makePool({ capacity: 1 })
    const [pooled, fallback] = [...pool.acquireMany(2)]
    pool.close()
    pooled?.dispose()
    let resolved = false
    const closed = pool.closed.then(() => {
      resolved = true
    })
    await Promise.resolve()
    expect(resolved).toBe(false)
    fallback?.dispose()
    await closed
  })

  test('still answers metrics, audit, dump and info', () => {
    const pool = makePool({ capacity: 2 })
    pool.acquire().dispose()
    pool.close()
    expect(pool.metrics()).toMatchObject({ acquires: 1, releases: 1, available: 0 })
    expect(pool.dump()).toEqual([])
    expect(pool.info().capacity).toBe(2)
  })

  test('is refused while a socket receives into the pool, and names it', async () => {
    const pool = makePool({ capacity: 128 })
    const socket = await UdpSocket.bind({ address: '127.0.0.1', pool })
    const { port } = socket.address()
    expectRefusal(
      thrownBy(() => pool.close()),
      { code: 'WRAITH_ERR_POOL_IN_USE', given: `the UDP socket on 127.0.0.1:${port}` },
    )
    pool.acquire().dispose()
    await socket.close()
    pool.close()
    await pool.closed
  })

  test('by Symbol.dispose waits for the last socket instead', async () => {
    const pool = makePool({ capacity: 128 })
    const sockets = [
      await UdpSocket.bind({ address: '127.0.0.1', pool }),
      await UdpSocket.bind({ address: '127.0.0.1', pool }),
    ]
    pool[Symbol.dispose]()
    pool.acquire().dispose()
    await sockets[0]?.close()
    pool.acquire().dispose()
    await sockets[1]?.close()
    expect(thrownBy(() => pool.acquire()).code).toBe('WRAITH_ERR_POOL_CLOSED')
    await pool.closed
  })

  test('makes bind refuse the pool', async () => {
    const pool = makePool({ capacity: 8 })
    pool.close()
    await expect(UdpSocket.bind({ address: '127.0.0.1', pool })).rejects.toMatchObject({
      code: 'WRAITH_ERR_POOL_CLOSED',
    })
  })
})
