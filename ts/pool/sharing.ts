import { threadId } from 'node:worker_threads'

import { fromNative, WraithError, wrapNative } from '../errors.js'
import { keepHere } from '../exported.js'
import { type NativeShared, native } from '../native.js'
import type { Ticket } from './guard.js'
import { type CheckedPoolOptions, POOL_TOKEN } from './options.js'
import type { Slots } from './slots.js'
import { closedOr, poolClosed } from './source.js'
import type { PoolToken } from './types.js'
import type { Queue, Waiter } from './waiting.js'

const [FLUSH, CLOSED, HOME] = [1, 2, 4]
/** Timers of Node.js take no more. */
const MAX_TIMER_MS = 0x7fff_ffff

/** Attachments with calls that wait: nothing else may refer to them. */
const awaited = new Set<Sharing>()

/** The pool's part of what {@link Sharing} needs: it is there before the pool is. */
export interface Attached {
  readonly slots: Slots
  closedElsewhere(): void
  /** Every slot of the closed pool is home. */
  home(): void
  /** Writes the present figures, in the order of `NativeFigures`. */
  publish(counters: Float64Array): void
}

/** One attachment to a shared pool: what it publishes, and what it is told by the others. */
export class Sharing implements Queue {
  readonly native: NativeShared
  /** How many tickets the magazine may hold; native writes it. */
  readonly limit: Uint32Array
  readonly #counters: Float64Array
  readonly #waiters = new Map<number, Waiter>()
  #timer: NodeJS.Timeout | undefined
  #kept = false
  #awaitsHome = false
  #pool: Attached | undefined

  constructor(made: NativeShared) {
    this.native = made
    this.limit = new Uint32Array(keepHere(made.limit))
    this.#counters = new Float64Array(keepHere(made.counters))
    keepHere(made.mailbox)
  }

  /** The pool is made; from here on events come. */
  begin(pool: Attached): void {
    this.#pool = pool
  }

  get token(): PoolToken {
    return Object.freeze({ kind: POOL_TOKEN, id: this.native.pool })
  }

  /** Whether, of the pool that is closed by who made it, nothing is out anywhere; an attachment that has left does not ask. */
  get allHome(): boolean {
    if (!this.native.creator) return true
    const { capacity, free, quarantined } = fromNative(() => this.native.audit())
    return free + quarantined === capacity
  }

  /** An attachment that has left has everything home. */
  retire(): void {
    if (this.native.creator) return
    this.publish()
    this.native.retire()
  }

  publish(): void {
    this.#pool?.publish(this.#counters)
  }

  /** Whether somebody waits until the closed pool's last buffer is home, which others may have. */
  set awaitsHome(awaits: boolean) {
    this.#awaitsHome = awaits
    this.#rest()
  }

  take(): Ticket | undefined {
    return this.#pool?.slots.take()
  }

  join(waiter: Waiter): void {
    const pool = this.#pool as Attached
    let answer: number
    try {
      answer = this.native.wait()
    } catch (thrown) {
      throw closedOr(wrapNative(thrown))
    }
    if (answer >= 0) {
      waiter.grant(pool.slots.adopt(answer, 0))
      return
    }
    this.#waiters.set(-1 - answer, waiter)
    awaited.add(this)
    this.#rest()
    // What rests here is for those who wait, too.
    pool.slots.flushMagazine()
    this.#sweepLater()
  }

  leave(waiter: Waiter): void {
    for (const [id, other] of this.#waiters) {
      if (other !== waiter) continue
      this.#waiters.delete(id)
      this.native.cancelWait(id)
    }
    this.#rest()
  }

  /** Something has happened: called from the event loop. */
  wake(): void {
    const pool = this.#pool
    if (pool === undefined) return
    const [bits = 0, ...deliveries] = this.native.events()
    for (let i = 0; i < deliveries.length; i += 2) {
      const waiter = this.#waiters.get(deliveries[i] as number)
      const slot = deliveries[i + 1] as number
      this.#waiters.delete(deliveries[i] as number)
      // One that was aborted when its slot was under way: it is the next one's.
      if (waiter === undefined) pool.slots.giveBack(slot)
      else waiter.grant(pool.slots.adopt(slot, 0))
    }
    this.#rest()
    if ((bits & FLUSH) !== 0) pool.slots.flushMagazine()
    if ((bits & CLOSED) !== 0) pool.closedElsewhere()
    if ((bits & HOME) !== 0) pool.home()
    this.publish()
  }

  /** Keeps the event loop alive as long as somebody waits for what others have to do first. */
  #rest(): void {
    const waits = this.#waiters.size > 0
    const keep = waits || this.#awaitsHome
    if (this.#kept !== keep) {
      this.#kept = keep
      this.native.setRef(keep)
    }
    if (waits) return
    awaited.delete(this)
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** Tickets that nobody adopts come home when somebody looks: those who wait do. */
  #sweepLater(): void {
    const patience = this.native.patience()
    if (this.#timer !== undefined || patience === 0 || this.#waiters.size === 0) return
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined
        this.native.sweep()
        this.#sweepLater()
      },
      Math.min(Math.ceil(patience), MAX_TIMER_MS),
    )
  }
}

/** Makes a shared pool, and this isolate's attachment to it. */
export function createShared(options: CheckedPoolOptions): Sharing {
  const { bufferSize, capacity, mlock, hugePages, ticketTimeout } = options
  return begin((wake) => {
    const asked = { bufferSize, capacity, mlock, hugePages, ticketTimeout, threadId }
    return fromNative(() => native().createSharedPool(asked, wake), 'capacity')
  })
}

/** Attaches to the pool that a token names. */
export function attachShared(id: string): Sharing {
  return begin((wake) => {
    try {
      return native().attachPool(id, threadId, wake)
    } catch (thrown) {
      throw refusal(wrapNative(thrown))
    }
  })
}

/** What native holds must not hold the attachment: it could never be collected. */
function begin(make: (wake: () => void) => NativeShared): Sharing {
  const box: { sharing?: WeakRef<Sharing> } = {}
  const sharing = new Sharing(make(() => box.sharing?.deref()?.wake()))
  box.sharing = new WeakRef(sharing)
  return sharing
}

function refusal(error: unknown): unknown {
  if (!(error instanceof WraithError)) return error
  if (error.code === 'WRAITH_ERR_POOL_CLOSED') return poolClosed()
  if (error.code !== 'WRAITH_ERR_STALE_TOKEN') return error
  return new WraithError(
    'WRAITH_ERR_STALE_TOKEN',
    'the token names no pool that is alive in this process. Keep the pool that was shared until others have attached; a token ' +
      'is good within one process. Make sure that it is the value that share() returned.',
    { option: 'token' },
  )
}
