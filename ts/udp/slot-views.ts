import { type Bytes, bytesOver } from '../bytes.js'
import { fromNative } from '../errors.js'
import type { NativeUdp } from '../native.js'
import { lostMemory } from '../pool/guard.js'
import { TAKEN } from '../receive/rows.js'

/**
 * The rows of a socket on a shared pool: each slot is an ArrayBuffer of its own, which native empties before the slot leaves
 * this isolate. As long as the socket keeps a slot, batch after batch, its views stay good and are used again.
 */
export class SlotViews {
  readonly #native: NativeUdp
  readonly #slots: Uint32Array
  /** By slot. An empty one is of an earlier stay of the slot, or was moved away by user code. */
  readonly #memories: (ArrayBuffer | undefined)[] = []
  readonly #views: (Bytes | undefined)[] = []

  /** @param slots the private column of slot numbers */
  constructor(native: NativeUdp, slots: Uint32Array) {
    this.#native = native
    this.#slots = slots
  }

  bytes(row: number, length: number): Bytes {
    const slot = this.#slots[row] as number
    const cached = this.#views[slot]
    if (cached !== undefined && cached.byteLength === length && length > 0) return cached
    const view = bytesOver(this.memory(row), 0, length)
    this.#views[slot] = view
    return view
  }

  /** @throws WRAITH_ERR_STALE_BUFFER */
  memory(row: number): ArrayBuffer {
    const slot = this.#slots[row] as number
    const known = this.#memories[slot]
    if (known !== undefined && known.byteLength !== 0) return known
    const memory = fromNative(() => this.#native.memory(row))
    if (memory === undefined) throw lostMemory()
    this.#memories[slot] = memory
    return memory
  }

  /**
   * The batch ends: nothing may be received any more into slots whose memory user code has moved, maybe to another thread.
   * Returns how many there were.
   */
  end(count: number): number {
    let moved = 0
    for (let row = 0; row < count; row++) {
      const slot = this.#slots[row] as number
      if (slot === TAKEN || this.#memories[slot]?.byteLength !== 0) continue
      this.#memories[slot] = undefined
      if (this.#native.lose(row)) moved++
    }
    return moved
  }
}
