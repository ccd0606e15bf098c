/// <reference lib="esnext.disposable" preserve="true" />
import { checkSignal } from '../abort.js'
import { fromNative, invalidType, WraithError } from '../errors.js'
import { checkOptions, wholeNumber } from '../validate.js'
import { adopt, adoptMany } from './adopting.js'
import { exercise } from './exercise.js'
import { isGuard, PooledBuffer, PooledBuffers, peekTicket, type Ticket } from './guard.js'
import { checkAttachOptions, checkToken } from './options.js'
import { Attaching, partsOf } from './parts.js'
import { auditOf, cachedElsewhere, holdersOf, metricsOf } from './report.js'
import { attachShared } from './sharing.js'
import type { Slots } from './slots.js'
import type { Source } from './source.js'
import { PoolState } from './state.js'
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
} from './types.js'
import { aborted } from './waiting.js'
import type { PoolEventMap } from './watch.js'

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
  /** What is called when the pool ends for this isolate. */
  readonly endings: Set<() => void>
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
  readonly #state: PoolState

  /**
   * Reserves and populates the memory of all buffers at once.
   *
   * @throws WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_OUT_OF_RANGE, WRAITH_ERR_UNKNOWN_OPTION, WRAITH_ERR_NO_MEMORY
   */
  constructor(options: BufferPoolOptions = {}) {
    this.#state = new PoolState(partsOf(options))
    this.#slots = this.#state.slots
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
    const sharing = this.#state.needSharing('share()')
    this.#state.checkOpen()
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
    const { sharing } = this.#state
    return sharing === undefined ? 0 : cachedElsewhere(sharing.native.figures(), this.#slots.cached)
  }

  /**
   * A zeroed buffer. When every buffer is out: a fallback buffer of the heap, or an error, as `onExhausted` says.
   *
   * @throws WRAITH_ERR_POOL_EXHAUSTED, WRAITH_ERR_POOL_CLOSED
   */
  acquire(): PooledBuffer {
    const ticket = this.#slots.take()
    return ticket === undefined ? this.#state.exhausted() : new PooledBuffer(ticket)
  }

  /**
   * A zeroed buffer of the slab, or `undefined` when every one is out. Never a fallback.
   *
   * @throws WRAITH_ERR_POOL_CLOSED
   */
  tryAcquire(): PooledBuffer | undefined {
    const ticket = this.#slots.take()
    if (ticket !== undefined) return new PooledBuffer(ticket)
    this.#state.checkOpen()
    this.#state.countRefusal()
    return undefined
  }

  /**
   * `count` buffers, or none: when they cannot all be had, those already taken go home before the error is thrown.
   *
   * @returns an array with `dispose()`, usable with `using`
   * @throws WRAITH_ERR_POOL_EXHAUSTED, WRAITH_ERR_POOL_CLOSED, WRAITH_ERR_OUT_OF_RANGE
   */
  acquireMany(count: number): PooledBuffers {
    const { throws, fallback } = this.#state
    wholeNumber('count', count, 0, this.capacity + (throws ? 0 : fallback.max))
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
    this.#state.checkOpen()
    return new PooledBuffer(await this.#state.wait(signal))
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
    this.#state.checkOpen()
    return adopt(this.#state, ticket)
  }

  /**
   * The buffers of a ticket of `guards.transfer()`, in their order, or none: when one cannot be had, the others go home.
   *
   * @throws as {@link BufferPool.adopt}
   */
  adoptMany(ticket: BufferTicket | { readonly token: string } | string): PooledBuffers {
    this.#state.checkOpen()
    return adoptMany(this.#state, ticket)
  }

  /**
   * The same as `guard.dispose()`, but refuses what is not this pool's.
   *
   * @throws WRAITH_ERR_FOREIGN_BUFFER, WRAITH_ERR_STALE_BUFFER, WRAITH_ERR_INVALID_ARG_TYPE
   */
  release(guard: PooledBuffer): void {
    if (!isGuard(guard)) throw invalidType('guard', guard, 'a guard that acquire() returned')
    const { home } = peekTicket(guard)
    if (!this.#state.isOwn(home)) {
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
    return metricsOf(this.#state)
  }

  /** Scans the owner table: every slot has exactly one state, and they add up to the capacity. For tests. */
  audit(): BufferPoolAudit {
    return auditOf(this.#state)
  }

  /** Who holds the buffers that are not at home. */
  dump(): readonly HolderInfo[] {
    return holdersOf(this.#state)
  }

  /**
   * A diagnostic: Rust threads take buffers of this shared pool and give them back, while JavaScript goes on, and look whether each
   * is zeroed and nobody else writes into it. Resolves when they have ended.
   *
   * @throws WRAITH_ERR_NOT_SHARED, WRAITH_ERR_POOL_CLOSED, WRAITH_ERR_OUT_OF_RANGE, WRAITH_ERR_INVALID_ARG_TYPE
   */
  async exercise(options: ExerciseOptions = {}): Promise<ExerciseResult> {
    const sharing = this.#state.needSharing('exercise()')
    this.#state.checkOpen()
    return exercise(sharing.native, options)
  }

  /** The pool's memory: what was asked for and what the kernel gave. */
  info(): BufferPoolInfo {
    const { bytes, stride, mlock, hugePages } = fromNative(() => this.#state.native.info())
    return Object.freeze({
      bufferSize: this.bufferSize,
      capacity: this.capacity,
      strideBytes: stride,
      memoryBytes: bytes,
      mlock: Object.freeze(mlock),
      hugePages: Object.freeze(hugePages),
      onExhausted: this.#state.throws ? 'throw' : 'allocate',
      leakDetection: this.#slots.holders.level,
      shared: this.#slots.shared,
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
    this.#state.close()
  }

  /**
   * Resolves when the pool is closed and every buffer is home (or quarantined): those of all threads for the object that made a
   * shared pool, this thread's for an attached one.
   */
  get closed(): Promise<void> {
    return this.#state.whenClosed
  }

  /** As {@link BufferPool.close}, but while a source receives into it the pool closes with the last of them. */
  [Symbol.dispose](): void {
    this.#state.closeWhenUnused()
  }

  /**
   * `'pressure'`: utilization went above 0.8, or back below 0.7. `'exhaustion'`: more than 1 % of the last 1024
   * acquires (or of a second) found the pool empty, or less than 0.5 % again. `'leak'`: a guard was lost.
   */
  on<K extends keyof PoolEventMap>(event: K, listener: (...args: PoolEventMap[K]) => void): this {
    this.#state.watch.events.add(event, listener, false)
    return this
  }

  /** As {@link BufferPool.on}, for the next time only. */
  once<K extends keyof PoolEventMap>(event: K, listener: (...args: PoolEventMap[K]) => void): this {
    this.#state.watch.events.add(event, listener, true)
    return this
  }

  /** Takes a listener away. */
  off<K extends keyof PoolEventMap>(event: K, listener: (...args: PoolEventMap[K]) => void): this {
    this.#state.watch.events.remove(event, listener)
    return this
  }

  /** For this package's own sources. */
  static {
    poolInternals = (pool) => {
      const state = pool.#state
      return {
        slots: state.slots,
        id: state.id,
        checkOpen: () => state.checkOpen(),
        attach: (source) => state.sources.add(source),
        detach: (source) => state.detach(source),
        guard: (ticket) => new PooledBuffer(ticket),
        endings: state.endings,
      }
    }
  }
}
