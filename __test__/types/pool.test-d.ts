// Compiled by scripts/test.mjs with the whole project, never run. An expected error that does not come is an error.
import {
  BufferPool,
  type BufferPoolAudit,
  type BufferPoolMetrics,
  type BufferPoolOptions,
  bufferSizes,
  type HolderInfo,
  type LeakDetection,
  type LeakReport,
  type PooledBuffer,
  type PooledBuffers,
  recommendPoolSize,
  type ThresholdEvent,
} from 'wraith-transport'

import { type Equal, expectTrue } from './equal.ts'

const options = {
  bufferSize: bufferSizes.mtu,
  capacity: recommendPoolSize({ packetsPerSecond: 1, processingMs: 1 }),
  onExhausted: 'throw',
  maxFallback: 0,
  mlock: true,
  hugePages: false,
  leakDetection: 'stack',
} as const satisfies BufferPoolOptions
const pool: BufferPool = new BufferPool(options)
new BufferPool()
new BufferPool({})
new BufferPool({ leakDetection: 'off' satisfies LeakDetection })

// @ts-expect-error a number is asked for
new BufferPool({ bufferSize: '2048' })
// @ts-expect-error none of the two words
new BufferPool({ onExhausted: 'wait' })
// @ts-expect-error none of the four levels
new BufferPool({ leakDetection: 'all' })
// @ts-expect-error no such option
new BufferPool({ buffersize: 2048 })
// @ts-expect-error null is not undefined
new BufferPool({ capacity: null })
// @ts-expect-error read-only
pool.capacity = 1

expectTrue<Equal<ReturnType<typeof pool.acquire>, PooledBuffer>>()
expectTrue<Equal<ReturnType<typeof pool.tryAcquire>, PooledBuffer | undefined>>()
expectTrue<Equal<ReturnType<typeof pool.acquireMany>, PooledBuffers>>()
expectTrue<Equal<ReturnType<typeof pool.release>, void>>()
expectTrue<Equal<ReturnType<typeof pool.metrics>, BufferPoolMetrics>>()
expectTrue<Equal<ReturnType<typeof pool.audit>, BufferPoolAudit>>()
expectTrue<Equal<ReturnType<typeof pool.dump>, readonly HolderInfo[]>>()
expectTrue<Equal<typeof pool.closed, Promise<void>>>()

// @ts-expect-error a guard is needed
pool.release()
// @ts-expect-error bytes are no guard
pool.release(new Uint8Array(8))
// @ts-expect-error how many is needed
pool.acquireMany()

const guard = pool.acquire()
const bytes: Uint8Array = guard.bytes
const buffer: Buffer = guard.bytes
const data: Buffer = guard.data
guard.length = guard.bytes.write('text')
const pooled: boolean = guard.pooled && guard.disposed
expectTrue<Equal<ReturnType<typeof guard.touch>, PooledBuffer>>()
const after: Promise<number> = guard.disposeAfter(Promise.resolve(5))
const settled: Promise<string> = guard.disposeAfter(Promise.resolve('x') as PromiseLike<string>)
// @ts-expect-error a promise is needed
guard.disposeAfter(5)
// @ts-expect-error only `length` can be set
guard.bytes = Buffer.alloc(1)
// @ts-expect-error guards come from a pool
const made: PooledBuffer = { bytes: Buffer.alloc(1), length: 1 }

{
  using one = pool.acquire()
  using several = pool.acquireMany(3)
  using _closes = pool
  const first: PooledBuffer | undefined = several[0]
  const lengths: number[] = several.map(({ length }) => length)
  void [one, first, lengths]
}

pool
  .on('pressure', (event) => expectTrue<Equal<typeof event, ThresholdEvent>>())
  .once('exhaustion', ({ active, value, metrics }) => {
    const [begins, rate, now]: [boolean, number, BufferPoolMetrics] = [active, value, metrics]
    void [begins, rate, now]
  })
  .off('leak', (report) => {
    expectTrue<Equal<typeof report, LeakReport>>()
    expectTrue<Equal<typeof report.stack, string | undefined>>()
  })
// @ts-expect-error no such event
pool.on('drain', () => {})
// @ts-expect-error metrics are a snapshot
pool.metrics().acquires = 1
// @ts-expect-error both figures are needed
recommendPoolSize({ packetsPerSecond: 1 })
// @ts-expect-error sizes cannot be changed
bufferSizes.mtu = 1

void [bytes, buffer, data, pooled, after, settled, made]
