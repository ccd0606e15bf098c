import { describe, expect, test } from 'vitest'
import { BufferPool, type PooledBuffer } from 'wraith-transport'

import { childResult } from './support/child.ts'
import { expectRefusal, rejectionOf, thrownBy } from './support/errors.ts'
import { PoolWorker, turns, until } from './support/pool-workers.ts'
import { expectAudit, isZero, makePool } from './support/pools.ts'

const shared = (options = {}) =>
  makePool({ bufferSize: 64, capacity: 64, shared: true, onExhausted: 'throw', ...options })

/** Whether a promise has settled by the time that other threads were heard. */
async function isSettled(promise: Promise<unknown>): Promise<boolean> {
  let settled = false
  void promise.then(() => {
    settled = true
  })
  await turns()
  return settled
}

describe('close()', () => {
  test('by who made the pool ends it for every thread', async () => {
    const pool = shared()
    await using worker = await PoolWorker.start(pool.share())
    await worker.run(({ pool, notes }) => {
      notes['waits'] = [pool.acquire()]
      notes['refused'] = pool.closed.then(() => 'closed')
    })
    pool.close()
    const codes = await worker.run(async ({ pool, notes, BufferPool }) => {
      const codes: string[] = []
      const note = (act: () => unknown) => {
        try {
          act()
        } catch (error) {
          codes.push((error as { code: string }).code)
        }
      }
      const [guard] = notes['waits'] as PooledBuffer[]
      // What this thread has not heard of yet it learns when it asks for more than it has.
      for (let i = 0; i < 64; i++) {
        try {
          pool.acquire().dispose()
        } catch (error) {
          codes.push((error as { code: string }).code)
          break
        }
        await new Promise(setImmediate)
      }
      note(() => pool.tryAcquire())
      note(() => guard?.transfer())
      note(() => pool.adopt('0'.repeat(48)))
      note(() => pool.share())
      await pool.acquireAsync().catch((error) => codes.push(error.code))
      guard?.bytes.fill(1)
      guard?.dispose()
      codes.push((await notes['refused']) as string)
      return [...codes, BufferPool.name]
    })
    expect(codes).toEqual([...new Array(6).fill('WRAITH_ERR_POOL_CLOSED'), 'closed', 'BufferPool'])
    await pool.closed
    expect(expectAudit(pool)).toMatchObject({ free: 64, elsewhere: 0 })
  })

  test('by another object only leaves: its buffers go home, the others go on', async () => {
    const pool = shared()
    const other = BufferPool.attach(pool.share())
    const guard = other.acquire()
    other.close()
    other.close()
    expectRefusal(
      thrownBy(() => other.acquire()),
      { code: 'WRAITH_ERR_POOL_CLOSED' },
    )
    expectRefusal(await rejectionOf(() => other.acquireAsync()), { code: 'WRAITH_ERR_POOL_CLOSED' })
    expect(other.available).toBe(0)
    expect(expectAudit(pool).elsewhere).toBe(1)
    expect(await isSettled(other.closed)).toBe(false)
    guard.bytes.fill(1)
    guard.dispose()
    await other.closed
    expect(expectAudit(pool)).toMatchObject({ elsewhere: 0 })
    pool.acquire().dispose()
  })

  test('closed waits for the buffers of all threads, and for fallback buffers', async () => {
    const pool = makePool({ bufferSize: 64, capacity: 8, shared: true })
    await using worker = await PoolWorker.start(pool.share())
    await worker.run(({ pool, kept }) => void kept.push(...pool.acquireMany(2)))
    const guards = pool.acquireMany(pool.available + 1)
    expect(guards.at(-1)?.pooled).toBe(false)
    pool.close()
    const { closed } = pool
    guards.pop()?.dispose()
    expect(await isSettled(closed)).toBe(false)
    guards.dispose()
    expect(await isSettled(closed)).toBe(false)
    await worker.run(({ kept }) => kept.pop()?.dispose())
    expect(await isSettled(closed)).toBe(false)
    await worker.run(({ kept }) => kept.pop()?.dispose())
    await closed
    expect(expectAudit(pool).free).toBe(8)
  })

  test('closed of who made it resolves when the thread that held the last buffer dies', async () => {
    const pool = shared()
    const worker = await PoolWorker.start(pool.share())
    await worker.run(({ pool, kept }) => void kept.push(pool.acquire()))
    pool.close()
    const { closed } = pool
    expect(await isSettled(closed)).toBe(false)
    await worker.terminate()
    await closed
    expect(expectAudit(pool).free).toBe(64)
  })

  test('by using ends an attachment with its scope', () => {
    const pool = shared()
    {
      using other = BufferPool.attach(pool.share())
      other.acquire().dispose()
    }
    expect(pool.metrics().isolates).toHaveLength(1)
  })
})

describe('a thread that ends', () => {
  test.each(['terminate', 'exit', 'throw', 'return'])('by %s gives everything back, zeroed', async (how) => {
    const pool = shared()
    for (let round = 0; round < 5; round++) {
      const worker = await PoolWorker.start(pool.share())
      worker.thread.on('error', () => {})
      await worker.run(({ pool, kept, notes }) => {
        const guards = pool.acquireMany(20)
        for (const guard of guards) guard.bytes.fill(0xee)
        kept.push(...guards.slice(0, 10))
        notes['views'] = guards.slice(10).map(({ bytes }) => bytes.subarray(3))
        pool.acquireMany(3).dispose()
      })
      const ended = new Promise((resolve) => worker.thread.once('exit', resolve))
      if (how === 'terminate') void worker.terminate()
      else {
        void worker
          .run((_inside, how) => {
            if (how === 'exit') process.exit(0)
            if (how === 'throw')
              setImmediate(() => {
                throw new Error('thrown on purpose')
              })
            // Nothing keeps it alive without its port.
            if (how === 'return') process.getBuiltinModule('node:worker_threads').parentPort?.close()
          }, how)
          .catch(() => {})
      }
      await ended
      expect(expectAudit(pool)).toMatchObject({ elsewhere: 0, lent: 0, quarantined: 0 })
    }
    const guards = pool.acquireMany(64)
    expect(guards.every(({ bytes }) => isZero(bytes))).toBe(true)
    guards.dispose()
    expect(pool.metrics().pool?.reclaimed).toBeGreaterThanOrEqual(5 * 20)
  })

  test('and that made the pool leaves it to those who are attached', async () => {
    const first = shared()
    await using worker = await PoolWorker.start(first.share())
    const token = await worker.run(({ BufferPool, notes }) => {
      const pool = new BufferPool({ bufferSize: 32, capacity: 8, shared: true, onExhausted: 'throw' })
      notes['pool'] = [pool, pool.acquire()]
      return pool.share()
    })
    const pool = BufferPool.attach(token, { onExhausted: 'throw' })
    await worker.terminate()
    const guards = pool.acquireMany(8)
    expect(guards.every(({ bytes }) => isZero(bytes))).toBe(true)
    const second = BufferPool.attach(token)
    guards.dispose()
    for (const it of [pool, second]) {
      it.close()
      await it.closed
    }
  })

  test('takes its pool with it when nobody else is attached: the token finds nothing', async () => {
    const first = shared()
    const worker = await PoolWorker.start(first.share())
    const token = await worker.run(({ BufferPool, notes }) => {
      const pool = new BufferPool({ bufferSize: 32, capacity: 8, shared: true })
      notes['pool'] = pool
      return pool.share()
    })
    await worker.terminate()
    expectRefusal(
      thrownBy(() => BufferPool.attach(token)),
      {
        code: 'WRAITH_ERR_STALE_TOKEN',
        option: 'token',
      },
    )
  })
})

describe('an attachment that is forgotten', () => {
  test('gives everything back, and empties the views that are still there', async () => {
    const pool = shared()
    const views: Uint8Array[] = []
    const forget = () => {
      const other = BufferPool.attach(pool.share(), { leakDetection: 'off' })
      for (let i = 0; i < 5; i++) {
        const { bytes } = other.acquire()
        bytes.fill(0xee)
        views.push(bytes)
      }
    }
    forget()
    expect(expectAudit(pool).elsewhere).toBeGreaterThanOrEqual(5)
    await until(() => {
      globalThis.gc?.()
      return pool.audit().elsewhere === 0
    })
    if (process.env['WRAITH_DEBUG'] !== '1')
      expect(views.map(({ byteLength }) => byteLength)).toEqual([0, 0, 0, 0, 0])
    expect(pool.metrics().isolates).toHaveLength(1)
    const guards = pool.acquireMany(64)
    expect(guards.every(({ bytes }) => isZero(bytes))).toBe(true)
    guards.dispose()
  })

  test('is not forgotten while a call waits in it', async () => {
    const pool = shared({ capacity: 1 })
    const held = pool.acquire()
    const wait = () => BufferPool.attach(pool.share()).acquireAsync()
    const waits = wait()
    for (let i = 0; i < 10; i++) {
      globalThis.gc?.()
      await turns(1)
    }
    held.dispose()
    const guard = await waits
    expect(isZero(guard.bytes)).toBe(true)
    guard.dispose()
  })
})

describe('a process', () => {
  test('that waits for a buffer of another thread stays alive; one that does not, ends', async () => {
    expect(await childResult('await-other.mjs')).toEqual({ bytes: 64, closed: true })
  })

  test.each(['exit', 'end', 'crash'])(
    'that ends by %s with threads at work ends with its own code',
    async (how) => {
      const ended = await childResult('exit-while-sharing.mjs', { args: [how] }).then(
        () => 'well',
        (error: Error) => error.message,
      )
      expect(ended).toBe('well')
    },
  )
})
