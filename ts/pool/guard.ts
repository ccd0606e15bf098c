/// <reference lib="esnext.disposable" preserve="true" />
import type { Bytes } from '../bytes.js'
import { invalidType, WraithError } from '../errors.js'
import { wholeNumber } from '../validate.js'
import { BufferTicket, joinTickets, type TicketHome } from './ticket.js'

/** Where a ticket goes when its guard is disposed of. */
export interface Home extends TicketHome {
  /** The bytes of every buffer of this home. */
  readonly bufferSize: number
  /** Takes a ticket back, zeroed from here on. */
  put(ticket: Ticket): void
  /**
   * Sends a ticket's buffer on its way and returns what names it; throws when it cannot. `undefined`: its memory was moved
   * away, and the buffer is lost.
   */
  transfer(ticket: Ticket): string | undefined
  /** Remembers a note about the holder for leak reports. */
  note(ticket: Ticket, note: unknown): void
}

/**
 * One buffer of a pool and its cached view. Whoever has the ticket has the buffer; a guard has it from acquire to
 * dispose. Nothing else refers to the ticket in between, so that the loss of a guard can be seen.
 */
export class Ticket {
  readonly slot: number
  readonly home: Home
  view: Bytes
  length = 0
  /** Lives as long as the ticket or a view of it. Views must not hold the ticket, which holds the whole pool. */
  readonly life = {}

  constructor(home: Home, slot: number, view: Bytes) {
    this.home = home
    this.slot = slot
    this.view = view
  }
}

/** The slot number of buffers that the heap gave because the pool was empty. */
export const FALLBACK = -1

/** @internal */
export let peekTicket: (guard: PooledBuffer) => Ticket
/** @internal */
export let takeTicket: (guard: PooledBuffer) => Ticket
/** @internal */
export let isGuard: (value: unknown) => value is PooledBuffer

/**
 * A buffer in your hands, from `acquire` until `dispose`.
 *
 * Dispose of it with `using`, `dispose()` or `pool.release()`: the bytes are zeroed and the buffer goes home. A guard
 * that is used after that throws `WRAITH_ERR_STALE_BUFFER`; a second `dispose()` does nothing. Making one costs 32
 * bytes of heap and no call into native code.
 */
export class PooledBuffer implements Disposable {
  #ticket: Ticket | undefined

  /** @internal */
  constructor(ticket: Ticket) {
    this.#ticket = ticket
  }

  /**
   * All bytes of the buffer, `pool.bufferSize` of them, as a Buffer. The view is yours until `dispose()`; what you
   * read through it later belongs to somebody else.
   *
   * @throws WRAITH_ERR_STALE_BUFFER
   */
  get bytes(): Bytes {
    return PooledBuffer.#live(this).view
  }

  /** How many of the bytes are in use: 0 at first, the packet's length after `batch.take(i)`. */
  get length(): number {
    return PooledBuffer.#live(this).length
  }

  /** @throws WRAITH_ERR_OUT_OF_RANGE, WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_STALE_BUFFER */
  set length(length: number) {
    const ticket = PooledBuffer.#live(this)
    ticket.length = wholeNumber('length', length, 0, ticket.home.bufferSize)
  }

  /** The bytes in use: the first `length` of `bytes`. A new view on each call (about 40 ns). */
  get data(): Bytes {
    const ticket = PooledBuffer.#live(this)
    return ticket.view.subarray(0, ticket.length) as Bytes
  }

  /** Whether the bytes lie in the pool's slab; `false` for a fallback buffer of the heap. */
  get pooled(): boolean {
    return PooledBuffer.#live(this).slot !== FALLBACK
  }

  /** Whether this guard has given its buffer back or away. */
  get disposed(): boolean {
    return this.#ticket === undefined
  }

  /** Zeroes the bytes and gives the buffer back. Does nothing the second time. */
  dispose(): void {
    const ticket = this.#ticket
    if (ticket === undefined) return
    this.#ticket = undefined
    ticket.home.put(ticket)
  }

  /** As {@link PooledBuffer.dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose()
  }

  /**
   * Gives the buffer back when `promise` settles, and not before: for bytes that an asynchronous operation still
   * reads or writes (`fs.write`, `dgram.send`). The guard itself is stale from here on, so that a `using` scope may end
   * first.
   *
   * @returns a promise with the outcome of the one that was passed, settled after the buffer is home
   * @throws WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_STALE_BUFFER
   */
  disposeAfter<T>(promise: PromiseLike<T>): Promise<T> {
    if (typeof (promise as PromiseLike<T> | undefined)?.then !== 'function') {
      throw invalidType('promise', promise, 'a promise')
    }
    const ticket = PooledBuffer.#live(this)
    this.#ticket = undefined
    return Promise.resolve(promise).finally(() => ticket.home.put(ticket))
  }

  /**
   * Gives the buffer away, to whoever adopts the ticket: `pool.adopt(ticket)`, in any thread that is attached to the same shared
   * pool, gets this very buffer and its `length`, without a copy. All views onto it are empty from here on, in this thread.
   * The guard is stale.
   *
   * A buffer of a private pool, or a fallback buffer, goes home; the ticket carries a copy of its first `length` bytes.
   *
   * @throws WRAITH_ERR_STALE_BUFFER, WRAITH_ERR_POOL_CLOSED
   */
  transfer(): BufferTicket {
    const ticket = PooledBuffer.#live(this)
    const token = ticket.home.transfer(ticket)
    this.#ticket = undefined
    if (token === undefined) throw lostMemory()
    return new BufferTicket(ticket.home, token)
  }

  /**
   * Adds a note to this holder's record: it is shown by `pool.dump()` and in a leak report. A note that refers to the
   * guard keeps it alive, so that its loss is not seen: pass strings and numbers.
   */
  touch(note: unknown): this {
    const ticket = PooledBuffer.#live(this)
    ticket.home.note(ticket, note)
    return this
  }

  // Static: a private method of instances would give every guard a further field.
  static #live(guard: PooledBuffer): Ticket {
    const ticket = guard.#ticket
    if (ticket === undefined) throw stale()
    return ticket
  }

  /** The ticket inside, left where it is; for this package's own modules. */
  static {
    peekTicket = (guard) => PooledBuffer.#live(guard)
    isGuard = (value): value is PooledBuffer =>
      typeof value === 'object' && value !== null && #ticket in value
    takeTicket = (guard) => {
      const ticket = PooledBuffer.#live(guard)
      guard.#ticket = undefined
      return ticket
    }
  }
}

function stale(): WraithError {
  return new WraithError(
    'WRAITH_ERR_STALE_BUFFER',
    'this guard has been disposed of or given away. Use a guard only until then; copy what must live longer.',
  )
}

/** A buffer whose memory user code has taken away. */
export function lostMemory(): WraithError {
  return new WraithError(
    'WRAITH_ERR_STALE_BUFFER',
    "this buffer's memory was moved to another ArrayBuffer, so the buffer is out of use for good. Copy bytes that are to be " +
      'transferred, and never move bytes.buffer.',
  )
}

/** Several guards that live and end together: an array with `dispose()`. */
export class PooledBuffers extends Array<PooledBuffer> implements Disposable {
  /** Arrays that are made from this one (`map`, `filter`) are plain ones. */
  static override get [Symbol.species](): ArrayConstructor {
    return Array
  }

  /** Disposes of every guard; those already disposed of are passed over. */
  dispose(): void {
    // By index: iterating over a subclass of Array costs several times as much.
    for (let i = 0; i < this.length; i++) this[i]?.dispose()
  }

  /**
   * Gives all buffers away with one ticket, for `pool.adoptMany(ticket)`: posting it costs hardly more than posting one. See
   * {@link PooledBuffer.transfer}. When one cannot be given away, the error is thrown and all go home.
   *
   * @throws WRAITH_ERR_STALE_BUFFER, WRAITH_ERR_POOL_CLOSED, WRAITH_ERR_FOREIGN_BUFFER: they come from several shared pools
   */
  transfer(): BufferTicket {
    const tickets: BufferTicket[] = []
    try {
      for (let i = 0; i < this.length; i++) tickets.push((this[i] as PooledBuffer).transfer())
      return joinTickets(tickets)
    } catch (error) {
      for (const ticket of tickets) ticket.cancel()
      this.dispose()
      throw error
    }
  }

  /** As {@link PooledBuffers.dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose()
  }
}
