import fc from 'fast-check'
import { expect, test } from 'vitest'
import { BufferPool, type BufferPoolOptions, type PooledBuffer, type WraithErrorCode } from 'wraith-transport'

import { thrownBy } from './support/errors.ts'
import { debugMode, expectAudit, isZero } from './support/pools.ts'

/** What the model knows of a guard that is out. */
interface Held {
  readonly guard: PooledBuffer
  readonly bytes: Uint8Array
  readonly pooled: boolean
  fill: number
  length: number
}

type Checked = Required<Pick<BufferPoolOptions, 'bufferSize' | 'capacity' | 'onExhausted' | 'maxFallback'>>

/** A pool beside the plainest model of one: a list of who holds what. */
class Pair {
  readonly pool: BufferPool
  readonly options: Checked
  readonly held: Held[] = []
  /** Guards that were handed to disposeAfter, with what settles their promise. */
  readonly pending: { held: Held; settle: () => void; home: Promise<void> }[] = []
  readonly gone: PooledBuffer[] = []
  readonly late: Uint8Array[] = []
  closed = false
  acquires = 0
  exhaustions = 0
  fallbacks = 0

  constructor(options: Checked & BufferPoolOptions) {
    this.options = options
    this.pool = new BufferPool(options)
  }

  get out(): Held[] {
    return [...this.held, ...this.pending.map(({ held }) => held)]
  }

  get pooledOut(): number {
    return this.out.filter(({ pooled }) => pooled).length
  }

  get fallbackOut(): number {
    return this.out.length - this.pooledOut
  }

  /** What the next acquire must do: a pooled buffer, one of the heap, or an error. */
  next(): 'pooled' | 'heap' | WraithErrorCode {
    if (this.closed) return 'WRAITH_ERR_POOL_CLOSED'
    if (this.pooledOut < this.options.capacity) return 'pooled'
    const { onExhausted, maxFallback } = this.options
    return onExhausted === 'allocate' && this.fallbackOut < maxFallback ? 'heap' : 'WRAITH_ERR_POOL_EXHAUSTED'
  }

  acquire(): void {
    const wanted = this.next()
    if (!this.closed) this.acquires++
    if (wanted === 'heap' || wanted === 'WRAITH_ERR_POOL_EXHAUSTED') this.exhaustions++
    if (wanted !== 'pooled' && wanted !== 'heap') {
      expect(thrownBy(() => this.pool.acquire()).code).toBe(wanted)
      return
    }
    this.take(this.pool.acquire(), wanted)
  }

  tryAcquire(): void {
    const wanted = this.next()
    if (wanted === 'WRAITH_ERR_POOL_CLOSED') {
      expect(thrownBy(() => this.pool.tryAcquire()).code).toBe(wanted)
      return
    }
    this.acquires++
    const guard = this.pool.tryAcquire()
    if (wanted === 'pooled') this.take(guard as PooledBuffer, 'pooled')
    else {
      this.exhaustions++
      expect(guard).toBeUndefined()
    }
  }

  acquireMany(count: number): void {
    if (count === 0) {
      expect(this.pool.acquireMany(0)).toHaveLength(0)
      return
    }
    const { capacity, maxFallback, onExhausted } = this.options
    const heap = onExhausted === 'allocate' ? maxFallback : 0
    if (count > capacity + heap) {
      expect(thrownBy(() => this.pool.acquireMany(count)).code).toBe('WRAITH_ERR_OUT_OF_RANGE')
      return
    }
    if (this.closed) {
      expect(thrownBy(() => this.pool.acquireMany(count)).code).toBe('WRAITH_ERR_POOL_CLOSED')
      return
    }
    const fromSlab = Math.min(count, capacity - this.pooledOut)
    const fromHeap = Math.min(count - fromSlab, heap - this.fallbackOut)
    const enough = fromSlab + fromHeap === count
    this.acquires += fromSlab + fromHeap + Number(!enough)
    this.exhaustions += fromHeap + Number(!enough)
    if (!enough) {
      this.fallbacks += fromHeap
      expect(thrownBy(() => this.pool.acquireMany(count)).code).toBe('WRAITH_ERR_POOL_EXHAUSTED')
      return
    }
    const guards = this.pool.acquireMany(count)
    expect(guards).toHaveLength(count)
    for (const [i, guard] of guards.entries()) this.take(guard, i < fromSlab ? 'pooled' : 'heap')
  }

  take(guard: PooledBuffer, from: 'pooled' | 'heap'): void {
    expect(guard.pooled).toBe(from === 'pooled')
    if (from === 'heap') this.fallbacks++
    expect(guard.bytes.byteLength).toBe(this.options.bufferSize)
    expect(isZero(guard.bytes)).toBe(true)
    expect(guard.length).toBe(0)
    this.held.push({ guard, bytes: guard.bytes, pooled: from === 'pooled', fill: 0, length: 0 })
  }

  write(at: number, fill: number): void {
    const held = this.held[at % this.held.length]
    if (held === undefined) return
    held.bytes.fill(fill)
    held.fill = fill
    held.length = held.guard.length = fill % (this.options.bufferSize + 1)
    held.guard.touch(fill)
  }

  end(at: number, how: 'dispose' | 'release'): void {
    const [held] = this.held.splice(at % Math.max(1, this.held.length), 1)
    if (held === undefined) return
    this.check(held)
    if (how === 'dispose') held.guard.dispose()
    else this.pool.release(held.guard)
    this.forget(held)
  }

  endLater(at: number): void {
    const [held] = this.held.splice(at % Math.max(1, this.held.length), 1)
    if (held === undefined) return
    let settle = (): void => {}
    const home = held.guard.disposeAfter(
      new Promise<void>((resolve) => {
        settle = resolve
      }),
    )
    this.gone.push(held.guard)
    this.pending.push({ held, settle, home })
  }

  async settle(at: number): Promise<void> {
    const [pending] = this.pending.splice(at % Math.max(1, this.pending.length), 1)
    if (pending === undefined) return
    expect(pending.held.bytes.every((byte) => byte === pending.held.fill)).toBe(true)
    pending.settle()
    await pending.home
    this.late.push(pending.held.bytes)
  }

  forget(held: Held): void {
    this.gone.push(held.guard)
    this.late.push(held.bytes)
  }

  disposeAgain(at: number): void {
    const guard = this.gone[at % Math.max(1, this.gone.length)]
    if (guard === undefined) return
    guard.dispose()
    expect(thrownBy(() => this.pool.release(guard)).code).toBe('WRAITH_ERR_STALE_BUFFER')
  }

  close(): void {
    this.pool.close()
    this.closed = true
  }

  check({ guard, fill, length }: Held): void {
    expect(guard.disposed).toBe(false)
    expect(guard.length).toBe(length)
    expect(guard.bytes.every((byte) => byte === fill)).toBe(true)
  }

  /** After every step: what everybody holds is what they wrote, and all figures are the model's. */
  audit(): void {
    for (const held of this.held) this.check(held)
    if (debugMode) for (const bytes of this.late) expect(bytes.byteLength).toBe(0)
    const { capacity } = this.options
    const available = this.closed ? 0 : capacity - this.pooledOut
    expect(this.pool.available).toBe(available)
    expect(expectAudit(this.pool)).toMatchObject({ lent: this.pooledOut, capacity })
    expect(this.pool.dump()).toHaveLength(this.pooledOut)
    expect(this.pool.metrics()).toMatchObject({
      available,
      lent: this.pooledOut,
      acquires: this.acquires,
      exhaustions: this.exhaustions,
      fallbackAllocations: this.fallbacks,
      fallbackLive: this.fallbackOut,
      leaked: 0,
    })
  }

  async finish(): Promise<void> {
    while (this.pending.length > 0) await this.settle(0)
    while (this.held.length > 0) this.end(0, 'dispose')
    this.audit()
    this.close()
    await this.pool.closed
    expect(expectAudit(this.pool).free).toBe(this.options.capacity)
  }
}

type Step = (pair: Pair) => void | Promise<void>

const index = fc.nat({ max: 200 })
const step: fc.Arbitrary<[string, Step]> = fc.oneof(
  { weight: 6, arbitrary: fc.constant<[string, Step]>(['acquire', (pair) => pair.acquire()]) },
  { weight: 2, arbitrary: fc.constant<[string, Step]>(['tryAcquire', (pair) => pair.tryAcquire()]) },
  {
    weight: 2,
    arbitrary: fc.nat({ max: 90 }).map<[string, Step]>((n) => [`many ${n}`, (p) => p.acquireMany(n)]),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(index, fc.integer({ min: 1, max: 255 }))
      .map<[string, Step]>(([at, fill]) => [`write ${at} ${fill}`, (pair) => pair.write(at, fill)]),
  },
  { weight: 4, arbitrary: index.map<[string, Step]>((at) => [`dispose ${at}`, (p) => p.end(at, 'dispose')]) },
  { weight: 2, arbitrary: index.map<[string, Step]>((at) => [`release ${at}`, (p) => p.end(at, 'release')]) },
  { weight: 1, arbitrary: index.map<[string, Step]>((at) => [`later ${at}`, (pair) => pair.endLater(at)]) },
  { weight: 1, arbitrary: index.map<[string, Step]>((at) => [`settle ${at}`, (pair) => pair.settle(at)]) },
  {
    weight: 1,
    arbitrary: index.map<[string, Step]>((at) => [`again ${at}`, (pair) => pair.disposeAgain(at)]),
  },
)

const options = fc.record({
  bufferSize: fc.integer({ min: 1, max: 200 }),
  capacity: fc.integer({ min: 1, max: 80 }),
  onExhausted: fc.constantFrom('allocate' as const, 'throw' as const),
  maxFallback: fc.nat({ max: 5 }),
  leakDetection: fc.constantFrom('off' as const, 'count' as const, 'sampled' as const, 'stack' as const),
})

const program = fc
  .array(step, { maxLength: 60 })
  .map((steps) => Object.assign(steps, { toString: () => steps.map(([name]) => name).join(', ') }))

test('any program of calls does what a plain list of holders does', async () => {
  await fc.assert(
    fc.asyncProperty(options, program, fc.option(fc.nat({ max: 60 })), async (given, steps, closeAt) => {
      const pair = new Pair(given)
      for (const [i, [, run]] of steps.entries()) {
        if (i === closeAt) pair.close()
        await run(pair)
        pair.audit()
      }
      await pair.finish()
    }),
    { numRuns: 250 },
  )
})
