import { captureStack } from './stack.js'

/** How much is remembered about holders, from nothing to a stack for each. */
export type LeakDetection = 'off' | 'count' | 'sampled' | 'stack'

/** A guard that was garbage-collected without having been disposed of. */
export interface LeakReport {
  /** The slot that is lost: it is quarantined, because a forgotten view may still refer to it. */
  readonly slot: number
  /** Where it was acquired, when that was recorded. */
  readonly stack: string | undefined
  /** How long ago it was acquired, in milliseconds, to within 128 acquires. */
  readonly ageMs: number
  /** What `touch()` was told, newest last. */
  readonly notes: readonly unknown[]
  /** How many guards this pool has lost so far. */
  readonly leaked: number
}

interface Trace {
  readonly sequence: number
  holder: { stack?: string } | undefined
  stack: string | undefined
  notes: unknown[] | undefined
}

/** One acquire in this many is looked at. */
export const SAMPLE_INTERVAL = 128
/**
 * Least time between two stacks at level `'sampled'`, in milliseconds. A stack costs 3 to 5 µs: without a bound, a loop
 * that acquires millions of times a second would pay as much for them as for the buffers.
 */
const STACK_INTERVAL_MS = 0.5
/** How many notes are kept per holder. */
const MAX_NOTES = 16
/** How many (acquire number, time) marks are kept; older holders are reported as at least that old. */
const MARKS = 1024

/**
 * Who holds a slot since when. A holder costs one store of its acquire number; times are taken for one in
 * {@link SAMPLE_INTERVAL}, and an age is found between two of those marks; stacks for as many, but not more than one in
 * half a millisecond.
 */
export class Holders {
  readonly level: LeakDetection
  readonly #sequenceOf: Float64Array
  readonly #traces = new Map<number, Trace>()
  /** Slots whose stack waits to be formatted. */
  readonly #pending = new Set<number>()
  /** Slots whose holder has notes, or had some until it gave the slot back. */
  readonly #noted = new Set<number>()
  #lastStack = Number.NEGATIVE_INFINITY
  readonly #markSequence: number[] = []
  readonly #markTime: number[] = []

  constructor(level: LeakDetection, sequenceOf: Float64Array) {
    this.level = level
    this.#sequenceOf = sequenceOf
  }

  /** The acquire number `sequence` has just taken `slot` and is one of those that are looked at. */
  sample(slot: number, sequence: number): void {
    const now = performance.now()
    this.#markSequence.push(sequence)
    this.#markTime.push(now)
    if (this.#markSequence.length > MARKS) {
      this.#markSequence.splice(0, MARKS / 2)
      this.#markTime.splice(0, MARKS / 2)
    }
    if (this.#noted.size > 0) this.#forgetNotes()
    if (this.level === 'sampled') {
      if (now - this.#lastStack < STACK_INTERVAL_MS) return
      this.#lastStack = now
    } else if (this.level !== 'stack') return
    this.#traces.set(slot, { sequence, holder: captureStack(), stack: undefined, notes: undefined })
    if (this.#pending.size === 0) setImmediate(() => this.#format()).unref()
    this.#pending.add(slot)
  }

  /**
   * Formats the stacks of those that still hold their slot at the end of the turn. An unformatted stack refers to the
   * receivers of its frames, and one of those may be what holds the guard: it would never be seen to be lost.
   */
  #format(): void {
    for (const slot of this.#pending) {
      const trace = this.#traces.get(slot)
      if (trace?.holder === undefined) continue
      if (trace.sequence === this.#sequenceOf[slot]) trace.stack = trace.holder.stack
      trace.holder = undefined
    }
    this.#pending.clear()
  }

  /** What a note refers to must not live on with the slot's next holders. */
  #forgetNotes(): void {
    for (const slot of this.#noted) {
      const trace = this.#traces.get(slot)
      if (trace !== undefined && trace.sequence === this.#sequenceOf[slot]) continue
      this.#noted.delete(slot)
      this.#traces.delete(slot)
    }
  }

  note(slot: number, note: unknown): void {
    const sequence = this.#sequenceOf[slot] as number
    let trace = this.#traces.get(slot)
    if (trace?.sequence !== sequence) {
      trace = { sequence, holder: undefined, stack: undefined, notes: undefined }
      this.#traces.set(slot, trace)
    }
    this.#noted.add(slot)
    trace.notes ??= []
    if (trace.notes.length === MAX_NOTES) trace.notes.shift()
    trace.notes.push(note)
  }

  /** What is known of the present holder of `slot`. */
  describe(slot: number): { stack: string | undefined; ageMs: number; notes: readonly unknown[] } {
    const sequence = this.#sequenceOf[slot] as number
    const trace = this.#traces.get(slot)
    const present = trace?.sequence === sequence ? trace : undefined
    return {
      stack: present?.stack ?? present?.holder?.stack,
      ageMs: this.#age(sequence),
      notes: Object.freeze([...(present?.notes ?? [])]),
    }
  }

  #age(sequence: number): number {
    let low = 0
    let high = this.#markSequence.length
    while (low < high) {
      const middle = (low + high) >> 1
      if ((this.#markSequence[middle] as number) <= sequence) low = middle + 1
      else high = middle
    }
    const at = this.#markTime[Math.max(0, low - 1)]
    return at === undefined ? 0 : performance.now() - at
  }
}
