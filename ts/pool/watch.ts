import { Events } from '../events.js'
import type { LeakReport } from './leaks.js'
import { Monitor, type Reading } from './monitor.js'
import type { Slots } from './slots.js'
import { callerLine } from './stack.js'
import type { BufferPoolMetrics, ThresholdEvent } from './types.js'

/** Events of a pool, with their arguments. */
export interface PoolEventMap {
  pressure: [event: ThresholdEvent]
  exhaustion: [event: ThresholdEvent]
  leak: [report: LeakReport]
}

/** What a pool tells its user without being asked. */
export class Watch {
  readonly events = new Events<PoolEventMap>(['pressure', 'exhaustion', 'leak'])
  readonly #monitor = new Monitor(performance.now())
  readonly #metrics: () => BufferPoolMetrics
  #warned = false

  constructor(metrics: () => BufferPoolMetrics) {
    this.#metrics = metrics
  }

  /** Looks at the thresholds. Listeners run after the acquire that crossed one, so that what they throw does not come out of it. */
  look(reading: Reading): void {
    for (const { event, active, value } of this.#monitor.look(performance.now(), reading)) {
      if (!this.events.has(event)) continue
      const payload: ThresholdEvent = Object.freeze({ active, value, metrics: this.#metrics() })
      queueMicrotask(() => this.events.emit(event, payload))
    }
  }

  /** A guard was lost with this slot. */
  lost(slots: Slots, slot: number): void {
    const { stack, ageMs, notes } = slots.holders.describe(slot)
    const report: LeakReport = Object.freeze({ slot, stack, ageMs, notes, leaked: slots.leaked })
    // Not from inside the finalizer: a listener that throws there would take other finalizers down with it.
    queueMicrotask(() => this.#tellLost(report))
  }

  #tellLost(report: LeakReport): void {
    if (this.events.emit('leak', report)) return
    const line = callerLine(report.stack)
    process.emitWarning(
      `a pooled buffer was lost without dispose() and its slot is quarantined (${report.leaked} so far)` +
        (line === undefined ? '; set WRAITH_LEAK=stack to see where it was acquired' : `; acquired ${line}`),
      { type: 'WraithWarning', code: 'WRAITH_WARN_LEAK' },
    )
  }

  /** User code has taken memory away; said once. */
  moved(shared: boolean): void {
    if (this.#warned) return
    this.#warned = true
    const outcome = shared
      ? 'has taken the buffer out of use for good, as another thread may see it'
      : 'has mapped its memory anew'
    process.emitWarning(
      "a pool's ArrayBuffer was detached by somebody else (transferred or structuredClone'd with transfer); the pool " +
        `${outcome}. Transfer copies of pooled bytes, never bytes.buffer.`,
      { type: 'WraithWarning', code: 'WRAITH_WARN_DETACHED' },
    )
  }
}
