/// <reference lib="esnext.disposable" preserve="true" />
import type { Bytes } from '../bytes.js'
import { fromNative, WraithError } from '../errors.js'
import type { PooledBuffer } from '../pool/guard.js'
import { noSuchRow, type Rows } from './rows.js'

/**
 * Buffers that came together, at most 32, lent to one consumer: until the handler of `consume` returns or its promise settles,
 * until the next turn of `for await`, until the next `tryReceive()`, or until `dispose()`. Then they go home, zeroed, every view
 * of them is empty, and every method throws `WRAITH_ERR_STALE_BATCH`.
 *
 * To keep a buffer, `copy(i)` its bytes or `take(i)` it.
 */
export class ChannelBatch implements Disposable {
  /** How many buffers there are. */
  readonly length: number
  readonly #rows: Rows
  readonly #epoch: number
  readonly #ended: () => void

  /** @internal */
  constructor(rows: Rows, length: number, ended: () => void) {
    this.length = length
    this.#rows = rows
    this.#epoch = rows.epoch
    this.#ended = ended
  }

  /** A buffer's bytes in use, the first `length` of them, as its sender wrote them. They may be written, too. */
  bytes(i: number): Bytes {
    return this.#row(i).bytes(i)
  }

  /** A copy of a buffer's bytes in use, yours for good. */
  copy(i: number): Bytes {
    return Buffer.from(this.#row(i).bytes(i)) as unknown as Bytes
  }

  /**
   * Moves a buffer out of the batch into a guard that outlives it. Nothing is copied. The row is no part of the batch any more.
   *
   * @throws WRAITH_ERR_STALE_BATCH, WRAITH_ERR_OUT_OF_RANGE
   */
  take(i: number): PooledBuffer {
    const rows = this.#row(i)
    return fromNative(() => rows.take(i))
  }

  /** Whether the batch is over. */
  get disposed(): boolean {
    return !this.#rows.open || this.#rows.epoch !== this.#epoch
  }

  /** Ends the batch early: its buffers go home. Does nothing the second time. */
  dispose(): void {
    if (!this.disposed) this.#ended()
  }

  /** As {@link ChannelBatch.dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose()
  }

  #row(i: number): Rows {
    const rows = this.#rows
    if (!rows.open || rows.epoch !== this.#epoch) {
      throw new WraithError(
        'WRAITH_ERR_STALE_BATCH',
        'this batch has ended. Use copy(i) or take(i) for what must outlive it.',
      )
    }
    if (!(i >= 0 && i < this.length && Number.isInteger(i))) throw noSuchRow(i, this.length)
    return rows
  }
}
