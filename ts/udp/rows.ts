import { type Bytes, bytesOver } from '../bytes.js'
import { WraithError } from '../errors.js'
import { keepHere } from '../exported.js'
import { parsers } from '../frames/backend.js'
import type { NativeProblem, NativeUdp } from '../native.js'
import type { PoolInternals } from '../pool/buffer-pool.js'
import { releaseMemory } from '../pool/debug.js'
import type { PooledBuffer } from '../pool/guard.js'
import { type Rows, TAKEN, takenRow } from '../receive/rows.js'
import { type Peer, Peers } from './peers.js'
import { SlotViews } from './slot-views.js'

/** Views that are kept; with all of them in use, about 400 KiB of heap. */
const VIEW_BITS = 12
const VIEWS = 1 << VIEW_BITS
/** No place in any memory. */
const NOWHERE = 0xffff_ffff

/**
 * The rows of a socket's present batch. Native writes two blocks of columns and never reads them back: the public one is
 * the user's to read, the private one decides which bytes `bytes(i)` shows, so that scribbling on a column misleads
 * nobody but the one who does it.
 */
export class UdpRows implements Rows {
  readonly timestamps: BigUint64Array
  readonly timestampsMs: Float64Array
  readonly offsets: Uint32Array
  readonly lengths: Uint32Array
  readonly flags: Uint8Array
  /** Counts batches; a batch is alive while it is the latest and `open` is set. */
  epoch = 0
  open = false
  readonly #native: NativeUdp
  readonly #pool: PoolInternals
  readonly #slots: Uint32Array
  readonly #starts: Uint32Array
  readonly #sizes: Uint32Array
  readonly #wire: Uint32Array
  readonly #peers: Peers
  /**
   * Views made before, by a hash of where they begin and how long they are: traffic of one size, or of a few, makes next
   * to no views.
   */
  readonly #views = new Array<Bytes | undefined>(VIEWS).fill(undefined)
  readonly #short: () => void
  /** Of a shared pool, whose slots do not lie in one memory. */
  readonly #apart: SlotViews | undefined
  #count = 0
  /** Debug mode: where the rows lie in the slab. */
  #origins = new Uint32Array(0)
  #memory: ArrayBuffer
  #dataView: DataView | undefined

  constructor(native: NativeUdp, pool: PoolInternals, short: () => void) {
    this.#native = native
    this.#pool = pool
    this.#short = short
    const { privateBlock: hidden, columns } = native
    const shown = keepHere(native.publicBlock)
    const { rows } = columns
    this.timestamps = new BigUint64Array(shown, columns.timestamps, rows)
    this.timestampsMs = new Float64Array(shown, columns.timestampsMs, rows)
    this.offsets = new Uint32Array(shown, columns.offsets, rows)
    this.lengths = new Uint32Array(shown, columns.lengths, rows)
    this.flags = new Uint8Array(shown, columns.flags, rows)
    this.#slots = new Uint32Array(hidden, columns.privateSlots, rows)
    this.#starts = new Uint32Array(hidden, columns.privateOffsets, rows)
    this.#sizes = new Uint32Array(hidden, columns.privateLengths, rows)
    this.#wire = new Uint32Array(hidden, columns.privateWireLengths, rows)
    this.#peers = new Peers(native, new Uint32Array(hidden, columns.privatePeers, rows))
    this.#apart = pool.slots.shared ? new SlotViews(native, this.#slots) : undefined
    this.#memory = pool.slots.shared ? new ArrayBuffer(0) : pool.slots.memory
  }

  get queues(): Uint32Array {
    throw new WraithError(
      'WRAITH_ERR_UNSUPPORTED',
      'the packets of a UDP socket do not tell through which queue they came. Use an XdpSocket.',
    )
  }

  begin(count: number): void {
    this.epoch++
    this.open = true
    this.#count = count
    if (this.#pool.slots.debug) {
      this.#origins = this.#starts.slice(0, count)
      this.#copyOut()
    } else if (this.#apart === undefined && this.#memory.byteLength === 0)
      this.#memory = this.#pool.slots.memory
  }

  end(): void {
    if (!this.open) return
    this.open = false
    // Empty: user code has moved it.
    if (this.#pool.slots.debug && this.#memory.byteLength > 0) releaseMemory(new Uint8Array(this.#memory))
    const moved = this.#apart?.end(this.#count) ?? 0
    if (moved > 0) this.#pool.slots.movedAway(moved)
  }

  get view(): DataView {
    if (this.#apart !== undefined) throw noView()
    if (this.#dataView?.buffer !== this.#memory || this.#memory.byteLength === 0) {
      if (this.#memory.byteLength === 0) this.#remap()
      this.#dataView = new DataView(this.#memory)
    }
    return this.#dataView
  }

  bytes(row: number): Bytes {
    const length = this.#sizes[row] as number
    const offset = this.#starts[row] as number
    if (this.#slots[row] === TAKEN) throw takenRow(row, 'Read it through its guard.')
    if (this.#apart !== undefined && !this.#pool.slots.debug) return this.#apart.bytes(row, length)
    const place = placeOf(offset, length)
    const cached = this.#views[place]
    if (cached !== undefined && cached.byteLength === length && cached.byteOffset === offset) return cached
    return this.#makeView(place, offset, length)
  }

  peer(row: number): Peer {
    return this.#peers.at(row)
  }

  wireLength(row: number): number {
    return this.#wire[row] as number
  }

  isTaken(row: number): boolean {
    return this.#slots[row] === TAKEN
  }

  /** Native goes by its own list of slots. In debug mode the rows are the copies that the batch lies on. */
  parse(
    parse: 'parseFrames' | 'parsePackets',
    block: ArrayBuffer,
    count: number,
    backend: string | undefined,
  ): number {
    if (this.#pool.slots.debug) return this.#parseCopies(parse, block, count, backend)
    return this.#native[parse](block, backend)
  }

  // A method of its own: a closure in the other one would cost it garbage in each call.
  #parseCopies(
    parse: 'parseFrames' | 'parsePackets',
    block: ArrayBuffer,
    count: number,
    backend: string | undefined,
  ): number {
    const copies = this.#copies()
    const starts = this.#starts.map((start, row) => (this.isTaken(row) ? NOWHERE : start))
    return parsers()[parse](copies, starts.subarray(0, count), this.#sizes.slice(0, count), block, backend)
  }

  explain(explain: 'explainFrame' | 'explainPacket', row: number): NativeProblem | undefined {
    if (!this.#pool.slots.debug) return this.#native[explain](row)
    return parsers()[explain](this.#copies(), this.#starts[row] as number, this.#sizes[row] as number)
  }

  #copies(): Uint8Array {
    if (this.#memory.byteLength === 0) this.#remap()
    return new Uint8Array(this.#memory)
  }

  /** The largest packet of the batch, as sent. */
  largest(count: number): number {
    let most = 0
    for (let row = 0; row < count; row++) most = Math.max(most, this.#wire[row] as number)
    return most
  }

  take(row: number): PooledBuffer {
    if (this.#slots[row] === TAKEN) throw takenRow(row, 'Take a row once.')
    const { slots } = this.#pool
    // Throws when user code has moved its memory: then the slot is not to be had.
    if (this.#apart !== undefined) this.#apart.memory(row)
    // A shared pool's magazine is small, and its free list is the next receive's to take from.
    const spare = this.#apart === undefined ? slots.spare() : -1
    const slot = this.#native.take(row, spare)
    if (spare < 0 && this.#apart === undefined) this.#short()
    this.#slots[row] = TAKEN
    return this.#pool.guard(slots.adopt(slot, this.#sizes[row] as number))
  }

  #makeView(place: number, offset: number, length: number): Bytes {
    if (this.#memory.byteLength === 0) this.#remap()
    const view = bytesOver(this.#memory, offset, length)
    if (!this.#pool.slots.debug) this.#views[place] = view
    return view
  }

  /** User code has detached the memory in the middle of a batch. */
  #remap(): void {
    if (this.#pool.slots.debug) this.#copyOut()
    else this.#memory = this.#pool.slots.memory
  }

  /** Debug mode: the batch lies on memory of its own, which is detached when it ends. */
  #copyOut(): void {
    const count = this.#origins.length
    let total = 0
    for (let row = 0; row < count; row++) total += this.#sizes[row] as number
    const slab = this.#apart === undefined ? new Uint8Array(this.#pool.slots.memory) : undefined
    this.#memory = new ArrayBuffer(Math.max(1, total))
    const copy = new Uint8Array(this.#memory)
    let at = 0
    for (let row = 0; row < count; row++) {
      const [start, length] = [this.#origins[row] as number, this.#sizes[row] as number]
      // The slot of a taken row may have been received into again.
      if (this.#slots[row] !== TAKEN) {
        copy.set(slab?.subarray(start, start + length) ?? this.#apart?.bytes(row, length) ?? [], at)
      }
      this.#starts[row] = at
      this.offsets[row] = at
      at += length
    }
  }
}

/** Multiplicative hashing: the upper bits of the products are well mixed. */
function placeOf(offset: number, length: number): number {
  return Math.imul(offset ^ Math.imul(length, 0x9e37_79b1), 0x85eb_ca6b) >>> (32 - VIEW_BITS)
}

function noView(): WraithError {
  return new WraithError(
    'WRAITH_ERR_UNSUPPORTED',
    'the packets of a shared pool do not lie in one ArrayBuffer, so there is no view over all of them. Use bytes(i).',
  )
}
