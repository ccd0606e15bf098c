import { type Bytes, bytesOver } from '../bytes.js'
import { outOfRange, WraithError, wrapNative } from '../errors.js'
import { keepHere } from '../exported.js'
import type { NativeChannel } from '../native.js'
import type { PoolInternals } from '../pool/buffer-pool.js'
import { freshMemory, releaseMemory } from '../pool/debug.js'
import { lostMemory, type PooledBuffer } from '../pool/guard.js'
import { MOST } from './outbox.js'

/** The rows of a channel's present batch. Native has its own list of their slots. */
export class Rows {
  /** Counts batches; a batch is alive while it is the latest and `open` is set. */
  epoch = 0
  open = false
  readonly #native: NativeChannel
  readonly #pool: PoolInternals
  readonly #sizes: Uint32Array
  readonly #copyUpTo: number
  /** Views that were asked for in this batch. */
  readonly #views = new Array<Bytes | undefined>(MOST).fill(undefined)
  /** Views of the arena, by row, as they were asked for last: traffic of one size makes no more of them. */
  readonly #copies = new Array<Bytes | undefined>(MOST).fill(undefined)
  #arena: ArrayBuffer | undefined
  readonly #taken = new Array<boolean>(MOST).fill(false)
  #count = 0

  constructor(native: NativeChannel, pool: PoolInternals, copyUpTo: number) {
    this.#native = native
    this.#copyUpTo = copyUpTo
    this.#pool = pool
    this.#sizes = new Uint32Array(keepHere(native.lengths), 0, MOST)
  }

  /** A batch of `count` rows has arrived. */
  begin(count: number): void {
    this.epoch++
    this.open = true
    this.#count = count
  }

  /** The batch is over: every view is empty from here on. */
  end(): void {
    if (!this.open) return
    this.open = false
    for (let row = 0; row < this.#count; row++) {
      const view = this.#views[row]
      if (view !== undefined && this.#pool.slots.debug && !this.#taken[row]) releaseMemory(view)
      this.#views[row] = undefined
      this.#taken[row] = false
    }
    let moved: number
    try {
      moved = this.#native.finish()
    } catch (error) {
      throw wrapNative(error)
    }
    if (moved > 0) this.#pool.slots.movedAway(moved)
  }

  bytes(row: number): Bytes {
    return this.#views[row] ?? this.#show(row)
  }

  take(row: number): PooledBuffer {
    if (this.#taken[row]) throw taken(row)
    const shown = this.#views[row]
    const { debug } = this.#pool.slots
    const length = this.#sizes[row] as number
    // What was written to a copy goes along. In debug mode it lies on memory of its own.
    const slot = this.#native.take(row, !debug && shown !== undefined && shown === this.#copies[row])
    this.#taken[row] = true
    const ticket = this.#pool.slots.adopt(slot, length)
    if (debug && shown !== undefined) {
      ticket.view.set(shown)
      releaseMemory(shown)
    }
    this.#views[row] = undefined
    return this.#pool.guard(ticket)
  }

  #show(row: number): Bytes {
    if (this.#taken[row]) throw taken(row)
    const length = this.#sizes[row] as number
    let view = length <= this.#copyUpTo ? this.#copy(row, length) : undefined
    view ??= this.#itself(row, length)
    if (this.#pool.slots.debug) {
      const own = freshMemory(length)
      own.set(view)
      view = own
    }
    this.#views[row] = view
    return view
  }

  /** The copy of a row. `undefined`: user code has moved the arena. */
  #copy(row: number, length: number): Bytes | undefined {
    const known = this.#copies[row]
    if (known !== undefined && known.byteLength === length && length > 0) return known
    if (this.#arena === undefined) {
      const made = this.#native.arena()
      if (made === undefined) return undefined
      this.#arena = keepHere(made)
    }
    if (this.#arena.byteLength === 0) return undefined
    const view = bytesOver(this.#arena, row * strideOf(this.#copyUpTo), length)
    this.#copies[row] = view
    return view
  }

  /** The slot itself. */
  #itself(row: number, length: number): Bytes {
    const memory = this.#native.memory(row)
    if (memory === undefined) throw lostMemory()
    return bytesOver(memory, 0, length)
  }
}

/** A row's place in the arena. */
const strideOf = (copyUpTo: number): number => (copyUpTo + 63) & ~63

function taken(row: number): WraithError {
  return new WraithError(
    'WRAITH_ERR_OUT_OF_RANGE',
    `row ${row} was taken out of the batch. Use the guard that take(i) returned.`,
    {
      option: 'i',
    },
  )
}

/** A row that the batch does not have. */
export function noSuchRow(given: unknown, length: number): WraithError {
  const allowed = length === 0 ? 'no row at all' : `a whole number from 0 to ${length - 1}`
  return outOfRange('i', given, allowed)
}
