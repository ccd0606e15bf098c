import { describe, expect, test } from 'vitest'

import { PoolWorker, until } from './support/pool-workers.ts'
import { expectAudit, makePool } from './support/pools.ts'

const THREADS = [0, 1, 2, 3]

async function together(capacity: number) {
  const pool = makePool({ bufferSize: 64, capacity, shared: true, onExhausted: 'throw' })
  const workers = await Promise.all(
    THREADS.map(() => PoolWorker.start(pool.share(), { onExhausted: 'throw' })),
  )
  const end = async () => void (await Promise.all(workers.map((worker) => worker.terminate())))
  return { pool, workers, end }
}

describe.each([1, 2, 8, 63])('a pool of %d buffers', (capacity) => {
  test('serves four threads, and Rust threads at the same time, each as often as it asks', async () => {
    const { pool, workers, end } = await together(capacity)
    const rust = pool.exercise({ threads: 2, acquires: 500 })
    const counts = await Promise.all(
      workers.map((worker, i) =>
        worker.run(async ({ pool }, stamp) => {
          const done = { acquired: 0, wrong: 0 }
          while (done.acquired < 200) {
            const guard = await pool.acquireAsync()
            if (guard.bytes.some((byte) => byte !== 0)) done.wrong++
            guard.bytes.fill(stamp)
            if (done.acquired % 5 === 0) await new Promise(setImmediate)
            if (guard.bytes.some((byte) => byte !== stamp)) done.wrong++
            done.acquired++
            guard.dispose()
          }
          return done
        }, i + 1),
      ),
    )
    expect(counts).toEqual(THREADS.map(() => ({ acquired: 200, wrong: 0 })))
    expect(await rust).toEqual({ acquires: 1000, wrong: 0 })
    const { rustAcquires, waiting } = pool.metrics().pool ?? {}
    expect({ rustAcquires, waiting }).toEqual({ rustAcquires: 1000, waiting: 0 })
    await end()
    expect(expectAudit(pool)).toMatchObject({ elsewhere: 0, lent: 0 })
  })

  test('serves threads in the order of their coming', async () => {
    const { pool, workers, end } = await together(capacity)
    const guards = pool.acquireMany(capacity)
    const order = new Int32Array(new SharedArrayBuffer(4 * 13))
    // Three rounds over all threads: a call has joined the queue when its task has returned.
    for (let call = 0; call < 12; call++) {
      await workers[call % 4]?.run(
        ({ pool, notes }, [order, call]) => {
          const wait = async () => {
            const guard = await pool.acquireAsync()
            order[Atomics.add(order, 0, 1) + 1] = call
            guard.dispose()
          }
          notes[String(call)] = wait()
        },
        [order, call] as const,
      )
    }
    // One buffer goes round: who has it gives it to the next one in the queue.
    guards[0]?.dispose()
    for (let call = 0; call < 12; call++) {
      await workers[call % 4]?.run(({ notes }, call) => notes[String(call)], call)
    }
    expect([...order]).toEqual([12, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11])
    guards.dispose()
    await end()
  })

  test('a thread that is blocked keeps no more than its cap, and the others go on', async () => {
    const { pool, workers, end } = await together(capacity)
    const gate = new Int32Array(new SharedArrayBuffer(4))
    const cap = Math.min(32, Math.floor(capacity / (8 * 5)))
    const blocked = workers[0]?.run(({ pool }, gate) => {
      for (let i = 0; i < 50; i++) pool.tryAcquire()?.dispose()
      Atomics.store(gate, 0, 1)
      Atomics.notify(gate, 0)
      Atomics.wait(gate, 0, 1)
    }, gate)
    await until(() => Atomics.load(gate, 0) === 1)
    expect(expectAudit(pool).elsewhere).toBeLessThanOrEqual(cap)
    const counts = await Promise.all(
      workers.slice(1).map((worker) =>
        worker.run(async ({ pool }) => {
          for (let i = 0; i < 50; i++) (await pool.acquireAsync()).dispose()
          return 50
        }),
      ),
    )
    expect(counts).toEqual([50, 50, 50])
    Atomics.store(gate, 0, 2)
    Atomics.notify(gate, 0)
    await blocked
    await end()
  })
})
