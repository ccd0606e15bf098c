import { type Bytes, bytesOver } from '../bytes.js'
import { fromNative, WraithError } from '../errors.js'
import { keepHere } from '../exported.js'
import type { NativeProblem } from '../native.js'
import type { PoolInternals } from '../pool/buffer-pool.js'
import { releaseMemory } from '../pool/debug.js'
import type { PooledBuffer } from '../pool/guard.js'
import { type Rows, TAKEN, takenRow } from '../receive/rows.js'
import type { Peer } from '../udp/peers.js'
import type { NativeXdp } from './native.js'

/** Whether native can give memory a new name (`transfer()`), which empties every view of the old one; not on Node.js 20. */
export function canRename(): boolean {
  return 'transfer' in ArrayBuffer.prototype
}

/**
 * The rows of a batch of frames. With zero-copy they lie in one ArrayBuffer over the UMEM. Before any of its frames goes back to
 * the kernel, which may write it at any moment from then on, native gives that memory a new name: every view that was ever made of the old
 * ArrayBuffer is empty. Otherwise the rows are copied into memory of JavaScript's own.
 */
export class FrameRows implements Rows {
  readonly timestamps: BigUint64Array
  readonly timestampsMs: Float64Array
  readonly offsets: Uint32Array
  readonly lengths: Uint32Array
  readonly flags: Uint8Array
  readonly queues: Uint32Array
  epoch = 0
  open = false
  readonly native: NativeXdp
  readonly #pool: PoolInternals
  readonly #slots: Uint32Array
  readonly #starts: Uint32Array
  readonly #sizes: Uint32Array
  readonly #stride: number
  /** Where batches are copied to; `undefined` with zero-copy. */
  #copies: ArrayBuffer | undefined
  /** What rows lie in; with zero-copy `undefined` until somebody looks at the batch. */
  #memory: ArrayBuffer | undefined
  #dataView: DataView | undefined

  constructor(native: NativeXdp, pool: PoolInternals, views: 'zero-copy' | 'copied') {
    this.native = native
    this.#pool = pool
    this.#stride = pool.slots.bufferSize
    const { rows, privateBlock: hidden } = native
    const shown = keepHere(native.publicBlock)
    const column = (block: ArrayBuffer, at: number): Uint32Array =>
      new Uint32Array(block, at * rows * 4, rows)
    this.offsets = column(shown, 0)
    this.lengths = column(shown, 1)
    this.queues = column(shown, 2)
    this.#slots = column(hidden, 0)
    this.#starts = column(hidden, 1)
    this.#sizes = column(hidden, 2)
    this.flags = new Uint8Array(rows)
    this.timestamps = new BigUint64Array(rows)
    this.timestampsMs = new Float64Array(rows)
    this.#copies = views === 'copied' ? this.#freshCopies() : undefined
  }

  begin(count: number): void {
    this.epoch++
    this.open = true
    if (this.#copies !== undefined) this.#copyOut(count)
  }

  end(): void {
    if (!this.open) return
    this.open = false
    this.hide()
    if (this.#copies !== undefined && this.#pool.slots.debug) releaseMemory(new Uint8Array(this.#copies))
  }

  /** Native empties every view of the batch, here or when the batch is finished: nothing may be made of the old memory any more. */
  hide(): void {
    this.#memory = this.#copies
    if (this.#copies === undefined) this.#dataView = undefined
  }

  get view(): DataView {
    this.#dataView ??= new DataView(this.#memory ?? this.#look())
    return this.#dataView
  }

  bytes(row: number): Bytes {
    if (this.#slots[row] === TAKEN)
      throw takenRow(row, 'Read it through its guard; a frame that was sent is gone.')
    return bytesOver(this.#memory ?? this.#look(), this.#starts[row] as number, this.#sizes[row] as number)
  }

  peer(): Peer {
    throw new WraithError(
      'WRAITH_ERR_UNSUPPORTED',
      'the frames of an AF_XDP socket have no peer but in their own headers. Read them there: parsePackets(batch) has columns for it.',
    )
  }

  wireLength(row: number): number {
    return this.#sizes[row] as number
  }

  isTaken(row: number): boolean {
    return this.#slots[row] === TAKEN
  }

  take(row: number): PooledBuffer {
    if (this.#slots[row] === TAKEN) throw takenRow(row, 'Take a row once.')
    this.hide()
    const slot = fromNative(() => this.native.take(row, this.#copies))
    this.left(row)
    return this.#pool.guard(this.#pool.slots.adopt(slot, this.#sizes[row] as number))
  }

  parse(parse: 'parseFrames' | 'parsePackets', block: ArrayBuffer, _count: number, backend?: string): number {
    return this.native[parse](block, backend)
  }

  explain(explain: 'explainFrame' | 'explainPacket', row: number): NativeProblem | undefined {
    return this.native[explain](row)
  }

  /** The row is no part of the batch any more. */
  left(row: number): void {
    this.#slots[row] = TAKEN
  }

  /** What changes of rows are in, when it is not the frames themselves. */
  get copies(): ArrayBuffer | undefined {
    return this.#copies
  }

  #look(): ArrayBuffer {
    const memory = fromNative(() => this.native.memory())
    this.#memory = memory
    return memory
  }

  #freshCopies(): ArrayBuffer {
    return new ArrayBuffer(this.native.rows * this.#stride)
  }

  #copyOut(count: number): void {
    const old = this.#copies as ArrayBuffer
    // In debug mode, and when user code has moved it, each batch has memory of its own.
    if (old.byteLength === 0) {
      this.#copies = this.#freshCopies()
      this.#dataView = undefined
    }
    const copies = this.#copies as ArrayBuffer
    this.#memory = copies
    fromNative(() => this.native.copyOut(copies))
    for (let row = 0; row < count; row++) {
      const start = row * this.#stride + ((this.#starts[row] as number) % this.#stride)
      this.#starts[row] = start
      this.offsets[row] = start
    }
  }
}
