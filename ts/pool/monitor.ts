/** How many acquires, or milliseconds, a judgement covers. */
const WINDOW_ACQUIRES = 1024
const WINDOW_MS = 1000
/** The guide's thresholds, each with the lower one at which the state ends. */
const PRESSURE = { on: 0.8, off: 0.7 }
const EXHAUSTION = { on: 0.01, off: 0.005 }

/** What a pool's monitor looks at. */
export interface Reading {
  readonly acquires: number
  readonly exhaustions: number
  readonly utilization: number
}

/** A state that began or ended. */
export interface Change {
  readonly event: 'pressure' | 'exhaustion'
  readonly active: boolean
  readonly value: number
}

/**
 * The guide's thresholds over the last 1024 acquires or second: utilization above 0.8 is pressure (until 0.7), more than
 * 1 % of acquires finding the pool empty is exhaustion (until 0.5 %). A pure state machine: time comes in, changes go out.
 */
export class Monitor {
  #pressure = false
  #exhaustion = false
  #windowAcquires = 0
  #windowExhaustions = 0
  #windowStart: number
  #rate = 0

  constructor(nowMs: number) {
    this.#windowStart = nowMs
  }

  /** The exhaustion rate of the last whole window. */
  get exhaustionRate(): number {
    return this.#rate
  }

  /** Looks at the pool; returns what began or ended. */
  look(nowMs: number, reading: Reading): readonly Change[] {
    const changes: Change[] = []
    const pressure = reading.utilization > (this.#pressure ? PRESSURE.off : PRESSURE.on)
    if (pressure !== this.#pressure) {
      this.#pressure = pressure
      changes.push({ event: 'pressure', active: pressure, value: reading.utilization })
    }
    const acquires = reading.acquires - this.#windowAcquires
    if (acquires >= WINDOW_ACQUIRES || (acquires > 0 && nowMs - this.#windowStart >= WINDOW_MS)) {
      this.#rate = (reading.exhaustions - this.#windowExhaustions) / acquires
      this.#windowAcquires = reading.acquires
      this.#windowExhaustions = reading.exhaustions
      this.#windowStart = nowMs
      const exhaustion = this.#rate > (this.#exhaustion ? EXHAUSTION.off : EXHAUSTION.on)
      if (exhaustion !== this.#exhaustion) {
        this.#exhaustion = exhaustion
        changes.push({ event: 'exhaustion', active: exhaustion, value: this.#rate })
      }
    }
    return changes
  }
}
