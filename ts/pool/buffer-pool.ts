/// <reference lib="esnext.disposable" preserve="true" />
import { fromNative, invalidType, WraithError } from '../errors.js'
import { Events } from '../events.js'
import { type NativePool, native } from '../native.js'
import { wholeNumber } from '../validate.js'
import { debugMode } from './debug.js'
import { Fallback } from './fallback.js'
import { isGuard, PooledBuffer, PooledBuffers, peekTicket, type Ticket } from './guard.js'
import type { LeakReport } from './leaks.js'
import { type Change, Monitor } from './monitor.js'
import { checkPoolOptions } from './options.js'
import { poolClosed, Slots, type Source } from './slots.js'
import { callerLine } from './stack.js'
import type {
  BufferPoolAudit,
  BufferPoolInfo,
  BufferPoolMetrics,
  BufferPoolOptions,
  HolderInfo,
  ThresholdEvent,
} from './types.js'

interface PoolEventMap {
  pressure: [event: ThresholdEvent]
  exhaustion: [event: ThresholdEvent]
  leak: [report: LeakReport]
}

/** What a source of this package may do with a pool. */
export interface PoolInternals {
  readonly slots: Slots
  readonly id: string
  /** @throws WRAITH_ERR_POOL_CLOSED */
  checkOpen(): void
  attach(source: Source): void
  detach(source: Source): void
  guard(ticket: Ticket): PooledBuffer
}

/** @internal */
export let poolInternals: (pool: BufferPool) => PoolInternals

/**
 * A pool of equal buffers in one slab of memory outside of the JavaScript heap, private to the isolate that makes it.
 *
 * `acquire` and `dispose` touch JavaScript memory only, but for one native call in 32 when the free list is needed
 * (`npm run bench -- pool` measures them). A disposed buffer's bytes are zeroed, so the next holder sees zeros (guide,
 * "Buffer Clearing").
 */
export class BufferPool implements Disposable {
  readonly #slots: Slots
  readonly #native: NativePool
  readonly #fallback: Fallback
  readonly #throws: boolean
  readonly #events = new Events<PoolEventMap>(['pressure', 'exhaustion', 'leak'])
  readonly #monitor = new Monitor(performance.now())
  readonly #sources = new Set<Source>()
  readonly #closedPromise: Promise<void>
  #resolveClosed: () => void = () => {}
  #closed = false
  #closeWhenUnused = false
  #refused = 0
  #warnedRemap = false

  /**
   * Reserves and populates the memory of all buffers at once.
   *
   * @throws WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_OUT_OF_RANGE, WRAITH_ERR_UNKNOWN_OPTION, WRAITH_ERR_NO_MEMORY
   */
  constructor(options: BufferPoolOptions = {}) {
    const { bufferSize, capacity, onExhausted, maxFallback, mlock, hugePages, leakDetection } =
      checkPoolOptions(options)
    this.#throws = onExhausted === 'throw'
    const addon = native()
    this.#native = fromNative(() => addon.createPool(bufferSize, capacity, mlock, hugePages), 'capacity')
    this.#closedPromise = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    this.#slots = new Slots(this.#native, bufferSize, capacity, leakDetection, debugMode(), {
      sampled: () => this.#look(),
      lost: (slot) => this.#lost(slot),
      home: () => this.#whenHome(),
      remapped: () => this.#warnRemapped(),
    })
    this.#fallback = new Fallback(bufferSize, maxFallback, this.#slots.debug, () => this.#whenHome())
  }

  /** Bytes of each buffer. */
  get bufferSize(): number {
    return this.#slots.bufferSize
  }

  /** How many buffers the pool has. */
  get capacity(): number {
    return this.#slots.capacity
  }

  /** How many buffers `acquire` could get now without a fallback; 0 after `close()`. */
  get available(): number {
    return this.#slots.available
  }

  /**
   * A zeroed buffer. When every buffer is out: a fallback buffer of the heap, or an error, as `onExhausted` says.
   *
   * @throws WRAITH_ERR_POOL_EXHAUSTED, WRAITH_ERR_POOL_CLOSED
   */
  acquire(): PooledBuffer {
    const ticket = this.#slots.take()
    return ticket === undefined ? this.#exhausted() : new PooledBuffer(ticket)
  }

  /**
   * A zeroed buffer of the slab, or `undefined` when every one is out. Never a fallback.
   *
   * @throws WRAITH_ERR_POOL_CLOSED
   */
  tryAcquire(): PooledBuffer | undefined {
    const ticket = this.#slots.take()
    if (ticket !== undefined) return new PooledBuffer(ticket)
    if (this.#closed) throw poolClosed()
    this.#countRefusal()
    return undefined
  }

  /**
   * `count` buffers, or none: when they cannot all be had, those already taken go home before the error is thrown.
   *
   * @returns an array with `dispose()`, usable with `using`
   * @throws WRAITH_ERR_POOL_EXHAUSTED, WRAITH_ERR_POOL_CLOSED, WRAITH_ERR_OUT_OF_RANGE
   */
  acquireMany(count: number): PooledBuffers {
    wholeNumber('count', count, 0, this.capacity + (this.#throws ? 0 : this.#fallback.max))
    const guards = new PooledBuffers(count)
    try {
      for (let i = 0; i < count; i++) guards[i] = this.acquire()
    } catch (error) {
      guards.dispose()
      throw error
    }
    return guards
  }

  /**
   * The same as `guard.dispose()`, but refuses what is not this pool's.
   *
   * @throws WRAITH_ERR_FOREIGN_BUFFER, WRAITH_ERR_STALE_BUFFER, WRAITH_ERR_INVALID_ARG_TYPE
   */
  release(guard: PooledBuffer): void {
    if (!isGuard(guard)) throw invalidType('guard', guard, 'a guard that acquire() returned')
    const { home } = peekTicket(guard)
    if (home !== this.#slots && home !== this.#fallback) {
      throw new WraithError(
        'WRAITH_ERR_FOREIGN_BUFFER',
        'this guard comes from another pool. Release it to the pool that it was acquired from, or call its dispose().',
        { option: 'guard' },
      )
    }
    guard.dispose()
  }

  /** Counters and gauges as they are now, frozen. Scans the owner table, so its cost grows with the capacity. */
  metrics(): BufferPoolMetrics {
    const { native: table, lent } = this.#slots.audit()
    const acquires = this.#slots.taken + this.#refused
    const { allocated, live, leaked } = this.#fallback
    return Object.freeze({
      capacity: this.capacity,
      bufferSize: this.bufferSize,
      available: this.available,
      lent,
      heldBySources: table.lent + table.posted + table.op,
      quarantined: table.quarantined,
      utilization: 1 - this.available / this.capacity,
      acquires,
      releases: this.#slots.taken - lent - this.#slots.leaked + allocated - live - leaked,
      exhaustions: this.#refused,
      exhaustionRate: acquires === 0 ? 0 : this.#refused / acquires,
      fallbackAllocations: allocated,
      fallbackLive: live,
      leaked: this.#slots.leaked + leaked,
    })
  }

  /** Scans the owner table: every slot has exactly one state, and they add up to the capacity. For tests. */
  audit(): BufferPoolAudit {
    const { native: table, cached, lent } = this.#slots.audit()
    const problems = [...table.problems]
    if (cached + lent !== table.cached) {
      problems.push(
        `the table has ${table.cached} slots of this isolate, but ${cached} are cached and ${lent} lent`,
      )
    }
    return Object.freeze({
      capacity: table.capacity,
      free: table.free,
      cached,
      lent,
      batched: table.lent,
      posted: table.posted,
      op: table.op,
      transit: table.transit,
      retiring: table.retiring,
      quarantined: table.quarantined,
      ok: problems.length === 0,
      problems: Object.freeze(problems),
    })
  }

  /** Who holds the buffers that are not at home. */
  dump(): readonly HolderInfo[] {
    const states = fromNative(() => this.#native.holders())
    const holders: HolderInfo[] = []
    for (const [slot, state] of states.entries()) {
      if (this.#slots.isLent(slot)) {
        const { stack, ageMs, notes } = this.#slots.holders.describe(slot)
        holders.push(
          Object.freeze({ slot, state: 'lent', ageMs, notes, ...(stack === undefined ? {} : { stack }) }),
        )
      } else if (state !== 'free' && state !== 'cached') {
        holders.push(Object.freeze({ slot, state: state === 'lent' ? 'batched' : state }))
      }
    }
    return Object.freeze(holders)
  }

  /** The pool's memory: what was asked for and what the kernel gave. */
  info(): BufferPoolInfo {
    const { bytes, stride, mlock, hugePages } = fromNative(() => this.#native.info())
    return Object.freeze({
      bufferSize: this.bufferSize,
      capacity: this.capacity,
      strideBytes: stride,
      memoryBytes: bytes,
      mlock: Object.freeze(mlock),
      hugePages: Object.freeze(hugePages),
      onExhausted: this.#throws ? 'throw' : 'allocate',
      leakDetection: this.#slots.holders.level,
      debug: this.#slots.debug,
    })
  }

  /**
   * Ends the pool: `acquire` and `bind` refuse it from here on, open guards stay good and go home. Idempotent.
   *
   * @throws WRAITH_ERR_POOL_IN_USE while a source receives into it
   */
  close(): void {
    const [source] = this.#sources
    if (source !== undefined) {
      throw new WraithError(
        'WRAITH_ERR_POOL_IN_USE',
        `${source} still receives into this pool. Close it first.`,
      )
    }
    if (this.#closed) return
    this.#closed = true
    this.#slots.close()
  }

  /** Resolves when the pool is closed and every buffer is home (or quarantined). */
  get closed(): Promise<void> {
    return this.#closedPromise
  }

  /** As {@link BufferPool.close}, but while a source receives into it the pool closes with the last of them. */
  [Symbol.dispose](): void {
    if (this.#sources.size > 0) this.#closeWhenUnused = true
    else this.close()
  }

  /**
   * `'pressure'`: utilization went above 0.8, or back below 0.7. `'exhaustion'`: more than 1 % of the last 1024
   * acquires (or of a second) found the pool empty, or less than 0.5 % again. `'leak'`: a guard was lost.
   */
  on<K extends keyof PoolEventMap>(event: K, listener: (...args: PoolEventMap[K]) => void): this {
    this.#events.add(event, listener, false)
    return this
  }

  /** As {@link BufferPool.on}, for the next time only. */
  once<K extends keyof PoolEventMap>(event: K, listener: (...args: PoolEventMap[K]) => void): this {
    this.#events.add(event, listener, true)
    return this
  }

  /** Takes a listener away. */
  off<K extends keyof PoolEventMap>(event: K, listener: (...args: PoolEventMap[K]) => void): this {
    this.#events.remove(event, listener)
    return this
  }

  #exhausted(): PooledBuffer {
    if (this.#closed) throw poolClosed()
    this.#countRefusal()
    const ticket = this.#throws ? undefined : this.#fallback.take()
    if (ticket !== undefined) return new PooledBuffer(ticket)
    const fallback = this.#throws ? '' : ` and ${this.#fallback.max} fallback buffers`
    throw new WraithError(
      'WRAITH_ERR_POOL_EXHAUSTED',
      `all ${this.capacity} buffers${fallback} are in use. Dispose of guards sooner, or make the pool larger than ` +
        `capacity ${this.capacity}; dump() shows who holds them.`,
    )
  }

  #countRefusal(): void {
    this.#refused++
    if (this.#events.listeners > 0) this.#look()
  }

  #look(): void {
    const reading = {
      acquires: this.#slots.taken + this.#refused,
      exhaustions: this.#refused,
      utilization: 1 - this.available / this.capacity,
    }
    for (const change of this.#monitor.look(performance.now(), reading)) this.#report(change)
  }

  /** Listeners run after the acquire that crossed the threshold, so that what they throw does not come out of it. */
  #report({ event, active, value }: Change): void {
    if (!this.#events.has(event)) return
    const payload: ThresholdEvent = Object.freeze({ active, value, metrics: this.metrics() })
    queueMicrotask(() => this.#events.emit(event, payload))
  }

  #lost(slot: number): void {
    const { stack, ageMs, notes } = this.#slots.holders.describe(slot)
    const report: LeakReport = Object.freeze({ slot, stack, ageMs, notes, leaked: this.#slots.leaked })
    // Not from inside the finalizer: a listener that throws there would take other finalizers down with it.
    queueMicrotask(() => this.#tellLost(report))
  }

  #tellLost(report: LeakReport): void {
    if (this.#events.emit('leak', report)) return
    const line = callerLine(report.stack)
    process.emitWarning(
      `a pooled buffer was lost without dispose() and its slot is quarantined (${report.leaked} so far)` +
        (line === undefined ? '; set WRAITH_LEAK=stack to see where it was acquired' : `; acquired ${line}`),
      { type: 'WraithWarning', code: 'WRAITH_WARN_LEAK' },
    )
  }

  #whenHome(): void {
    if (this.#closed && this.#fallback.live === 0 && this.#slots.allHome) this.#resolveClosed()
  }

  #warnRemapped(): void {
    if (this.#warnedRemap) return
    this.#warnedRemap = true
    process.emitWarning(
      "a pool's ArrayBuffer was detached by somebody else (transferred or structuredClone'd with transfer); the pool " +
        'has mapped its memory anew. Transfer copies of pooled bytes, never bytes.buffer.',
      { type: 'WraithWarning', code: 'WRAITH_WARN_DETACHED' },
    )
  }

  /** For this package's own sources. */
  static {
    poolInternals = (pool) => ({
      slots: pool.#slots,
      id: pool.#native.id,
      checkOpen: () => {
        if (pool.#closed) throw poolClosed()
      },
      attach: (source) => pool.#sources.add(source),
      detach: (source) => {
        pool.#slots.sated(source)
        pool.#slots.feed()
        pool.#sources.delete(source)
        if (pool.#closeWhenUnused && pool.#sources.size === 0) pool.close()
      },
      guard: (ticket) => new PooledBuffer(ticket),
    })
  }
}
