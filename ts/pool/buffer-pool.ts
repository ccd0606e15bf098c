/// <reference lib="esnext.disposable" preserve="true" />
import { checkSignal } from '../abort.js'
import { fromNative, invalidType, WraithError } from '../errors.js'
import { Events } from '../events.js'
import type { NativeSlots } from '../native.js'
import { checkOptions, wholeNumber } from '../validate.js'
import { type Adopter, adopt, adoptMany } from './adopting.js'
import { debugMode } from './debug.js'
import { exercise } from './exercise.js'
import { Fallback } from './fallback.js'
import { isGuard, PooledBuffer, PooledBuffers, peekTicket, type Ticket } from './guard.js'
import type { LeakReport } from './leaks.js'
import { type Change, Monitor } from './monitor.js'
import { checkAttachOptions, checkToken } from './options.js'
import { Attaching, partsOf } from './parts.js'
import { auditOf, cachedElsewhere, holdersOf, metricsOf, type Reported } from './report.js'
import { attachShared, type Sharing } from './sharing.js'
import { Slots } from './slots.js'
import { poolClosed, type Source } from './source.js'
import { callerLine } from './stack.js'
import type { BufferTicket } from './ticket.js'
import type {
  AcquireOptions,
  AttachOptions,
  BufferPoolAudit,
  BufferPoolInfo,
  BufferPoolMetrics,
  BufferPoolOptions,
  ExerciseOptions,
  ExerciseResult,
  HolderInfo,
  PoolToken,
  ThresholdEvent,
} from './types.js'
import { aborted, type Queue, Waiter } from './waiting.js'

interface PoolEventMap {
  pressure: [event: ThresholdEvent]
  exhaustion: [event: ThresholdEvent]
  leak: [report: LeakReport]
}

/** What a source of this package may do with a pool. */
export interface PoolInternals {
  readonly slots: Slots
  /** What names the pool, or this isolate's attachment to a shared one, natively. */
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
 * A pool of equal buffers in one slab of memory outside of the JavaScript heap. It is private to the isolate that makes it,
 * unless it is made with `shared: true`: then other threads of the process may attach to it with the token of `share()`.
 *
 * `acquire` and `dispose` touch JavaScript memory only, but for one native call in 32 when the free list is needed
 * (`npm run bench -- pool` measures them). A disposed buffer's bytes are zeroed, so the next holder sees zeros (guide,
 * "Buffer Clearing").
 */
export class BufferPool implements Disposable {
  readonly #slots: Slots
  readonly #native: NativeSlots
  readonly #id: string
  readonly #sharing: Sharing | undefined
  readonly #waiters = new Set<Waiter>()
  readonly #queue: Queue
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
  #waits = 0
  #warned = false
  /** `closed` was asked for. */
  #awaited = false

  /**
   * Reserves and populates the memory of all buffers at once.
   *
   * @throws WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_OUT_OF_RANGE, WRAITH_ERR_UNKNOWN_OPTION, WRAITH_ERR_NO_MEMORY
   */
  constructor(options: BufferPoolOptions = {}) {
    const made = partsOf(options)
    const { sharing, onExhausted, memory, native, bufferSize, capacity } = made
    this.#throws = onExhausted === 'throw'
    this.#native = native
    this.#sharing = sharing
    this.#id = made.id
    this.#closedPromise = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    const slots = new Slots({
      native,
      sharing,
      memory: memory(() => this.#warnMoved()),
      bufferSize,
      capacity,
      level: made.leakDetection,
      debug: debugMode(),
      limit: sharing?.limit ?? new Uint32Array([capacity]),
      events: {
        sampled: () => this.#look(),
        crossed: () => sharing?.publish(),
        lost: (slot) => this.#lost(slot),
        home: () => this.#whenHome(),
        moved: () => this.#warnMoved(),
        closedElsewhere: () => this.#end(),
      },
    })
    this.#slots = slots
    this.#fallback = new Fallback(bufferSize, made.maxFallback, slots.debug, () => this.#whenHome())
    this.#queue = sharing ?? {
      join: (waiter) => void slots.starve(waiter),
      leave: (waiter) => slots.sated(waiter),
      take: () => slots.take(),
    }
    sharing?.begin({
      adopt: (slot, length) => slots.adopt(slot, length),
      giveBack: (slot) => slots.giveBack(slot),
      take: () => slots.take(),
      flushMagazine: () => slots.flushMagazine(),
      closedElsewhere: () => this.#end(),
      home: () => this.#whenHome(),
      publish: (counters) => this.#publish(counters),
    })
  }

  /**
   * Attaches this thread to a shared pool of another one. The pool lives as long as anybody is attached.
   *
   * @param token what `pool.share()` returned there, or a clone of it
   * @param options what each thread chooses for itself
   * @throws WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_STALE_TOKEN: the pool is gone, or of another process,
   *   WRAITH_ERR_POOL_CLOSED, WRAITH_ERR_OUT_OF_RANGE, WRAITH_ERR_UNKNOWN_OPTION
   */
  static attach(token: PoolToken, options: AttachOptions = {}): BufferPool {
    const id = checkToken(token)
    checkAttachOptions(options, 0)
    return new BufferPool(new Attaching(attachShared(id), options) as BufferPoolOptions)
  }

  /**
   * What other threads attach to this pool with. Post it, or pass it as `workerData`; it is good as often as you like, as long as
   * the pool lives, within this process.
   *
   * @throws WRAITH_ERR_NOT_SHARED, WRAITH_ERR_POOL_CLOSED
   */
  share(): PoolToken {
    const sharing = this.#needSharing('share()')
    if (this.#closed) throw poolClosed()
    return sharing.token
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

  /** A shared pool: buffers in the magazines of other threads, which `acquire` cannot have now; as they said last. */
  get cachedElsewhere(): number {
    const sharing = this.#sharing
    return sharing === undefined ? 0 : cachedElsewhere(sharing.native.figures(), this.#slots.cached)
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
   * A zeroed buffer of the slab, as soon as there is one: first come, first served, over all threads of a shared pool. Never a
   * fallback. While a thread waits for buffers that other threads hold, its event loop is kept alive.
   *
   * @throws WRAITH_ERR_ABORTED: the signal fired, WRAITH_ERR_POOL_CLOSED, WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_UNKNOWN_OPTION
   */
  async acquireAsync(options: AcquireOptions = {}): Promise<PooledBuffer> {
    const given = checkOptions('acquireAsync', options, ['signal'])
    const signal = given.signal === undefined ? undefined : checkSignal('signal', given.signal)
    if (signal?.aborted) throw aborted(signal)
    if (this.#closed) throw poolClosed()
    const ticket = this.#slots.take()
    if (ticket !== undefined) return new PooledBuffer(ticket)
    if (this.#closed) throw poolClosed()
    const waiter = new Waiter(this.#queue, signal)
    this.#waiters.add(waiter)
    try {
      this.#queue.join(waiter)
      if (!waiter.settled) this.#waits++
      return new PooledBuffer(await waiter.promise)
    } catch (error) {
      waiter.drop()
      throw error
    } finally {
      this.#waiters.delete(waiter)
    }
  }

  /**
   * The buffer that a ticket of `guard.transfer()` names: the very same, when it comes from this shared pool, with its bytes and its
   * `length`. Of a ticket that carries a copy, and of a guard of another pool, the bytes are copied into a buffer of this
   * pool, acquired as `acquire()` does; that guard is disposed of.
   *
   * @throws WRAITH_ERR_STALE_TICKET: adopted or cancelled before, or too late, WRAITH_ERR_FOREIGN_BUFFER: a ticket of another
   *   shared pool (it stays good there), WRAITH_ERR_POOL_CLOSED, WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_OUT_OF_RANGE: a ticket of
   *   several buffers, or more bytes than fit, WRAITH_ERR_STALE_BUFFER, WRAITH_ERR_POOL_EXHAUSTED
   */
  adopt(ticket: BufferTicket | { readonly token: string } | string | PooledBuffer): PooledBuffer {
    return adopt(this.#adopter(), ticket)
  }

  /**
   * The buffers of a ticket of `guards.transfer()`, in their order, or none: when one cannot be had, the others go home.
   *
   * @throws as {@link BufferPool.adopt}
   */
  adoptMany(ticket: BufferTicket | { readonly token: string } | string): PooledBuffers {
    return adoptMany(this.#adopter(), ticket)
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
    return metricsOf(this.#reported())
  }

  /** Scans the owner table: every slot has exactly one state, and they add up to the capacity. For tests. */
  audit(): BufferPoolAudit {
    return auditOf(this.#reported())
  }

  /** Who holds the buffers that are not at home. */
  dump(): readonly HolderInfo[] {
    return holdersOf(this.#reported())
  }

  /**
   * A diagnostic: Rust threads take buffers of this shared pool and give them back, while JavaScript goes on, and look whether each
   * is zeroed and nobody else writes into it. Resolves when they have ended.
   *
   * @throws WRAITH_ERR_NOT_SHARED, WRAITH_ERR_POOL_CLOSED, WRAITH_ERR_OUT_OF_RANGE, WRAITH_ERR_INVALID_ARG_TYPE
   */
  async exercise(options: ExerciseOptions = {}): Promise<ExerciseResult> {
    const sharing = this.#needSharing('exercise()')
    if (this.#closed) throw poolClosed()
    return exercise(sharing.native, options)
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
      shared: this.#sharing !== undefined,
      debug: this.#slots.debug,
    })
  }

  /**
   * Ends the pool: `acquire` and `bind` refuse it from here on, open guards stay good and go home, calls that wait reject.
   * Idempotent. A shared pool is ended for all threads by the object that made it, and tickets with it; an attached one
   * only leaves.
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
    this.#end()
  }

  /**
   * Resolves when the pool is closed and every buffer is home (or quarantined): those of all threads for the object that made a
   * shared pool, this thread's for an attached one.
   */
  get closed(): Promise<void> {
    this.#awaited = true
    this.#whenHome()
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

  #end(): void {
    if (this.#closed) return
    this.#closed = true
    this.#slots.close()
    const waiters = [...this.#waiters]
    for (const waiter of waiters) {
      if (waiter.settled) continue
      this.#queue.leave(waiter)
      waiter.refuse(poolClosed())
    }
    this.#whenHome()
  }

  #whenHome(): void {
    if (!this.#closed || this.#fallback.live > 0) return
    const home = this.#slots.allHome && (this.#sharing?.allHome ?? true)
    if (this.#sharing !== undefined) this.#sharing.awaitsHome = this.#awaited && this.#slots.allHome && !home
    if (home) this.#resolveClosed()
  }

  #needSharing(what: string): Sharing {
    if (this.#sharing !== undefined) return this.#sharing
    throw new WraithError(
      'WRAITH_ERR_NOT_SHARED',
      `${what} was called of a private pool. Make the pool with { shared: true }.`,
    )
  }

  #adopter(): Adopter {
    if (this.#closed) throw poolClosed()
    return {
      slots: this.#slots,
      sharing: this.#sharing,
      isOwn: (home) => home === this.#slots || home === this.#fallback,
      acquire: () => this.acquire(),
    }
  }

  #reported(): Reported {
    return {
      slots: this.#slots,
      native: this.#native,
      fallback: this.#fallback,
      sharing: this.#sharing,
      exhaustions: this.#refused,
      waits: this.#waits,
      waiting: this.#waiting,
    }
  }

  get #waiting(): number {
    let waiting = 0
    for (const waiter of this.#waiters) if (!waiter.settled) waiting++
    return waiting
  }

  /** In the order of `NativeFigures`. */
  #publish(counters: Float64Array): void {
    counters[0] = this.#slots.taken + this.#refused
    counters[1] = this.#refused
    counters[2] = this.#waits
    counters[3] = this.#fallback.allocated
    counters[4] = this.#slots.leaked + this.#fallback.leaked
    counters[5] = this.#slots.cached
    counters[6] = this.#fallback.live
    counters[7] = this.#waiting
  }

  #warnMoved(): void {
    if (this.#warned) return
    this.#warned = true
    const outcome =
      this.#sharing === undefined
        ? 'has mapped its memory anew'
        : 'has taken the buffer out of use for good, as another thread may see it'
    process.emitWarning(
      "a pool's ArrayBuffer was detached by somebody else (transferred or structuredClone'd with transfer); the pool " +
        `${outcome}. Transfer copies of pooled bytes, never bytes.buffer.`,
      { type: 'WraithWarning', code: 'WRAITH_WARN_DETACHED' },
    )
  }

  /** For this package's own sources. */
  static {
    poolInternals = (pool) => ({
      slots: pool.#slots,
      id: pool.#id,
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
