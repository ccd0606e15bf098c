/**
 * Nanoseconds since an epoch that two processes share, from CLOCK_MONOTONIC. `process.hrtime.bigint()` is that clock but
 * makes an object a call; `performance.now()` is the same clock with a start of its own, so the difference is taken once.
 */
export class Clock {
  readonly #offsetNs: number

  /** @param epochNs a reading of `process.hrtime.bigint()` in any process of this machine */
  constructor(epochNs: bigint) {
    let best = Number.POSITIVE_INFINITY
    let offset = 0
    // The tightest of a few tries: being descheduled between the two readings would shift every latency.
    for (let i = 0; i < 32; i++) {
      const before = performance.now()
      const ns = Number(process.hrtime.bigint() - epochNs)
      const after = performance.now()
      if (after - before < best) {
        best = after - before
        offset = ns - ((before + after) / 2) * 1e6
      }
    }
    this.#offsetNs = offset
  }

  /** A whole number of nanoseconds. */
  now(): number {
    return Math.round(performance.now() * 1e6 + this.#offsetNs)
  }
}
