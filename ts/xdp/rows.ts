import { type Bytes, bytesOver } from '../bytes.js'
import { fromNative, WraithError } from '../errors.js'
import { keepHere } from '../exported.js'
import { parsers } from '../frames/backend.js'
import type { NativeProblem } from '../native.js'
import type { PoolInternals } from '../pool/buffer-pool.js'
import { releaseMemory } from '../pool/debug.js'
import { lostMemory, type PooledBuffer } from '../pool/guard.js'
import { type Rows, TAKEN, takenRow } from '../receive/rows.js'
import type { Peer } from '../udp/peers.js'
import type { NativeXdp } from './native.js'

/** No place in any memory. */
const NOWHERE = 0xffff_ffff

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
  #count = 0
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
    this.#count = count
    if (this.#copies !== undefined) this.#copyOut(count)
  }

  end(): void {
    if (!this.open) return
    this.open = false
    this.hide()
    // Empty: user code has moved it.
    if (this.#pool.slots.debug && this.#copies !== undefined && this.#copies.byteLength > 0) {
      releaseMemory(new Uint8Array(this.#copies))
    }
  }

  /** Native empties every view of the batch, here or when the batch is finished: nothing may be made of the old memory any more. */
  hide(): void {
    this.#memory = this.#copies
    if (this.#copies === undefined) this.#dataView = undefined
  }

  get view(): DataView {
    const memory = this.#present()
    this.#dataView ??= new DataView(memory)
    return this.#dataView
  }

  bytes(row: number): Bytes {
    if (this.#slots[row] === TAKEN)
      throw takenRow(row, 'Read it through its guard; a frame that was sent is gone.')
    return bytesOver(this.#present(), this.#starts[row] as number, this.#sizes[row] as number)
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

  /** Where JavaScript sees the rows: of copies, what was changed in them counts, and offsets are of theirs. */
  parse(
    parse: 'parseFrames' | 'parsePackets',
    block: ArrayBuffer,
    count: number,
    backend: string | undefined,
  ): number {
    if (this.#copies === undefined) return this.native[parse](block, backend)
    const starts = this.#starts.slice(0, count)
    for (let row = 0; row < count; row++) if (this.#slots[row] === TAKEN) starts[row] = NOWHERE
    const sizes = this.#sizes.slice(0, count)
    return parsers()[parse](new Uint8Array(this.#present()), starts, sizes, block, backend)
  }

  explain(explain: 'explainFrame' | 'explainPacket', row: number): NativeProblem | undefined {
    if (this.#copies === undefined) return this.native[explain](row)
    const [start, size] = [this.#starts[row] as number, this.#sizes[row] as number]
    return parsers()[explain](new Uint8Array(this.#present()), start, size)
  }

  /** The row is no part of the batch any more. */
  left(row: number): void {
    this.#slots[row] = TAKEN
  }

  /** What changes of rows are in, when it is not the frames themselves. */
  get copies(): ArrayBuffer | undefined {
    return this.#copies
  }

  /** What the rows lie in; copies that user code has moved in the middle of a batch are made once more. */
  #present(): ArrayBuffer {
    if (this.#memory === undefined) this.#memory = fromNative(() => this.native.memory())
    if (this.#memory.byteLength > 0) return this.#memory
    if (this.#copies === undefined) throw lostMemory()
    return this.#copyOut(this.#count)
  }

  #freshCopies(): ArrayBuffer {
    return new ArrayBuffer(this.native.rows * this.#stride)
  }

  #copyOut(count: number): ArrayBuffer {
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
    return copies
  }
}
