import type { Bytes } from '../bytes.js'
import { outOfRange, WraithError } from '../errors.js'
import type { NativeProblem } from '../native.js'
import type { PooledBuffer } from '../pool/guard.js'
import type { Peer } from '../udp/peers.js'

/** Bit of the flags column: the packet was larger than its slot. */
export const TRUNCATED = 1
/** In the private slot column: this row is no part of the batch any more. */
export const TAKEN = 0xffff_ffff

/** The rows of a source's present batch: what {@link Batch} shows of them. */
export interface Rows {
  readonly timestamps: BigUint64Array
  readonly timestampsMs: Float64Array
  readonly offsets: Uint32Array
  readonly lengths: Uint32Array
  readonly flags: Uint8Array
  /** @throws WRAITH_ERR_UNSUPPORTED */
  readonly queues: Uint32Array
  /** Counts batches; a batch is alive while it is the latest and `open` is set. */
  readonly epoch: number
  readonly open: boolean
  /** The memory that offsets count in. */
  readonly view: DataView
  /** A batch of `count` rows has arrived. */
  begin(count: number): void
  /** The batch ends for JavaScript; native has to be told separately. */
  end(): void
  bytes(row: number): Bytes
  /** @throws WRAITH_ERR_UNSUPPORTED */
  peer(row: number): Peer
  /** Bytes that the sender sent, more than `bytes(row).length` when the row is truncated. */
  wireLength(row: number): number
  isTaken(row: number): boolean
  take(row: number): PooledBuffer
  /** Parses all rows into a block of columns; how many are good. */
  parse(
    parse: 'parseFrames' | 'parsePackets',
    block: ArrayBuffer,
    count: number,
    backend: string | undefined,
  ): number
  /** What is wrong with a row, as one of the kind that `explain` is for. */
  explain(explain: 'explainFrame' | 'explainPacket', row: number): NativeProblem | undefined
}

/** A row number that the batch does not have. */
export function noSuchRow(row: unknown, length: number): WraithError {
  return outOfRange('i', row, length === 0 ? 'nothing: the batch is empty' : `a row from 0 to ${length - 1}`)
}

/** A row that was taken out of the batch, or sent from it. */
export function takenRow(row: number, advice: string): WraithError {
  return new WraithError('WRAITH_ERR_STALE_BATCH', `row ${row} was taken. ${advice}`)
}
