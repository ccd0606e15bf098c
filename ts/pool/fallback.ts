import { freshMemory, releaseMemory } from './debug.js'
import type { Home } from './guard.js'
import { FALLBACK, Ticket } from './guard.js'
import { copyToken } from './ticket.js'

/** Buffers of the heap for when the pool is empty, never more than `max` at a time. */
export class Fallback implements Home {
  readonly bufferSize: number
  readonly max: number
  /** How many there are now. */
  live = 0
  /** How many were ever allocated. */
  allocated = 0
  /** How many were lost with their guards. */
  leaked = 0
  readonly #debug: boolean
  readonly #lost: FinalizationRegistry<undefined>
  /** One buffer less is out, given back or lost. */
  readonly #onHome: () => void

  constructor(bufferSize: number, max: number, debug: boolean, onHome: () => void) {
    this.bufferSize = bufferSize
    this.max = max
    this.#debug = debug
    this.#onHome = onHome
    this.#lost = new FinalizationRegistry(() => {
      this.live--
      this.leaked++
      onHome()
    })
  }

  take(): Ticket | undefined {
    if (this.live >= this.max) return undefined
    this.live++
    this.allocated++
    const ticket = new Ticket(this, FALLBACK, freshMemory(this.bufferSize))
    this.#lost.register(ticket.view, undefined, ticket)
    return ticket
  }

  put(ticket: Ticket): void {
    this.#lost.unregister(ticket)
    if (this.#debug) releaseMemory(ticket.view)
    else ticket.view.fill(0)
    this.live--
    this.#onHome()
  }

  transfer(ticket: Ticket): string {
    const token = copyToken(ticket)
    this.put(ticket)
    return token
  }

  /** A copy has nothing to take back. */
  cancel(): boolean {
    return false
  }

  /** Notes are kept for slots only: a fallback buffer is the collector's business when it is lost. */
  note(): void {}
}
