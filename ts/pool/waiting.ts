import type { AbortSignalLike } from '../abort.js'
import { WraithError } from '../errors.js'
import type { Ticket } from './guard.js'
import type { Source } from './source.js'

/** Those who wait for a buffer, in the order of their coming. */
export interface Queue {
  /** Puts it at the end; it may have what it waits for when this returns. */
  join(waiter: Waiter): void
  leave(waiter: Waiter): void
  /** A free slot's ticket, for one whose turn it is. */
  take(): Ticket | undefined
}

/** A call of `acquireAsync` that found nothing. */
export class Waiter implements Source {
  readonly promise: Promise<Ticket>
  readonly #queue: Queue
  readonly #signal: AbortSignalLike | undefined
  readonly #onAbort = (): void => {
    this.#queue.leave(this)
    this.refuse(aborted(this.#signal))
  }
  #resolve: (ticket: Ticket) => void = () => {}
  #reject: (error: unknown) => void = () => {}
  /** Nothing happens to it any more. */
  settled = false

  constructor(queue: Queue, signal: AbortSignalLike | undefined) {
    this.#queue = queue
    this.#signal = signal
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve
      this.#reject = reject
    })
    signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  toString(): string {
    return 'acquireAsync()'
  }

  feed(): number {
    const ticket = this.#queue.take()
    if (ticket === undefined) return 1
    this.grant(ticket)
    return 0
  }

  grant(ticket: Ticket): void {
    this.#settle()
    this.#resolve(ticket)
  }

  refuse(error: unknown): void {
    this.#settle()
    this.#reject(error)
  }

  /** It did not come to wait. */
  drop(): void {
    this.#settle()
  }

  #settle(): void {
    this.settled = true
    this.#signal?.removeEventListener('abort', this.#onAbort)
  }
}

/** A signal that has fired. */
export function aborted(signal: AbortSignalLike | undefined): WraithError {
  return new WraithError(
    'WRAITH_ERR_ABORTED',
    'the signal has fired. Call acquireAsync() with a signal that has not.',
    {
      option: 'signal',
      cause: signal?.reason,
    },
  )
}
