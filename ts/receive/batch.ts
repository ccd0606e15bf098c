/// <reference lib="esnext.disposable" preserve="true" />
import type { Bytes } from '../bytes.js'
import { fromNative, WraithError } from '../errors.js'
import type { PooledBuffer } from '../pool/guard.js'
import type { Peer } from '../udp/peers.js'
import { noSuchRow, type Rows, TRUNCATED } from './rows.js'

/** Whether a value is a batch, whatever its prototype says. */
export let isBatch: (value: unknown) => value is Batch
/** The rows of a batch that is still lent. */
export let rowsOf: (batch: Batch) => Rows

/**
 * Packets that arrived together, lent to one consumer: until the handler of `consume` returns or its promise settles,
 * until the next turn of `for await`, until the next `tryReceive()`, or until `dispose()`. After that every method throws
 * `WRAITH_ERR_STALE_BATCH`.
 *
 * To keep a packet, `copy(i)` it or `take(i)` its slot. The columns are typed arrays with one entry a row, of which the
 * first `length` count; the socket writes the next batch into the same arrays.
 */
export class Batch implements Disposable {
  static {
    isBatch = (value): value is Batch => typeof value === 'object' && value !== null && #rows in value
    rowsOf = (batch) => batch.#live()
  }

  /** How many packets there are. */
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

  /** Where each packet's bytes begin in {@link Batch.view}; on a shared pool, which has no such view, in its slab. */
  get offsets(): Uint32Array {
    return this.#live().offsets
  }

  /** Bytes of each packet that are there. */
  get lengths(): Uint32Array {
    return this.#live().lengths
  }

  /** Bits of each packet; bit 0: truncated. */
  get flags(): Uint8Array {
    return this.#live().flags
  }

  /** Arrival by the kernel's clock, in nanoseconds since 1970. Zeros unless the socket has `timestamps: true`. */
  get timestamps(): BigUint64Array {
    return this.#live().timestamps
  }

  /** The same in milliseconds, with the fraction. */
  get timestampsMs(): Float64Array {
    return this.#live().timestampsMs
  }

  /**
   * The receive queue of the network interface that each packet came through.
   *
   * @throws WRAITH_ERR_UNSUPPORTED: packets of a {@link UdpSocket} do not tell
   */
  get queues(): Uint32Array {
    return this.#live().queues
  }

  /**
   * The memory that the packets lie in, to read fields without a view per packet:
   * `batch.view.getUint16(batch.offsets[i])`.
   *
   * @throws WRAITH_ERR_UNSUPPORTED: the slots of a shared pool do not lie in one memory
   */
  get view(): DataView {
    return this.#live().view
  }

  /**
   * A packet's bytes, lent like the batch. The same object may show another packet in a later batch.
   *
   * Stay within them. Of an {@link XdpSocket}, `bytes(i).buffer` and `view.buffer` are a window onto the UMEM, which the kernel is writing to
   * elsewhere: decoding text there can crash the process.
   */
  bytes(i: number): Bytes {
    return this.#row(i).bytes(i)
  }

  /**
   * Who sent a packet: a frozen object, the same one for every packet of that peer while it is in the cache.
   *
   * @throws WRAITH_ERR_UNSUPPORTED: the frames of an {@link XdpSocket} say it themselves
   */
  peer(i: number): Peer {
    return this.#row(i).peer(i)
  }

  /** Whether the packet was larger than a buffer of the pool, so that its end is missing. */
  truncated(i: number): boolean {
    return ((this.#row(i).flags[i] as number) & TRUNCATED) !== 0
  }

  /** Bytes that were sent: more than `bytes(i).length` when the packet is truncated. */
  wireLength(i: number): number {
    return this.#row(i).wireLength(i)
  }

  /** A copy of a packet's bytes, yours for good. */
  copy(i: number): Bytes {
    return Buffer.from(this.#row(i).bytes(i)) as unknown as Bytes
  }

  /**
   * Moves a packet's slot out of the batch into a guard that outlives it; its `length` is the packet's. Nothing is
   * copied, but for a frame of an {@link XdpSocket}, which moves to the front of its slot; and views of its batch are empty
   * then: call `bytes(i)` again. The row is no part of the batch any more. On a shared pool the guard's `transfer()` hands the packet on to another
   * thread.
   *
   * @throws WRAITH_ERR_STALE_BATCH, WRAITH_ERR_OUT_OF_RANGE
   */
  take(i: number): PooledBuffer {
    const rows = this.#row(i)
    return fromNative(() => rows.take(i))
  }

  /** Whether the batch is still lent to you. */
  get disposed(): boolean {
    return !this.#rows.open || this.#rows.epoch !== this.#epoch
  }

  /** Ends the batch early: its slots receive again. Does nothing the second time. */
  dispose(): void {
    if (!this.disposed) this.#ended()
  }

  /** As {@link Batch.dispose}, for `using`. */
  [Symbol.dispose](): void {
    this.dispose()
  }

  #live(): Rows {
    const rows = this.#rows
    if (!rows.open || rows.epoch !== this.#epoch) throw stale()
    return rows
  }

  #row(i: number): Rows {
    const rows = this.#live()
    if (!(i >= 0 && i < this.length && Number.isInteger(i))) throw noSuchRow(i, this.length)
    return rows
  }
}

function stale(): WraithError {
  return new WraithError(
    'WRAITH_ERR_STALE_BATCH',
    'this batch has ended. Use copy(i) or take(i) for what must outlive it.',
  )
}
