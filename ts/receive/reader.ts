import { AsyncResource } from 'node:async_hooks'

import { fromNative, WraithError, wrapNative } from '../errors.js'
import type { NativeSource } from '../native.js'
import type { PoolInternals } from '../pool/buffer-pool.js'
import type { Source } from '../pool/source.js'
import { Batch } from './batch.js'
import type { Rows } from './rows.js'

/** What `consume` calls with each batch; a promise keeps the batch until it settles. */
export type BatchHandler = (batch: Batch) => unknown

/** What native tells a source's dispatcher; `crates/wraith-node/src/event_loop/dispatch.rs` has the same numbers. */
export const BATCH = 0
export const WRITABLE = 1
export const STARVED = 2
export const CLOSED = 3

/**
 * Answers to native: the batch is over; or the consumer still has it, or has ended it, and what is watched is as this
 * side has set it. It cannot be told by the answer, because microtasks run before native gets that.
 */
export const DONE = 0
const KEPT = 1

/** A turn of the loop hands `for await` at most this many packets, or this much time, before others get theirs. */
const TURN_ROWS = 1024
const TURN_MS = 4

interface HandlerConsumer {
  readonly kind: 'handler'
  readonly handler: BatchHandler
  readonly resource: AsyncResource
}

interface IteratorConsumer {
  readonly kind: 'iterator'
  waiting: ((batch: Batch | undefined) => void) | undefined
}

/** What a {@link Reader} reads from. */
export interface ReaderSetup<R extends Rows> {
  readonly native: NativeSource
  readonly pool: PoolInternals
  /** `short` is to be called when a taken row has left the source one slot short. */
  readonly rows: (short: () => void) => R
  /** For messages of the pool. */
  readonly name: () => string
  /** The type of the async resource that handlers run in. */
  readonly resource: string
  readonly onBatch?: (rows: R, count: number) => void
  /** Watches on while it waits for slots: it has several queues, and is not readable for want of slots. */
  readonly watchesOn?: boolean
}

/**
 * Hands batches of one source to one consumer at a time, and decides when the source is watched: never without a
 * consumer, without slots, or while a batch is out.
 */
export class Reader<R extends Rows = Rows> implements Source {
  readonly #native: NativeSource
  readonly #pool: PoolInternals
  readonly #rows: R
  readonly #name: () => string
  readonly #resource: string
  readonly #onBatch: ((rows: R, count: number) => void) | undefined
  readonly #watchesOn: boolean
  readonly #endNow = (): void => this.#end()
  #consumer: HandlerConsumer | IteratorConsumer | undefined
  /** A consumer's promise, or an iterator's body, holds the batch. */
  #held = false
  #paused = false
  /** Nobody else may read from the socket. Always so until it is shared. */
  #leased = true
  #starved = false
  #closed = false

  constructor({ native, pool, rows, name, resource, onBatch, watchesOn = false }: ReaderSetup<R>) {
    this.#native = native
    this.#pool = pool
    this.#rows = rows(() => this.#short())
    this.#name = name
    this.#resource = resource
    this.#onBatch = onBatch
    this.#watchesOn = watchesOn
    if (pool.slots.shared) fromNative(() => native.listen(() => this.#delivered()))
  }

  /** For messages of the pool. */
  toString(): string {
    return this.#name()
  }

  get paused(): boolean {
    return this.#paused
  }

  consume(handler: BatchHandler): void {
    this.#claim()
    // The handler runs in the async context of this call, like a listener of an emitter that was made here.
    this.#consumer = { kind: 'handler', handler, resource: new AsyncResource(this.#resource) }
    this.#watch()
  }

  /** The consumer leaves; its batch ends, and packets wait in the kernel. */
  stop(): void {
    const consumer = this.#consumer
    if (consumer === undefined) return
    this.#consumer = undefined
    this.#held = false
    this.#end()
    if (!this.#closed) {
      this.#native.pause()
      // Without a consumer the pool's slots are for others.
      this.#native.shed(0)
      if (this.#pool.slots.shared) this.#starved = false
      this.#pool.slots.feed()
    }
    if (consumer.kind === 'iterator') consumer.waiting?.(undefined)
    else consumer.resource.emitDestroy()
  }

  pause(): void {
    this.#paused = true
    if (this.#closed) return
    this.#native.pause()
    if (this.#starved && this.#pool.slots.shared) this.#native.wait(false)
  }

  resume(): void {
    this.#paused = false
    this.#watch()
  }

  /** A batch if packets are waiting in the kernel; ends the one that this returned before. */
  tryReceive(): Batch | undefined {
    if (this.#consumer !== undefined) throw busy()
    this.#end()
    this.#lease()
    return this.#receive()
  }

  /** Lets somebody else read from the socket. Returns the id to attach with. */
  share(): string {
    if (this.#closed) throw socketClosed()
    if (this.#consumer !== undefined || this.#rows.open) {
      throw new WraithError(
        'WRAITH_ERR_BUSY',
        'this socket is being read from. Call stop(), and dispose of the batch that is out, before share().',
      )
    }
    const id = fromNative(() => this.#native.share())
    this.#leased = false
    // Slots that this handle had posted are free now.
    this.#pool.slots.sated(this)
    this.#starved = false
    this.#pool.slots.feed()
    return id
  }

  iterate(): AsyncGenerator<Batch, void, undefined> {
    const consumer: IteratorConsumer = { kind: 'iterator', waiting: undefined }
    const batches = this.#batches(consumer)
    const [leave, fail] = [batches.return.bind(batches), batches.throw.bind(batches)]
    const stop = (): void => {
      if (this.#consumer === consumer) this.stop()
    }
    // A generator that waits would answer to these when the next packet has come, which may be never.
    batches.return = (value) => {
      stop()
      return leave(value)
    }
    batches.throw = (error) => {
      stop()
      return fail(error)
    }
    return batches
  }

  async *#batches(consumer: IteratorConsumer): AsyncGenerator<Batch, void, undefined> {
    this.#claim()
    this.#consumer = consumer
    let rows = 0
    let since = performance.now()
    try {
      while (this.#consumer === consumer) {
        if (rows >= TURN_ROWS || performance.now() - since >= TURN_MS) {
          await new Promise(setImmediate)
          rows = 0
          since = performance.now()
          if (this.#consumer !== consumer) return
        }
        let batch = this.#paused ? undefined : this.#receive()
        if (batch === undefined) {
          batch = await this.#next(consumer)
          rows = 0
          since = performance.now()
        }
        // stop() may have come between the batch and this line, and has ended it.
        if (batch === undefined || this.#consumer !== consumer) return
        rows += batch.length
        this.#held = true
        yield batch
        this.#held = false
        this.#end()
      }
    } finally {
      if (this.#consumer === consumer) this.stop()
    }
  }

  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#rows.end()
    this.stop()
    this.#pool.detach(this)
  }

  /** Slots are free again: reads on if it was they that were missing. */
  feed(): number {
    if (this.#closed) return 0
    if (this.#starved) {
      this.#starved = false
      this.#watch()
    }
    return this.#native.missing()
  }

  /** Native has received a batch of `count` rows into the columns. */
  onRows(count: number): number {
    const consumer = this.#consumer
    if (consumer === undefined) {
      this.#native.hold()
      this.#native.finish()
      return KEPT
    }
    const batch = this.#open(count)
    if (consumer.kind === 'iterator') {
      const waiting = consumer.waiting
      consumer.waiting = undefined
      this.#native.hold()
      waiting?.(batch)
      return KEPT
    }
    const { epoch } = this.#rows
    try {
      const result = consumer.resource.runInAsyncScope(consumer.handler, undefined, batch)
      // Asking whether it is a promise runs user code as well: a getter, a proxy.
      const pending = isThenable(result)
      // The handler has left with stop() or close(), which ended its batch; another consumer may have one by now.
      if (this.#consumer !== consumer) return KEPT
      if (pending) {
        this.#native.hold()
        this.#hold(consumer, batch, result as PromiseLike<unknown>)
        return KEPT
      }
    } catch (error) {
      // Native ends its side: it counts the batch if the isolate ends with it.
      if (this.#rows.epoch === epoch) this.#rows.end()
      throw error
    }
    // On both sides and here, not by the answer: microtasks run before native gets that, and may read again.
    this.#end()
    return KEPT
  }

  /** Native has no slot to receive into. Returns whether it may try again at once. */
  onStarved(): number {
    this.#starved = true
    if (this.#pool.slots.shared) return this.#wait()
    if (!this.#pool.slots.starve(this)) {
      this.#native.hold()
      return 0
    }
    this.#starved = false
    if (this.#native.missing() === 0) this.#pool.slots.sated(this)
    return 1
  }

  /** Takes a place in a shared pool's queue. Returns whether there is a slot at once. */
  #wait(): number {
    // What rests in this isolate is for those who wait, too.
    this.#pool.slots.flushMagazine()
    this.#starved = !this.#native.wait(this.#consumer !== undefined)
    if (this.#starved && !this.#watchesOn) this.#native.hold()
    return this.#starved ? 0 : 1
  }

  /** A shared pool has slots for this socket, or is closed. */
  #delivered(): void {
    if (this.#closed || !this.#native.fed()) return
    this.#starved = false
    this.#watch()
  }

  /** A taken row left the vector one slot short, and the magazine had none to give: what comes home is for it. */
  #short(): void {
    this.#pool.slots.starve(this)
  }

  #hold(consumer: HandlerConsumer, batch: Batch, promise: PromiseLike<unknown>): void {
    this.#held = true
    // A rejection goes on as an unhandled one, as it does from any async listener.
    // A promise of our own: `Promise.resolve` returns the user's, with whatever methods that has.
    void new Promise((resolve) => resolve(promise)).finally(() => {
      if (this.#consumer !== consumer) return
      this.#held = false
      batch.dispose()
      this.#watch()
    })
  }

  #claim(): void {
    if (this.#closed) throw socketClosed()
    if (this.#consumer !== undefined) throw busy()
    this.#end()
    this.#lease()
  }

  #lease(): void {
    if (this.#leased || this.#closed) return
    fromNative(() => this.#native.lease())
    this.#leased = true
  }

  #watch(): void {
    const wanted =
      this.#consumer?.kind === 'handler' ||
      (this.#consumer?.kind === 'iterator' && this.#consumer.waiting !== undefined)
    if (!wanted || this.#held || this.#paused || this.#closed) return
    if (this.#starved && (!this.#pool.slots.shared || this.#wait() === 0) && !this.#watchesOn) return
    if (this.#native.resume() === true) this.onStarved()
  }

  #next(consumer: IteratorConsumer): Promise<Batch | undefined> {
    if (this.#closed) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      consumer.waiting = resolve
      this.#watch()
    })
  }

  #receive(): Batch | undefined {
    if (this.#closed) throw socketClosed()
    try {
      let count = this.#native.receive()
      if (count < 0 && this.onStarved() > 0) count = this.#native.receive()
      return count > 0 ? this.#open(count) : undefined
    } catch (error) {
      throw wrapNative(error)
    }
  }

  #open(count: number): Batch {
    this.#rows.begin(count)
    this.#onBatch?.(this.#rows, count)
    return new Batch(this.#rows, count, this.#endNow)
  }

  /** Ends the batch that is out, if any, on both sides. */
  #end(): void {
    if (!this.#rows.open) return
    this.#rows.end()
    if (!this.#closed) this.#native.finish()
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function'
}

function busy(): WraithError {
  return new WraithError(
    'WRAITH_ERR_BUSY',
    'this socket already has a consumer. Call stop(), or leave the for await loop, before starting another.',
  )
}

/** A socket that was closed. */
export function socketClosed(): WraithError {
  return new WraithError('WRAITH_ERR_SOCKET_CLOSED', 'the socket is closed. Open a new one.')
}
