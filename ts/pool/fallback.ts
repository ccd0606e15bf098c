import { bytesOver } from '../bytes.js'
import type { Home } from './guard.js'
import { FALLBACK, Ticket } from './guard.js'

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
  readonly #lost: FinalizationRegistry<undefined>
  readonly #onHome: () => void

  constructor(bufferSize: number, max: number, onLost: () => void, onHome: () => void) {
    this.bufferSize = bufferSize
    this.max = max
    this.#onHome = onHome
    this.#lost = new FinalizationRegistry(() => {
      this.live--
      this.leaked++
      onLost()
    })
  }

  take(): Ticket | undefined {
    if (this.live >= this.max) return undefined
    this.live++
    this.allocated++
    const ticket = new Ticket(this, FALLBACK, bytesOver(new ArrayBuffer(this.bufferSize), 0, this.bufferSize))
    this.#lost.register(ticket.view, undefined, ticket)
    return ticket
  }

  put(ticket: Ticket): void {
    this.#lost.unregister(ticket)
    ticket.view.fill(0)
    this.live--
    this.#onHome()
  }

  /** Notes are kept for slots only: a fallback buffer is the collector's business when it is lost. */
  note(): void {}
}
