import { Columns, type Kind } from './columns.js'
import type { FrameStatusName } from './names.js'

/** What is wrong with a frame. */
export interface FrameProblem {
  /** The same as a word: the name of the number in `statuses`. */
  readonly status: FrameStatusName
  /** Which field of the frame it is about, in words. */
  readonly field: string
  /** Where the field begins, in bytes from the start of the frame. */
  readonly offset: number
  /** For lengths the bytes that are needed; for everything else, and for what is too long, the limit. */
  readonly needed: number
  /** What is there instead: bytes, or the field's value. */
  readonly present: number
  /** All of that as a sentence for people. */
  readonly message: string
}

const FRAMES: Kind<FrameProblem> = {
  rowBytes: 23,
  parse: 'parseFrames',
  explain: 'explainFrame',
  taken: (row) => ({
    status: 'out-of-bounds',
    field: 'descriptor',
    offset: 0,
    needed: 0,
    present: 0,
    message: `row ${row} was taken out of the batch; read it through its guard`,
  }),
}

/** Whether a value is columns of frames, whatever its prototype says. */
export let isFrameColumns: (value: unknown) => value is FrameColumns

/**
 * Frames of the WRAITH protocol, one array a field, one row a frame. Make them once, for as many rows as a batch can have, and give
 * them to each `parseFrames`.
 *
 * In a row whose status is not 0 every other column is 0.
 */
export class FrameColumns extends Columns<FrameProblem> {
  /** Each frame's offset within its stream, in bytes: up to 2^48. {@link FrameColumns.offset} gives it as a number. */
  readonly offsets: BigUint64Array
  /** Each frame's sequence number. */
  readonly sequences: Uint32Array
  /** Where each payload begins, in bytes from the start of what was parsed: `batch.view`, or the bytes that were given. */
  readonly payloadOffsets: Uint32Array
  /** Each frame's stream id; 0 is the connection. */
  readonly streams: Uint16Array
  /** Bytes of each payload. */
  readonly payloadLengths: Uint16Array
  /** What each frame is for: see `FrameType`. */
  readonly types: Uint8Array
  /** Bits of each frame: see `FrameFlag`. */
  readonly flags: Uint8Array
  /** What became of each frame: see `FrameStatus`. 0 is good. */
  readonly statuses: Uint8Array
  readonly #halves: Uint32Array

  static {
    isFrameColumns = (value): value is FrameColumns =>
      typeof value === 'object' && value !== null && #halves in value
  }

  /**
   * @param capacity Rows that there is room for, 1 to 16,777,216: 23 bytes each.
   * @throws WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_OUT_OF_RANGE
   */
  constructor(capacity: number) {
    super(FRAMES, capacity)
    this.offsets = this.column(BigUint64Array)
    this.sequences = this.column(Uint32Array)
    this.payloadOffsets = this.column(Uint32Array)
    this.streams = this.column(Uint16Array)
    this.payloadLengths = this.column(Uint16Array)
    this.types = this.column(Uint8Array)
    this.flags = this.column(Uint8Array)
    this.statuses = this.column(Uint8Array)
    this.#halves = new Uint32Array(this.offsets.buffer, 0, 2 * capacity)
  }

  /**
   * A frame's offset within its stream, in bytes; exact, and without the BigInt that `offsets[i]` makes.
   *
   * @throws WRAITH_ERR_OUT_OF_RANGE
   */
  offset(i: number): number {
    const at = 2 * this.row(i)
    return (this.#halves[at] as number) + (this.#halves[at + 1] as number) * 2 ** 32
  }
}
