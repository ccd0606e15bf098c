import { type WraithError, wrapNative } from '../errors.js'
import type { NativeXdp } from './native.js'

/** How often the kernel is asked for an error of the interface's: it reports none by itself (`xsk_poll` of Linux 6.18). */
const CHECK_MS = 500
/** Frames that are being sent are looked at so soon, and half as often each time, but for this long at most. */
const FIRST_MS = 1
const LONGEST_MS = 64

interface UpkeepEvents {
  /** Whether a frame could be sent now. */
  hasRoom(): boolean
  /** There is room to send again. */
  drained(): void
  failed(error: WraithError): void
}

/**
 * What nothing tells of: frames that were sent come home when somebody looks, and an interface that has gone is noticed by asking. The timers
 * do not keep the process alive, unless somebody waits for `'drain'`.
 */
export class Upkeep {
  readonly #native: NativeXdp
  readonly #events: UpkeepEvents
  #flushing: NodeJS.Timeout | undefined
  #pause = FIRST_MS
  #short = false
  #checking: NodeJS.Timeout | undefined
  #ended = false
  /** The last look at what is being sent failed. */
  #down = false

  constructor(native: NativeXdp, events: UpkeepEvents) {
    this.#native = native
    this.#events = events
  }

  /** Frames come: asks for errors from now on. */
  watch(): void {
    if (this.#ended) return
    this.#checking ??= setInterval(() => this.#check(), CHECK_MS).unref()
  }

  /** `accepted` of `asked` frames were sent. */
  sent(accepted: number, asked: number): void {
    if (accepted < asked) this.#short = true
    if (accepted > 0) this.#pause = FIRST_MS
    this.#later()
  }

  end(): void {
    this.#ended = true
    clearTimeout(this.#flushing)
    clearInterval(this.#checking)
    this.#flushing = undefined
    this.#checking = undefined
  }

  #later(): void {
    if (this.#ended) return
    if (this.#flushing === undefined) this.#flushing = setTimeout(() => this.#flush(), this.#pause)
    if (this.#short) this.#flushing.ref()
    else this.#flushing.unref()
  }

  #flush(): void {
    this.#flushing = undefined
    let left = 0
    try {
      left = this.#native.flush()
      this.#down = false
    } catch (error) {
      // Told once. What was accepted goes out when the interface is up again, which somebody has to see.
      if (!this.#down) this.#events.failed(wrapNative(error) as WraithError)
      this.#down = true
    }
    this.#pause = Math.min(2 * this.#pause, LONGEST_MS)
    if (this.#short && !this.#down && this.#events.hasRoom()) {
      this.#short = false
      this.#events.drained()
    }
    if (left > 0 || this.#short || this.#down) this.#later()
  }

  #check(): void {
    try {
      this.#native.check()
    } catch (error) {
      this.#events.failed(wrapNative(error) as WraithError)
    }
  }
}
