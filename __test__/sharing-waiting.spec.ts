import { describe, expect, test } from 'vitest'
import { BufferPool, type PooledBuffer } from 'wraith-transport'

import { expectRefusal, rejectionOf } from './support/errors.ts'
import { PoolWorker, turns, until } from './support/pool-workers.ts'
import { expectAudit, isZero, makePool } from './support/pools.ts'

const kinds = [
  ['a private pool', false],
  ['a shared pool', true],
] as const

describe.each(kinds)('acquireAsync() of %s', (_what, shared) => {
  const make = (capacity: number) => makePool({ bufferSize: 64, capacity, shared, onExhausted: 'throw' })

  test('gives a zeroed buffer at once when there is one', async () => {
    const pool = make(2)
    const guard = await pool.acquireAsync()
    expect(guard.pooled).toBe(true)
    expect(isZero(guard.bytes)).toBe(true)
    guard.dispose()
    expect(pool.metrics()).toMatchObject({ acquires: 1, waits: 0, waiting: 0, exhaustions: 0 })
  })

  test('waits until one is released, and gets it zeroed', async () => {
    const pool = make(1)
    const held = pool.acquire()
    held.bytes.fill(7)
    const waits = pool.acquireAsync()
    await turns()
    expect(pool.metrics()).toMatchObject({ waits: 1, waiting: 1 })
    held.dispose()
    const guard = await waits
    expect(isZero(guard.bytes)).toBe(true)
    guard.dispose()
    expect(pool.metrics()).toMatchObject({ acquires: 2, releases: 2, waits: 1, waiting: 0 })
  })

  test('serves those who wait in the order of their coming, and nobody overtakes them', async () => {
    const pool = make(2)
    const held = [pool.acquire(), pool.acquire()]
    const order: number[] = []
    const waits = [0, 1, 2, 3].map(async (i) => {
      const guard = await pool.acquireAsync()
      order.push(i)
      return guard
    })
    held[0]?.dispose()
    expect(pool.tryAcquire()).toBeUndefined()
    held[1]?.dispose()
    expect(pool.tryAcquire()).toBeUndefined()
    const [first, second] = [await waits[0], await waits[1]]
    expect(order).toEqual([0, 1])
    second?.dispose()
    first?.dispose()
    for (const wait of waits.slice(2)) (await wait).dispose()
    expect(order).toEqual([0, 1, 2, 3])
    const guard = pool.acquire()
    guard.dispose()
    expect(pool.available).toBe(2)
  })

  test('never falls back to the heap', async () => {
    const pool = makePool({ capacity: 1, shared })
    const held = pool.acquire()
    const waits = pool.acquireAsync()
    held.dispose()
    const guard = await waits
    expect(guard.pooled).toBe(true)
    guard.dispose()
  })

  test('gives up when its signal fires, and the buffer is the next one’s', async () => {
    const pool = make(1)
    const held = pool.acquire()
    const controller = new AbortController()
    const aborted = rejectionOf(() => pool.acquireAsync({ signal: controller.signal }))
    const next = pool.acquireAsync()
    await turns()
    controller.abort('changed my mind')
    const error = await aborted
    expectRefusal(error, { code: 'WRAITH_ERR_ABORTED', option: 'signal' })
    expect(error.cause).toBe('changed my mind')
    expect(pool.metrics().waiting).toBe(1)
    held.dispose()
    const guard = await next
    guard.dispose()
    expect(pool.available).toBe(1)
  })

  test('aborted in the very turn in which the buffer was given: one of both, and no buffer is lost', async () => {
    const pool = make(1)
    for (let round = 0; round < 50; round++) {
      const held = pool.acquire()
      const controller = new AbortController()
      const waits = pool.acquireAsync({ signal: controller.signal })
      await turns(round % 3)
      held.dispose()
      await turns(round % 2)
      controller.abort()
      await waits.then(
        (guard) => guard.dispose(),
        (error) => expect(error.code).toBe('WRAITH_ERR_ABORTED'),
      )
      const guard = await pool.acquireAsync()
      guard.dispose()
    }
    expect(expectAudit(pool).lent).toBe(0)
  })

  test('with a signal that has fired takes nothing', async () => {
    const pool = make(1)
    const error = await rejectionOf(() => pool.acquireAsync({ signal: AbortSignal.abort('before') }))
    expectRefusal(error, { code: 'WRAITH_ERR_ABORTED', option: 'signal' })
    expect(error.cause).toBe('before')
    expect(pool.metrics().acquires).toBe(0)
  })

  test('keeps no listener on a signal that it does not need any more', async () => {
    const pool = make(1)
    let listeners = 0
    const signal = {
      aborted: false,
      reason: undefined,
      addEventListener: () => void listeners++,
      removeEventListener: () => void listeners--,
    }
    const held = pool.acquire()
    const waits = pool.acquireAsync({ signal })
    expect(listeners).toBe(1)
    held.dispose()
    const guard = await waits
    expect(listeners).toBe(0)
    guard.dispose()
  })

  test('is refused when the pool closes, at once or meanwhile', async () => {
    const pool = make(1)
    const held = pool.acquire()
    const waits = [pool.acquireAsync(), pool.acquireAsync()].map((wait) => rejectionOf(() => wait))
    await turns()
    pool.close()
    for (const error of await Promise.all(waits)) expectRefusal(error, { code: 'WRAITH_ERR_POOL_CLOSED' })
    expectRefusal(await rejectionOf(() => pool.acquireAsync()), { code: 'WRAITH_ERR_POOL_CLOSED' })
    held.dispose()
    await pool.closed
  })

  test('refuses what is no option and no signal', async () => {
    const pool = make(1)
    const refused = (options: unknown) => rejectionOf(() => pool.acquireAsync(options as never))
    expectRefusal(await refused({ timeout: 5 }), { code: 'WRAITH_ERR_UNKNOWN_OPTION', option: 'timeout' })
    expectRefusal(await refused({ signal: 5 }), { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'signal' })
    expectRefusal(await refused(5), { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'acquireAsync options' })
  })
})

describe('threads that wait for each other', () => {
  test('a release in one wakes the other, also when it rests in a magazine', async () => {
    const pool = makePool({ bufferSize: 64, capacity: 64, shared: true, onExhausted: 'throw' })
    await using worker = await PoolWorker.start(pool.share(), { onExhausted: 'throw' })
    const guards: PooledBuffer[] = []
    for (let guard = pool.tryAcquire(); guard !== undefined; guard = pool.tryAcquire()) guards.push(guard)
    expect(guards).toHaveLength(64)
    const theirs = worker.run(async ({ pool, kept }) => void kept.push(await pool.acquireAsync()))
    await until(() => pool.metrics().pool?.waiting === 1)
    guards.pop()?.dispose()
    await theirs
    // The worker has one, and what it does not use rests with it; this thread can have it all the same.
    for (const guard of guards.splice(0)) guard.dispose()
    await worker.run(({ pool, kept }) => {
      for (let guard = pool.tryAcquire(); guard !== undefined; guard = pool.tryAcquire()) kept.push(guard)
      for (const guard of kept.splice(0)) guard.dispose()
    })
    const waits = Array.from({ length: 64 }, () => pool.acquireAsync())
    for (const guard of await Promise.all(waits)) guards.push(guard)
    expect(new Set(pool.dump().map(({ slot }) => slot)).size).toBe(64)
    for (const guard of guards) guard.dispose()
  })

  test.each([1, 2, 8, 63])('a pool of %d makes progress with four of them', async (capacity) => {
    const pool = makePool({ bufferSize: 64, capacity, shared: true })
    const workers = await Promise.all([0, 1, 2, 3].map(() => PoolWorker.start(pool.share())))
    const done = await Promise.all(
      workers.map((worker) =>
        worker.run(async ({ pool }) => {
          let wrong = 0
          for (let i = 0; i < 200; i++) {
            const guard = await pool.acquireAsync()
            if (!guard.bytes.every((byte) => byte === 0)) wrong++
            guard.bytes.fill(i)
            if (i % 7 === 0) await new Promise(setImmediate)
            guard.dispose()
          }
          return wrong
        }),
      ),
    )
    expect(done).toEqual([0, 0, 0, 0])
    for (const worker of workers) await worker.terminate()
    expect(expectAudit(pool)).toMatchObject({ elsewhere: 0, transit: 0 })
  })

  test('one that ends while it waits, or while its buffer is under way, leaves nothing behind', async () => {
    const pool = makePool({ bufferSize: 64, capacity: 1, shared: true, onExhausted: 'throw' })
    for (let round = 0; round < 5; round++) {
      const held = pool.acquire()
      const worker = await PoolWorker.start(pool.share())
      void worker.run(({ pool }) => void pool.acquireAsync())
      await until(() => pool.metrics().pool?.waiting === 1)
      if (round % 2 === 0) held.dispose()
      await worker.terminate()
      held.dispose()
      const guard = await pool.acquireAsync()
      guard.dispose()
    }
    expect(pool.metrics().isolates).toHaveLength(1)
  })

  test('one that is blocked keeps no more than its share from the others', async () => {
    const pool = makePool({ bufferSize: 64, capacity: 64, shared: true, onExhausted: 'throw' })
    const worker = await PoolWorker.start(pool.share())
    const gate = new Int32Array(new SharedArrayBuffer(4))
    const blocked = worker.run(({ pool }, gate) => {
      pool.acquire().dispose()
      Atomics.store(gate, 0, 1)
      Atomics.notify(gate, 0)
      Atomics.wait(gate, 0, 1)
    }, gate)
    Atomics.wait(gate, 0, 0)
    const mine = pool.acquireMany(64 - 4)
    expect(expectAudit(pool).elsewhere).toBeLessThanOrEqual(4)
    mine.dispose()
    Atomics.store(gate, 0, 2)
    Atomics.notify(gate, 0)
    await blocked
    await worker.terminate()
  })

  test('so may two attachments of one thread', async () => {
    const pool = makePool({ bufferSize: 64, capacity: 1, shared: true, onExhausted: 'throw' })
    const other = BufferPool.attach(pool.share())
    const held = other.acquire()
    const waits = pool.acquireAsync()
    setImmediate(() => held.dispose())
    const guard = await waits
    guard.dispose()
    other.close()
    await other.closed
  })
})
