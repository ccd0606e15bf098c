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

/** Bytes of the UMEM under one ArrayBuffer, and the same as a shift; `crates/wraith-node/src/xdp/memory.rs` has the same number. */
const WINDOW = 1 << 24
const WINDOW_BITS = 24
const WITHIN = WINDOW - 1

/** As it was before user code could change it; none on Node.js 20. */
const transfer = (ArrayBuffer.prototype as { transfer?: (this: ArrayBuffer) => ArrayBuffer }).transfer

/** Whether native can give memory a new name (`transfer()`), which empties every view of the old one; not on Node.js 20. */
export function canRename(): boolean {
  return transfer !== undefined
}

/**
 * The rows of a batch of frames. With zero-copy they lie in the UMEM, of which JavaScript sees a window of 16 MiB as one ArrayBuffer. Before any
 * frame goes back to the kernel, which may write it at any moment from then on, native gives the windows that JavaScript looked through
 * new names: every view that was ever made of the old ArrayBuffers is empty. Otherwise the rows are copied into memory of JavaScript's own.
 *
 * `offsets` and `view` are of the window that all rows lie in, as those of a batch nearly always do. When they do not, whoever asks for these
 * gets copies; `bytes` looks through several windows.
 */
export class FrameRows implements Rows {
  readonly timestamps: BigUint64Array
  readonly timestampsMs: Float64Array
  readonly lengths: Uint32Array
  readonly flags: Uint8Array
  readonly queues: Uint32Array
  epoch = 0
  open = false
  readonly native: NativeXdp
  readonly #pool: PoolInternals
  readonly #offsets: Uint32Array
  readonly #slots: Uint32Array
  readonly #starts: Uint32Array
  readonly #sizes: Uint32Array
  readonly #stride: number
  readonly #copied: boolean
  /** The UMEM is no larger than a window. */
  readonly #small: boolean
  #count = 0
  /** Where this batch is copied to; `undefined` while it is where the kernel wrote it. */
  #copies: ArrayBuffer | undefined
  /** By row, views of copies, whose memory stays: used again for a frame of the same size. Empty ones are of memory that user code has moved. */
  readonly #kept: (Bytes | undefined)[] = []
  /** For batches whose rows lie in several windows. */
  #spare: ArrayBuffer | undefined
  /** What was looked at last: the copies, or the window with this number. */
  #memory: ArrayBuffer | undefined
  #window = 0
  /** Where `offsets` count from is decided: this byte of the UMEM, or the front of the copies. */
  #placed = true
  #base = 0
  #dataView: DataView | undefined

  constructor(native: NativeXdp, pool: PoolInternals, views: 'zero-copy' | 'copied') {
    this.native = native
    this.#pool = pool
    this.#stride = pool.slots.bufferSize
    const { rows, privateBlock: hidden } = native
    const shown = keepHere(native.publicBlock)
    const column = (block: ArrayBuffer, at: number): Uint32Array =>
      new Uint32Array(block, at * rows * 4, rows)
    this.#offsets = column(shown, 0)
    this.lengths = column(shown, 1)
    this.queues = column(shown, 2)
    this.#slots = column(hidden, 0)
    this.#starts = column(hidden, 1)
    this.#sizes = column(hidden, 2)
    this.flags = new Uint8Array(rows)
    this.timestamps = new BigUint64Array(rows)
    this.timestampsMs = new Float64Array(rows)
    this.#copied = views === 'copied'
    this.#small = pool.slots.capacity * this.#stride <= WINDOW
    if (this.#copied) this.#copies = this.#freshCopies()
  }

  begin(count: number): void {
    this.epoch++
    this.open = true
    this.#count = count
    if (this.#copied) this.#copyOut()
    else this.#placed = this.#small
  }

  end(): void {
    if (!this.open) return
    this.open = false
    this.hide()
    if (this.#copies === undefined) return
    if (!this.#copied) {
      this.#spare = this.#copies
      this.#copies = this.#memory = undefined
    } else if (this.#pool.slots.debug && this.#copies.byteLength > 0) {
      // Empty: user code has moved it.
      releaseMemory(new Uint8Array(this.#copies))
    }
  }

  /** Native empties every view of the batch, here or when the batch is finished: nothing may be made of the old memory any more. */
  hide(): void {
    if (this.#copied) return
    if (this.#copies !== undefined && this.#copies.byteLength > 0) {
      this.#copies = Reflect.apply(transfer as NonNullable<typeof transfer>, this.#copies, [])
    }
    this.#memory = this.#copies
    this.#dataView = undefined
  }

  get offsets(): Uint32Array {
    if (!this.#placed) this.#place()
    return this.#offsets
  }

  get view(): DataView {
    if (!this.#placed) this.#place()
    const memory = this.#present(this.#base)
    this.#dataView ??= new DataView(memory)
    return this.#dataView
  }

  bytes(row: number): Bytes {
    if (this.#slots[row] === TAKEN)
      throw takenRow(row, 'Read it through its guard; a frame that was sent is gone.')
    const start = this.#starts[row] as number
    const size = this.#sizes[row] as number
    if (!this.#copied) return bytesOver(this.#present(start), start & WITHIN, size)
    const kept = this.#kept[row]
    if (kept !== undefined && kept.byteOffset === start && kept.byteLength === size) return kept
    const view = bytesOver(this.#present(start), start, size)
    this.#kept[row] = view
    return view
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
    if (!this.#placed) this.#place()
    if (this.#copies === undefined) return this.native[parse](block, backend, this.#base)
    const starts = this.#starts.slice(0, count)
    for (let row = 0; row < count; row++) if (this.#slots[row] === TAKEN) starts[row] = NOWHERE
    const sizes = this.#sizes.slice(0, count)
    return parsers()[parse](new Uint8Array(this.#present(0)), starts, sizes, block, backend)
  }

  explain(explain: 'explainFrame' | 'explainPacket', row: number): NativeProblem | undefined {
    if (this.#copies === undefined) return this.native[explain](row)
    const [start, size] = [this.#starts[row] as number, this.#sizes[row] as number]
    return parsers()[explain](new Uint8Array(this.#present(0)), start, size)
  }

  /** The row is no part of the batch any more. */
  left(row: number): void {
    this.#slots[row] = TAKEN
  }

  /** What changes of rows are in, when it is not the frames themselves. */
  get copies(): ArrayBuffer | undefined {
    return this.#copies
  }

  /** What the byte of the UMEM, or of the copies, lies in. */
  #present(start: number): ArrayBuffer {
    const memory = this.#memory
    if (memory !== undefined && start >>> WINDOW_BITS === this.#window && memory.byteLength > 0) return memory
    return this.#look(start >>> WINDOW_BITS)
  }

  /** Copies that user code has moved in the middle of a batch are made once more. */
  #look(window: number): ArrayBuffer {
    if (this.#copies !== undefined) return this.#copyOut()
    const memory = fromNative(() => this.native.memory(window))
    if (memory.byteLength === 0) throw lostMemory()
    this.#memory = memory
    this.#window = window
    return memory
  }

  /** Makes offsets count from the front of the window that all rows lie in, or of copies. */
  #place(): void {
    const [starts, count] = [this.#starts, this.#count]
    const window = (starts[0] as number) >>> WINDOW_BITS
    for (let row = 1; row < count; row++) {
      if ((starts[row] as number) >>> WINDOW_BITS === window) continue
      this.#base = 0
      this.#copies = this.#spare ?? this.#freshCopies()
      this.#spare = undefined
      this.#copyOut()
      return
    }
    this.#base = window * WINDOW
    this.#placed = true
    if (window === 0) return
    for (let row = 0; row < count; row++) this.#offsets[row] = (starts[row] as number) & WITHIN
  }

  #freshCopies(): ArrayBuffer {
    return new ArrayBuffer(this.native.rows * this.#stride)
  }

  /** Native has emptied the views of the UMEM when this returns. */
  #copyOut(): ArrayBuffer {
    const old = this.#copies as ArrayBuffer
    // In debug mode, and when user code has moved it, each batch has memory of its own.
    if (old.byteLength === 0) this.#copies = this.#freshCopies()
    const copies = this.#copies as ArrayBuffer
    if (copies !== this.#memory) this.#dataView = undefined
    this.#memory = copies
    this.#window = 0
    this.#placed = true
    fromNative(() => this.native.copyOut(copies))
    for (let row = 0; row < this.#count; row++) {
      const start = row * this.#stride + ((this.#starts[row] as number) % this.#stride)
      this.#starts[row] = start
      this.#offsets[row] = start
    }
    return copies
  }
}
