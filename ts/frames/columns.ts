import { outOfRange, WraithError, wrapNative } from '../errors.js'
import { type Batch, rowsOf } from '../receive/batch.js'
import { noSuchRow } from '../receive/rows.js'
import { wholeNumber } from '../validate.js'
import { parsers } from './backend.js'
import type { SimdBackendName } from './names.js'

/** The most rows of columns: 2^24. */
const MAX_ROWS = 1 << 24

/** What is parsed for: the functions of the addon, and how many bytes a row has in all columns together. */
export interface Kind<Problem> {
  readonly rowBytes: number
  readonly parse: 'parseFrames' | 'parsePackets'
  readonly explain: 'explainFrame' | 'explainPacket'
  /** What is wrong with a row that was taken out of its batch. */
  readonly taken: (row: number) => Problem
}

/** A kind of number that a column holds. */
interface Column<T> {
  new (memory: ArrayBuffer, offset: number, length: number): T
  readonly BYTES_PER_ELEMENT: number
}

/**
 * One typed array a field, all in one ArrayBuffer, filled by a parse and filled again by the next one. Native code writes them and
 * never reads them.
 */
export abstract class Columns<Problem> {
  /** How many rows there is room for. */
  readonly capacity: number
  readonly #kind: Kind<Problem>
  readonly #block: ArrayBuffer
  #cut = 0
  #length = 0
  #ok = 0
  /** What was parsed last: a batch, or bytes and places in them. */
  #batch: Batch | undefined
  #bytes: Uint8Array | undefined
  #offsets: Uint32Array | undefined
  #lengths: Uint32Array | undefined

  /** @internal */
  protected constructor(kind: Kind<Problem>, capacity: number) {
    this.capacity = wholeNumber('capacity', capacity, 1, MAX_ROWS)
    this.#kind = kind
    this.#block = new ArrayBuffer(capacity * kind.rowBytes)
  }

  /** Rows of the last parse. Rows from here on hold what they held before. */
  get length(): number {
    return this.#length
  }

  /** How many rows of the last parse are good. */
  get ok(): number {
    return this.#ok
  }

  /**
   * What is wrong with a row of the last parse, in words and numbers; `undefined` when it is good. The row is looked at
   * again, where it lies: a batch must not have ended. The columns hold on to what was parsed until the next parse.
   *
   * @throws WRAITH_ERR_OUT_OF_RANGE, WRAITH_ERR_STALE_BATCH
   */
  explain(i: number): Problem | undefined {
    this.row(i)
    const { explain, taken } = this.#kind
    if (this.#batch !== undefined) {
      const rows = rowsOf(this.#batch)
      return rows.isTaken(i) ? taken(i) : (rows.explain(explain, i) as Problem | undefined)
    }
    const [offset, length] = [this.#offsets?.[i] ?? 0, this.#lengths?.[i] ?? 0]
    return parsers()[explain](this.#bytes as Uint8Array, offset, length) as Problem | undefined
  }

  /** The next column of the block. Wide ones come first, as native code has them. @internal */
  protected column<T>(type: Column<T>): T {
    const column = new type(this.#block, this.#cut, this.capacity)
    this.#cut += this.capacity * type.BYTES_PER_ELEMENT
    return column
  }

  /** @internal */
  protected row(i: number): number {
    if (!(i >= 0 && i < this.#length && Number.isInteger(i))) throw noSuchRow(i, this.#length)
    return i
  }

  /** The bytes of a row of the last parse. @internal */
  protected bytes(i: number): Uint8Array {
    if (this.#batch !== undefined) return this.#batch.bytes(i)
    const offset = this.#offsets?.[i] ?? 0
    return (this.#bytes as Uint8Array).subarray(offset, offset + (this.#lengths?.[i] ?? 0))
  }

  /** @internal */
  parseBatch(batch: Batch, backend: SimdBackendName | undefined): this {
    const rows = rowsOf(batch)
    this.#check(batch.length)
    try {
      this.#ok = rows.parse(this.#kind.parse, this.#block, batch.length, backend)
    } catch (thrown) {
      throw wrapNative(thrown, backend === undefined ? undefined : 'backend')
    }
    this.#parsed(batch.length, batch, undefined, undefined, undefined)
    return this
  }

  /** @internal */
  parseBytes(
    bytes: Uint8Array,
    offsets: Uint32Array,
    lengths: Uint32Array,
    backend: SimdBackendName | undefined,
  ): this {
    this.#check(offsets.length)
    if (bytes.buffer === this.#block) {
      throw new WraithError(
        'WRAITH_ERR_INVALID_ARG_TYPE',
        'bytes must not lie in the memory of the columns that they are parsed into. Copy them elsewhere.',
        { option: 'bytes' },
      )
    }
    try {
      this.#ok = parsers()[this.#kind.parse](bytes, offsets, lengths, this.#block, backend)
    } catch (thrown) {
      throw wrapNative(thrown, backend === undefined ? undefined : 'backend')
    }
    this.#parsed(offsets.length, undefined, bytes, offsets, lengths)
    return this
  }

  /** Lets go of what was parsed. @internal */
  forget(): void {
    this.#parsed(0, undefined, undefined, undefined, undefined)
    this.#ok = 0
  }

  #check(rows: number): void {
    if (rows > this.capacity) {
      const allowed = `columns of at least ${rows} rows`
      throw outOfRange('columns', `columns of ${this.capacity}`, allowed, 'Make longer columns.')
    }
    if (this.#block.byteLength === 0) {
      throw new WraithError(
        'WRAITH_ERR_DETACHED',
        'the memory of these columns was transferred away. Make new columns, and transfer copies of them.',
        { option: 'columns' },
      )
    }
  }

  #parsed(
    length: number,
    batch: Batch | undefined,
    bytes: Uint8Array | undefined,
    offsets: Uint32Array | undefined,
    lengths: Uint32Array | undefined,
  ): void {
    this.#length = length
    this.#batch = batch
    this.#bytes = bytes
    this.#offsets = offsets
    this.#lengths = lengths
  }
}
