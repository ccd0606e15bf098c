import { describe, expect, test } from 'vitest'
import { BufferPool } from 'wraith-transport'

import { expectRefusal, rejectionOf } from './support/errors.ts'
import { PoolWorker } from './support/pool-workers.ts'
import { expectAudit, makePool } from './support/pools.ts'

const shared = (options = {}) => makePool({ bufferSize: 64, capacity: 64, shared: true, ...options })

describe('metrics() of a shared pool', () => {
  test('have sums over all threads, and a frozen entry for each', async () => {
    const pool = shared()
    await using worker = await PoolWorker.start(pool.share())
    pool.acquireMany(3).dispose()
    const held = pool.acquire()
    const theirs = await worker.run(({ pool, kept }) => {
      for (let i = 0; i < 5; i++) kept.push(pool.acquire())
      pool.acquireMany(10).dispose()
      return pool.metrics()
    })
    expect(theirs).toMatchObject({ acquires: 15, releases: 10, lent: 5 })
    const metrics = pool.metrics()
    expect(metrics).toMatchObject({ acquires: 4, releases: 3, lent: 1, leaked: 0 })
    expect(metrics.pool).toMatchObject({ acquires: 19, exhaustions: 0, leaked: 0, fallbackAllocations: 0 })
    const { isolates = [] } = metrics
    expect(isolates).toHaveLength(2)
    const [mine, other] = isolates
    expect(mine).toMatchObject({ threadId: 0, acquires: 4, lent: 1 })
    expect(other).toMatchObject({ threadId: worker.thread.threadId, acquires: 15, lent: 5 })
    expect(metrics.cachedElsewhere).toBe(other?.cached)
    expect(pool.cachedElsewhere).toBe(other?.cached)
    expect(expectAudit(pool).elsewhere).toBe(5 + (other?.cached ?? 0))
    for (const it of [metrics, metrics.pool, isolates, mine]) expect(Object.isFrozen(it)).toBe(true)
    held.dispose()
  })

  test('keep what threads have counted that have ended, and drop what they held', async () => {
    const pool = shared({ capacity: 8 })
    for (let round = 1; round <= 3; round++) {
      const worker = await PoolWorker.start(pool.share())
      await worker.run(({ pool }) => {
        pool.acquireMany(10).dispose()
        pool.metrics()
      })
      await worker.terminate()
      expect(pool.metrics().isolates).toHaveLength(1)
      expect(pool.metrics().pool).toMatchObject({
        acquires: 10 * round,
        fallbackAllocations: 2 * round,
        exhaustions: 2 * round,
        fallbackLive: 0,
        waiting: 0,
      })
    }
    expect(pool.metrics().cachedElsewhere).toBe(0)
  })

  test.each(['granted', 'aborted', 'closed'] as const)(
    'count a wait of another attachment from its beginning until it is %s, though that one is not asked',
    async (end) => {
      const pool = shared({ capacity: 1 })
      const other = BufferPool.attach(pool.share())
      const guard = pool.acquire()
      const controller = new AbortController()
      const waits = other.acquireAsync({ signal: controller.signal })
      expect(pool.metrics().pool).toMatchObject({ waits: 1, waiting: 1 })
      if (end === 'granted') guard.dispose()
      else if (end === 'aborted') controller.abort()
      else other.close()
      const [outcome] = await Promise.allSettled([waits])
      expect(pool.metrics().pool).toMatchObject({ waits: 1, waiting: 0 })
      if (outcome?.status === 'fulfilled') outcome.value.dispose()
      guard.dispose()
      other.close()
    },
  )

  test('of a private pool have none of this', () => {
    const metrics = makePool({ capacity: 1 }).metrics()
    expect(metrics).not.toHaveProperty('pool')
    expect(metrics).not.toHaveProperty('isolates')
    expect(metrics.cachedElsewhere).toBe(0)
  })

  test('are published without being asked, within 128 acquires', async () => {
    const pool = shared({ leakDetection: 'off' })
    await using worker = await PoolWorker.start(pool.share(), { leakDetection: 'off' })
    await worker.run(({ pool }) => {
      for (let i = 0; i < 1000; i++) pool.acquire().dispose()
    })
    const seen = pool.metrics().pool?.acquires ?? 0
    expect(seen).toBeGreaterThan(1000 - 128)
    expect(seen).toBeLessThanOrEqual(1000)
  })
})

describe('a magazine', () => {
  test.each([
    [1024, 1, 32],
    [64, 1, 8],
    [64, 2, 4],
    [7, 1, 0],
  ])('of a pool of %d with %d attached keeps at most %d', (capacity, attached, most) => {
    const pool = shared({ capacity })
    const others = Array.from({ length: attached - 1 }, () => BufferPool.attach(pool.share()))
    pool.acquireMany(capacity).dispose()
    expect(expectAudit(pool).cached).toBeLessThanOrEqual(most)
    if (process.env['WRAITH_DEBUG'] !== '1' && most > 0) expect(pool.audit().cached).toBeGreaterThan(0)
    expect(pool.available).toBe(capacity)
    for (const other of others) other.close()
  })
})

describe('exercise()', () => {
  test('lets Rust threads use the pool while JavaScript does, and finds nothing wrong', async () => {
    const pool = shared({ capacity: 16, onExhausted: 'throw' })
    const running = pool.exercise({ threads: 4, acquires: 2000 })
    let wrong = 0
    let mine = 0
    let over = false
    void running.then(() => {
      over = true
    })
    while (!over) {
      const guard = await pool.acquireAsync()
      if (!guard.bytes.every((byte) => byte === 0)) wrong++
      guard.bytes.fill(++mine)
      await new Promise(setImmediate)
      if (!guard.bytes.every((byte) => byte === (mine & 255))) wrong++
      guard.dispose()
    }
    const result = await running
    expect(result).toEqual({ acquires: 8000, wrong: 0 })
    expect(Object.isFrozen(result)).toBe(true)
    expect(wrong).toBe(0)
    expect(mine).toBeGreaterThan(0)
    expect(pool.metrics().pool?.rustAcquires).toBe(8000)
    expect(expectAudit(pool)).toMatchObject({ lent: 0, batched: 0 })
  })

  test('ends early when the pool is closed', async () => {
    const pool = shared({ capacity: 1 })
    const held = pool.acquire()
    const running = pool.exercise({ threads: 2, acquires: 1000 })
    pool.close()
    expect(await running).toEqual({ acquires: 0, wrong: 0 })
    held.dispose()
  })

  test('refuses private pools, closed ones, and what it cannot do', async () => {
    const refused = (pool: BufferPool, options?: object) => rejectionOf(() => pool.exercise(options))
    expectRefusal(await refused(makePool({ capacity: 1 })), { code: 'WRAITH_ERR_NOT_SHARED' })
    const pool = shared()
    expectRefusal(await refused(pool, { threads: 0 }), { code: 'WRAITH_ERR_OUT_OF_RANGE', option: 'threads' })
    expectRefusal(await refused(pool, { threads: 65 }), {
      code: 'WRAITH_ERR_OUT_OF_RANGE',
      option: 'threads',
    })
    expectRefusal(await refused(pool, { acquires: '5' }), {
      code: 'WRAITH_ERR_INVALID_ARG_TYPE',
      option: 'acquires',
    })
    expectRefusal(await refused(pool, { thread: 5 }), { code: 'WRAITH_ERR_UNKNOWN_OPTION', option: 'thread' })
    pool.close()
    expectRefusal(await refused(pool), { code: 'WRAITH_ERR_POOL_CLOSED' })
  })
})
