/**
 * The bytes of a slot, a row or a guard: a Node.js `Buffer`.
 *
 * With `@types/node` installed this is its `Buffer` type; without it, the part of a Buffer that is listed in
 * {@link BufferLike}.
 */
export type Bytes = typeof globalThis extends { Buffer: { from(text: string): infer B } }
  ? B & Uint8Array
  : BufferLike

/** What a `Buffer` has beyond a `Uint8Array`, as far as this package's own types need it. */
export interface BufferLike extends Uint8Array {
  write(text: string, offset?: number, length?: number, encoding?: string): number
  toString(encoding?: string, start?: number, end?: number): string
  equals(other: Uint8Array): boolean
  readUInt8(offset?: number): number
  readUInt16BE(offset?: number): number
  readUInt32BE(offset?: number): number
  readUInt16LE(offset?: number): number
  readUInt32LE(offset?: number): number
  readBigUInt64BE(offset?: number): bigint
  readBigUInt64LE(offset?: number): bigint
  writeUInt8(value: number, offset?: number): number
  writeUInt16BE(value: number, offset?: number): number
  writeUInt32BE(value: number, offset?: number): number
  writeUInt16LE(value: number, offset?: number): number
  writeUInt32LE(value: number, offset?: number): number
  writeBigUInt64BE(value: bigint, offset?: number): number
  writeBigUInt64LE(value: bigint, offset?: number): number
}

/**
 * A view onto slot memory. It is a Buffer in all but its prototype's identity: constructing it costs 15 to 25 ns,
 * where `Buffer.from(memory, …)` costs 40 to 50 and `subarray` 30 to 60, and it is made once a packet.
 */
class SlotBytes extends Uint8Array {}
Object.setPrototypeOf(SlotBytes.prototype, Buffer.prototype)
Object.defineProperty(SlotBytes.prototype, 'constructor', {
  value: Buffer,
  configurable: true,
  writable: true,
})

/** One that keeps something alive. A class of its own: a field would cost each packet's view time and heap. */
class HoldingBytes extends SlotBytes {
  /** Lives as long as the view. */
  readonly #holder: object

  constructor(memory: ArrayBuffer, offset: number, length: number, holder: object) {
    super(memory, offset, length)
    this.#holder = holder
  }

  /** It is there to be referred to; nobody asks. */
  static holderOf(view: HoldingBytes): object {
    return view.#holder
  }
}
Object.setPrototypeOf(HoldingBytes.prototype, Buffer.prototype)
Object.defineProperty(HoldingBytes.prototype, 'constructor', {
  value: Buffer,
  configurable: true,
  writable: true,
})

/** A Buffer over `length` bytes of `memory` from `offset`. */
export function bytesOver(memory: ArrayBuffer, offset: number, length: number): Bytes {
  return new SlotBytes(memory, offset, length) as unknown as Bytes
}

/** The same, with a `holder` that is not collected before it. */
export function bytesHolding(memory: ArrayBuffer, offset: number, length: number, holder: object): Bytes {
  return new HoldingBytes(memory, offset, length, holder) as unknown as Bytes
}

/** Whether the memory under bytes of the caller's can change or vanish while native code uses them. */
export function isUnstable(bytes: ArrayBufferView): boolean {
  const memory = bytes.buffer as ArrayBufferLike & { readonly resizable?: boolean }
  return memory instanceof SharedArrayBuffer || memory.resizable === true
}
