import { WraithError } from '../errors.js'
import type { NativeSlots } from '../native.js'
import type { LeakDetection } from './leaks.js'
import type { SlotMemory } from './memory.js'
import type { Sharing } from './sharing.js'

/** Somebody of this isolate who takes slots from a pool and may run short of them: a socket, or a call of `acquireAsync`. */
export interface Source {
  /** For messages: which source this is. */
  toString(): string
  /** Slots have come back to the native free list: take them. Returns how many are still missing. */
  feed(): number
}

/** What the owner of the slots is told. */
export interface SlotsEvents {
  /** A sampled acquire: a good moment to look at thresholds. */
  sampled(): void
  /** Slots crossed to or from native: a good moment to publish counters. */
  crossed(): void
  /** A guard was lost with this slot. */
  lost(slot: number): void
  /** Nothing that this isolate counts is out after `close`. */
  home(): void
  /** User code has moved the memory of a shared pool's slots away; native has taken them out of use. */
  moved(slots: number): void
  /** A shared pool was closed by another isolate. */
  closedElsewhere(): void
}

/** What a {@link Slots} is made of. */
export interface SlotsSetup {
  readonly native: NativeSlots
  readonly memory: SlotMemory
  readonly bufferSize: number
  readonly capacity: number
  readonly level: LeakDetection
  readonly debug: boolean
  /** How many tickets the magazine may hold, read before each is put in; a shared pool's is written by native. */
  readonly limit: Uint32Array
  /** A shared pool's. */
  readonly sharing: Sharing | undefined
  readonly events: SlotsEvents
}

/** A pool that was closed. */
export function poolClosed(): WraithError {
  return new WraithError(
    'WRAITH_ERR_POOL_CLOSED',
    'the pool is closed. Acquire before close(), or make a new pool.',
  )
}

/** The same error, but for a closed pool's, which says what to do. */
export function closedOr(error: unknown): unknown {
  return error instanceof WraithError && error.code === 'WRAITH_ERR_POOL_CLOSED' ? poolClosed() : error
}
