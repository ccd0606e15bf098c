import type { AbortSignalLike } from '../abort.js'
import { WraithError } from '../errors.js'
import type { NativeSlots } from '../native.js'
import type { Adopter } from './adopting.js'
import { debugMode } from './debug.js'
import { Fallback } from './fallback.js'
import { type Home, PooledBuffer, type Ticket } from './guard.js'
import type { PoolParts } from './parts.js'
import { metricsOf, type Reported } from './report.js'
import type { Sharing } from './sharing.js'
import { Slots } from './slots.js'
import { poolClosed, type Source } from './source.js'
import { type Queue, Waiter } from './waiting.js'
import { Watch } from './watch.js'

/** All that a pool is behind its methods: slots, fallback, those who wait, how it ends. */
export class PoolState implements Adopter, Reported {
  readonly slots: Slots
  readonly native: NativeSlots
  /** What names the pool, or this isolate's attachment to a shared one, natively. */
  readonly id: string
  readonly sharing: Sharing | undefined
  readonly fallback: Fallback
  readonly throws: boolean
  readonly watch = new Watch(() => metricsOf(this))
  readonly sources = new Set<Source>()
  /** What ends with the pool. */
  readonly endings = new Set<() => void>()
  readonly #waiters = new Set<Waiter>()
  readonly #queue: Queue
  readonly #whenClosed: Promise<void>
  #resolveClosed: () => void = () => {}
  closed = false
  #closeWhenUnused = false
  /** Somebody waits for the pool to be closed and home. */
  #awaited = false
  exhaustions = 0
  waits = 0

  constructor(parts: PoolParts) {
    const { sharing, native, bufferSize, capacity } = parts
    this.throws = parts.onExhausted === 'throw'
    this.native = native
    this.sharing = sharing
    this.id = parts.id
    this.#whenClosed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    const moved = (): void => this.watch.moved(sharing !== undefined)
    const slots = new Slots({
      native,
      sharing,
      memory: parts.memory(moved),
      bufferSize,
      capacity,
      level: parts.leakDetection,
      debug: debugMode(),
      limit: sharing?.limit ?? new Uint32Array([capacity]),
      events: {
        sampled: () => this.#look(),
        crossed: () => sharing?.publish(),
        lost: (slot) => this.watch.lost(slots, slot),
        home: () => this.#whenHome(),
        moved,
        closedElsewhere: () => this.end(),
      },
    })
    this.slots = slots
    this.fallback = new Fallback(bufferSize, parts.maxFallback, slots.debug, () => this.#whenHome())
    this.#queue = sharing ?? {
      join: (waiter) => void slots.starve(waiter),
      leave: (waiter) => slots.sated(waiter),
      take: () => slots.take(),
    }
    sharing?.begin({
      slots,
      closedElsewhere: () => this.end(),
      home: () => this.#whenHome(),
      publish: (counters) => this.#publish(counters),
    })
  }

  /** @throws WRAITH_ERR_POOL_CLOSED */
  checkOpen(): void {
    if (this.closed) throw poolClosed()
  }

  acquire(): PooledBuffer {
    const ticket = this.slots.take()
    return ticket === undefined ? this.exhausted() : new PooledBuffer(ticket)
  }

  /** Every slot is out: a fallback, or an error. */
  exhausted(): PooledBuffer {
    this.checkOpen()
    this.countRefusal()
    const ticket = this.throws ? undefined : this.fallback.take()
    if (ticket !== undefined) return new PooledBuffer(ticket)
    const fallback = this.throws ? '' : ` and ${this.fallback.max} fallback buffers`
    const { capacity } = this.slots
    throw new WraithError(
      'WRAITH_ERR_POOL_EXHAUSTED',
      `all ${capacity} buffers${fallback} are in use. Dispose of guards sooner, or make the pool larger than ` +
        `capacity ${capacity}; dump() shows who holds them.`,
    )
  }

  countRefusal(): void {
    this.exhaustions++
    if (this.watch.events.listeners > 0) this.#look()
  }

  /** A ticket as soon as there is one. */
  async wait(signal: AbortSignalLike | undefined): Promise<Ticket> {
    const ticket = this.slots.take()
    if (ticket !== undefined) return ticket
    this.checkOpen()
    const waiter = new Waiter(this.#queue, signal)
    this.#waiters.add(waiter)
    try {
      this.#queue.join(waiter)
      if (!waiter.settled) this.waits++
      this.sharing?.publish()
      return await waiter.promise
    } catch (error) {
      waiter.drop()
      throw error
    } finally {
      this.#waiters.delete(waiter)
      // Others read what was published last, and an isolate that has nothing more to do does not come by again.
      this.sharing?.publish()
    }
  }

  get waiting(): number {
    let waiting = 0
    for (const waiter of this.#waiters) if (!waiter.settled) waiting++
    return waiting
  }

  isOwn(home: Home): boolean {
    return home === this.slots || home === this.fallback
  }

  /** @throws WRAITH_ERR_NOT_SHARED */
  needSharing(what: string): Sharing {
    if (this.sharing !== undefined) return this.sharing
    throw new WraithError(
      'WRAITH_ERR_NOT_SHARED',
      `${what} was called of a private pool. Make the pool with { shared: true }.`,
    )
  }

  get whenClosed(): Promise<void> {
    this.#awaited = true
    this.#whenHome()
    return this.#whenClosed
  }

  /** @throws WRAITH_ERR_POOL_IN_USE */
  close(): void {
    const [source] = this.sources
    if (source !== undefined) {
      throw new WraithError(
        'WRAITH_ERR_POOL_IN_USE',
        `${source} still receives into this pool. Close it first.`,
      )
    }
    this.end()
  }

  closeWhenUnused(): void {
    if (this.sources.size > 0) this.#closeWhenUnused = true
    else this.close()
  }

  /** A source is gone. */
  detach(source: Source): void {
    this.slots.sated(source)
    this.slots.feed()
    this.sources.delete(source)
    if (this.#closeWhenUnused && this.sources.size === 0) this.close()
  }

  end(): void {
    if (this.closed) return
    this.closed = true
    for (const end of this.endings) end()
    this.slots.close()
    for (const waiter of [...this.#waiters]) {
      if (waiter.settled) continue
      this.#queue.leave(waiter)
      waiter.refuse(poolClosed())
    }
    this.#whenHome()
  }

  #whenHome(): void {
    if (!this.closed || this.fallback.live > 0) return
    const here = this.slots.allHome
    const home = here && (this.sharing?.allHome ?? true)
    if (this.sharing !== undefined) this.sharing.awaitsHome = this.#awaited && here && !home
    if (!home) return
    this.sharing?.retire()
    this.#resolveClosed()
  }

  #look(): void {
    const { available, capacity, taken } = this.slots
    const { exhaustions } = this
    this.sharing?.publish()
    this.watch.look({ acquires: taken + exhaustions, exhaustions, utilization: 1 - available / capacity })
  }

  /** In the order of `NativeFigures`. */
  #publish(counters: Float64Array): void {
    counters[0] = this.slots.taken + this.exhaustions
    counters[1] = this.exhaustions
    counters[2] = this.waits
    counters[3] = this.fallback.allocated
    counters[4] = this.slots.leaked + this.fallback.leaked
    counters[5] = this.slots.cached
    counters[6] = this.fallback.live
    counters[7] = this.waiting
  }
}
