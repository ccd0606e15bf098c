import { type Bytes, bytesHolding } from '../bytes.js'
import { fromNative, WraithError } from '../errors.js'
import { keepHere } from '../exported.js'
import type { NativePool, NativeShared } from '../native.js'

/** How an isolate sees the slots of a pool. */
export interface SlotMemory {
  /**
   * The bytes of a slot that native has just given to this isolate, or whose view user code has emptied. `undefined`: its
   * memory was moved away, and native has taken the slot out of use. `holder` lives as long as the view.
   */
  view(slot: number, holder: object): Bytes | undefined
  /** The memory of all slots in one, where there is such a thing. */
  readonly whole: ArrayBuffer
  /** Where a slot begins in {@link SlotMemory.whole}. */
  offsetOf(slot: number): number
}

/**
 * A private pool: one ArrayBuffer over the slab. Nobody but this isolate writes a slot, so nothing is ever detached.
 */
export class PrivateMemory implements SlotMemory {
  readonly #native: NativePool
  readonly #bufferSize: number
  readonly #stride: number
  readonly #remapped: () => void
  #memory: ArrayBuffer

  constructor(native: NativePool, bufferSize: number, remapped: () => void) {
    this.#native = native
    this.#bufferSize = bufferSize
    this.#stride = native.stride
    this.#remapped = remapped
    this.#memory = keepHere(native.memory)
  }

  /** The slab as this isolate sees it; asked for anew when user code has detached it. */
  get whole(): ArrayBuffer {
    if (this.#memory.byteLength === 0) {
      this.#memory = keepHere(fromNative(() => this.#native.map()))
      this.#remapped()
    }
    return this.#memory
  }

  view(slot: number, holder: object): Bytes {
    return bytesHolding(this.whole, slot * this.#stride, this.#bufferSize, holder)
  }

  offsetOf(slot: number): number {
    return slot * this.#stride
  }
}

/**
 * A shared pool: an ArrayBuffer a slot, which native empties, with every view onto it, before the slot leaves this isolate.
 */
export class SharedMemory implements SlotMemory {
  readonly #native: NativeShared
  readonly #bufferSize: number

  constructor(native: NativeShared, bufferSize: number) {
    this.#native = native
    this.#bufferSize = bufferSize
  }

  view(slot: number, holder: object): Bytes | undefined {
    const memory = this.#native.memory(slot)
    return memory === undefined ? undefined : bytesHolding(memory, 0, this.#bufferSize, holder)
  }

  get whole(): ArrayBuffer {
    throw noWhole()
  }

  offsetOf(): number {
    throw noWhole()
  }
}

function noWhole(): WraithError {
  return new WraithError(
    'WRAITH_ERR_UNSUPPORTED',
    'the slots of a shared pool do not lie in one ArrayBuffer. Use bytes(i), or a private pool.',
  )
}
