import { invalidType, outOfRange, WraithError, wrapNative } from '../errors.js'
import type { BufferPool, PoolInternals } from '../pool/buffer-pool.js'
import { isGuard, lostMemory, type PooledBuffer, peekTicket, type Ticket, takeTicket } from '../pool/guard.js'
import type { Batch } from '../receive/batch.js'
import { noSuchRow } from '../receive/rows.js'
import type { NativeXdp } from './native.js'
import type { FrameRows } from './rows.js'
import { fromNativeXdp, inOurNames } from './support.js'

/** Frames of one native call; `crates/wraith-node/src/xdp/send.rs` has the same numbers. */
const MOST = 256
const MOVED = 0x1_0000
/** An Ethernet header. */
const SHORTEST = 14
/** The queue that native chooses. */
const ANY = -1

/** The sending half of a socket that is open. */
export class FrameSender {
  readonly #native: NativeXdp
  readonly #pool: BufferPool
  readonly #internals: PoolInternals
  readonly #words = new Uint32Array(2 * MOST)
  readonly #sent: (accepted: number, asked: number) => void
  /** The last send was short of a frame to copy into, and not of room in the ring. */
  #lackedFrame = false

  /** @param sent told after each try, also one that throws in its middle */
  constructor(
    native: NativeXdp,
    pool: BufferPool,
    internals: PoolInternals,
    sent: (accepted: number, asked: number) => void,
  ) {
    this.#native = native
    this.#pool = pool
    this.#internals = internals
    this.#sent = sent
  }

  /** Whether what the last send lacked is there, as far as that can be told without sending. */
  hasRoom(): boolean {
    return !this.#lackedFrame || this.#pool.available > 0
  }

  /** Sends `all` in parts that fit a native call; how many, from the first one on. */
  #inParts<T>(all: readonly T[], send: (part: readonly T[]) => number): number {
    this.#lackedFrame = false
    let sent = 0
    try {
      while (sent < all.length) {
        const part = all.slice(sent, sent + MOST)
        const accepted = send(part)
        sent += accepted
        if (accepted < part.length) break
      }
    } finally {
      this.#sent(sent, all.length)
    }
    return sent
  }

  /** Sends guards, which are native's from then on; how many, from the first one on. */
  guards(given: readonly PooledBuffer[], queue = ANY): number {
    const seen = new Set<PooledBuffer>()
    const guards: PooledBuffer[] = []
    for (let i = 0; i < given.length; i++) {
      const guard = given[i] as PooledBuffer
      this.#check(`frames[${i}]`, guard)
      if (seen.has(guard)) throw twice(i)
      seen.add(guard)
      guards.push(guard)
    }
    return this.#inParts(guards, (part) => this.#send(part, queue))
  }

  /** Sends rows of a batch of `rows.native`'s, where they lie if this socket has the same UMEM; how many, from the first one on. */
  rows(batch: Batch, rows: FrameRows, chosen: readonly number[] | undefined, queue = ANY): number {
    const wanted = chosen === undefined ? whole(batch, rows) : checked(batch, rows, chosen)
    return this.#inParts(wanted, (part) => this.#sendRows(rows, part, queue))
  }

  #check(name: string, guard: unknown): void {
    if (!isGuard(guard)) throw invalidType(name, guard, 'a guard of a BufferPool')
    const { length } = peekTicket(guard)
    const most = this.#internals.slots.bufferSize
    if (length >= SHORTEST && length <= most) return
    const advice = 'Write a frame into bytes, from its destination address on, and set length to its size.'
    throw outOfRange(`${name}.length`, length, `${SHORTEST} to ${most}`, advice)
  }

  #send(guards: readonly PooledBuffer[], queue: number): number {
    const { slots } = this.#internals
    const tickets: Ticket[] = []
    const copies: PooledBuffer[] = []
    for (const guard of guards) {
      const ticket = peekTicket(guard)
      const own = ticket.home === slots ? guard : this.#copy(ticket)
      // The UMEM has no frame to copy it into.
      if (own === undefined) break
      if (own !== guard) copies.push(own)
      tickets.push(peekTicket(own))
    }
    let answer = 0
    try {
      answer = this.#sendTickets(tickets, queue)
    } catch (error) {
      for (const copy of copies) copy.dispose()
      throw error
    }
    const [accepted, moved] = [answer % MOVED, Math.floor(answer / MOVED) - 1]
    for (let i = 0; i < tickets.length; i++) {
      const ticket = tickets[i] as Ticket
      if (i < accepted || i === moved) {
        const guard = guards[i] as PooledBuffer
        if (peekTicket(guard) === ticket) takeTicket(guard)
        else {
          guard.dispose()
          takeTicket(copies.shift() as PooledBuffer)
        }
        slots.gaveUp(ticket)
      } else slots.kept(ticket)
    }
    for (const copy of copies) copy.dispose()
    if (moved < 0) return accepted
    slots.movedAway(1)
    throw lostMemory()
  }

  #sendTickets(tickets: readonly Ticket[], queue: number): number {
    const { slots } = this.#internals
    const words = this.#words
    for (const [i, ticket] of tickets.entries()) {
      slots.settle(ticket)
      words[2 * i] = ticket.slot
      words[2 * i + 1] = ticket.length
    }
    if (tickets.length === 0) return 0
    try {
      return this.#native.sendSlots(queue, words, tickets.length)
    } catch (error) {
      for (const ticket of tickets) slots.kept(ticket)
      throw wrapNative(error, undefined, inOurNames)
    }
  }

  /** A frame of another pool or of the heap, in this UMEM. */
  #copy({ view, length }: Ticket): PooledBuffer | undefined {
    const copy = this.#acquire()
    if (copy === undefined) return undefined
    copy.bytes.set(view.subarray(0, length))
    copy.length = length
    return copy
  }

  #acquire(): PooledBuffer | undefined {
    const copy = this.#pool.tryAcquire()
    if (copy === undefined) this.#lackedFrame = true
    return copy
  }

  #sendRows(rows: FrameRows, part: readonly number[], queue: number): number {
    // The kernel has the frames then, and gives them to be written when they are sent.
    rows.hide()
    const words = this.#words
    words.set(part)
    const accepted = fromNativeXdp(() =>
      rows.native.sendRows(this.#native.number, queue, words, part.length, rows.copies),
    )
    if (accepted < 0) return this.#sendCopies(rows, part, queue)
    for (let i = 0; i < accepted; i++) rows.left(part[i] as number)
    return accepted
  }

  /** Rows of another UMEM, which stay with their batch. */
  #sendCopies(rows: FrameRows, part: readonly number[], queue: number): number {
    const copies: PooledBuffer[] = []
    for (const row of part) {
      const copy = this.#acquire()
      if (copy === undefined) break
      const bytes = rows.bytes(row)
      copy.bytes.set(bytes)
      copy.length = bytes.length
      copies.push(copy)
    }
    try {
      return this.#send(copies, queue)
    } finally {
      for (const copy of copies) copy.dispose()
    }
  }
}

function twice(i: number): WraithError {
  return new WraithError(
    'WRAITH_ERR_STALE_BUFFER',
    `frames[${i}] is a guard that stands in the array before, and is given away once. Send a copy of it in a guard of its own.`,
    { option: `frames[${i}]` },
  )
}

function whole(batch: Batch, rows: FrameRows): number[] {
  const all: number[] = []
  for (let row = 0; row < batch.length; row++) if (!rows.isTaken(row)) all.push(row)
  return all
}

function checked(batch: Batch, rows: FrameRows, chosen: readonly number[]): readonly number[] {
  if (!Array.isArray(chosen)) throw invalidType('rows', chosen, 'an array of row numbers')
  const seen = new Set<number>()
  const sent: number[] = []
  // Each is read once, into an array of ours: what is sent is what was checked.
  for (let i = 0; i < chosen.length; i++) {
    const row = chosen[i] as number
    if (!(row >= 0 && row < batch.length && Number.isInteger(row))) throw noSuchRow(row, batch.length)
    if (rows.isTaken(row) || seen.has(row)) {
      throw new WraithError(
        'WRAITH_ERR_STALE_BATCH',
        `row ${row} was taken or sent already, or is named twice. Send a row once.`,
        { option: 'rows' },
      )
    }
    seen.add(row)
    sent.push(row)
  }
  return sent
}
