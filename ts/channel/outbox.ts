import { wrapNative } from '../errors.js'
import type { NativeChannel } from '../native.js'
import type { Ticket } from '../pool/guard.js'
import type { Slots } from '../pool/slots.js'

/** How many slots go out in one call. */
export const MOST = 32
/** What became of a slot that was to be sent. */
const [COPIED, MOVED] = [0, 2]

/** Buffers that were sent in this turn and have not left yet: they do when there are 32, and at the end of the turn. */
export class Outbox {
  readonly #native: NativeChannel
  readonly #slots: Slots
  readonly #numbers: Uint32Array
  readonly #lengths: Uint32Array
  readonly #tickets = new Array<Ticket | undefined>(MOST).fill(undefined)
  readonly #endOfTurn = (): void => {
    this.#asked = false
    this.flush()
  }
  /** The end of the turn will flush. */
  #asked = false
  count = 0

  constructor(native: NativeChannel, slots: Slots) {
    this.#native = native
    this.#slots = slots
    this.#numbers = new Uint32Array(native.slots, 0, MOST)
    this.#lengths = new Uint32Array(native.lengths, 0, MOST)
  }

  add(ticket: Ticket): void {
    this.#tickets[this.count++] = ticket
    if (this.count === MOST) this.flush()
    else if (!this.#asked) {
      this.#asked = true
      queueMicrotask(this.#endOfTurn)
    }
  }

  flush(): void {
    const { count } = this
    if (count === 0) return
    // Before the call: what it throws must not have the same slots sent again.
    this.count = 0
    let leaving = 0
    for (let at = 0; at < count; at++) {
      const ticket = this.#tickets[at] as Ticket
      if (ticket.view.byteLength === 0 && !this.#slots.debug) {
        // User code has moved its memory, and another thread may write it: it must not even be read.
        this.#slots.put(ticket)
        continue
      }
      this.#slots.settle(ticket)
      this.#tickets[leaving] = ticket
      this.#numbers[leaving] = ticket.slot
      this.#lengths[leaving] = ticket.length
      leaving++
    }
    try {
      this.#native.send(leaving)
    } catch (error) {
      throw wrapNative(error)
    }
    // `put` uses another mailbox.
    for (let at = 0; at < leaving; at++) {
      const ticket = this.#tickets[at] as Ticket
      this.#tickets[at] = undefined
      const became = this.#numbers[at]
      if (became === COPIED) this.#slots.put(ticket)
      else this.#slots.gaveUp(ticket)
      if (became === MOVED) this.#slots.movedAway(1)
    }
  }
}
