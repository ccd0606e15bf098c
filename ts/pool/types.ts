import type { AbortSignalLike } from '../abort.js'
import type { Granted } from '../native.js'
import type { LeakDetection } from './leaks.js'

export type { Granted } from '../native.js'

/** Options of {@link BufferPool}. */
export interface BufferPoolOptions {
  /** Bytes of each buffer, 1 to 16 MiB. Default 2048. */
  readonly bufferSize?: number
  /** How many buffers, 1 to 1,048,576; all of them together less than 4 GiB. Default 1024. */
  readonly capacity?: number
  /**
   * What `acquire` does when every buffer is out: `'allocate'` (default) gives one of the heap, at most `maxFallback` at a
   * time; `'throw'` throws `WRAITH_ERR_POOL_EXHAUSTED`. Receiving never falls back: a source waits for a slot.
   */
  readonly onExhausted?: 'allocate' | 'throw'
  /** How many fallback buffers may exist at a time. Default: `capacity`. */
  readonly maxFallback?: number
  /** Ask the kernel to keep the memory out of swap. Whether it did is in `info()`. */
  readonly mlock?: boolean
  /** Ask the kernel for huge pages. Whether it gave them is in `info()`. */
  readonly hugePages?: boolean
  /** How much is remembered about holders. Default `'sampled'`, or what the environment's `WRAITH_LEAK` says. */
  readonly leakDetection?: LeakDetection
  /**
   * Whether other threads may attach to the pool and get its buffers without a copy. Default `false`: private to the isolate that
   * makes it.
   */
  readonly shared?: boolean
  /**
   * A shared pool: how many milliseconds a ticket of `transfer()` stays good when nobody adopts it; then its buffer goes home.
   * Default 30,000; 0 for as long as the pool is open.
   */
  readonly ticketTimeout?: number
}

/** What `pool.share()` gives: post it to other threads of this process, which `BufferPool.attach` it. */
export interface PoolToken {
  readonly kind: 'wraith-transport/pool'
  /** Random: it cannot be guessed. */
  readonly id: string
}

/** Options of `BufferPool.attach`: what each thread chooses for itself. See {@link BufferPoolOptions}. */
export interface AttachOptions {
  readonly onExhausted?: 'allocate' | 'throw'
  readonly maxFallback?: number
  readonly leakDetection?: LeakDetection
}

/** Options of `pool.acquireAsync`. */
export interface AcquireOptions {
  /** Gives up waiting when it fires. */
  readonly signal?: AbortSignalLike
}

/** Options of `pool.exercise`. */
export interface ExerciseOptions {
  /** Rust threads, 1 to 64. Default 2. */
  readonly threads?: number
  /** Buffers that each of them takes, one after the other. Default 10,000. */
  readonly acquires?: number
}

/** What Rust threads found. */
export interface ExerciseResult {
  /** Buffers that they got; fewer than asked for when the pool was closed meanwhile. */
  readonly acquires: number
  /** Buffers that were not zeroed, or that somebody else wrote into: 0, unless there is a bug. */
  readonly wrong: number
}

/** Counters and gauges of a pool at one moment. The counters only grow, and are exact up to 2^53. */
export interface BufferPoolMetrics {
  readonly capacity: number
  readonly bufferSize: number
  /** Buffers that `acquire` could get now. */
  readonly available: number
  /** Buffers in guards' hands. */
  readonly lent: number
  /** Slots that sources hold, to receive into or in a batch. */
  readonly heldBySources: number
  /** Slots lost with their guards and out of use. */
  readonly quarantined: number
  /** 1 - available / capacity, as the guide has it. */
  readonly utilization: number
  /** Calls that asked for a buffer, whatever they got, and rows that were taken out of a batch. */
  readonly acquires: number
  /** Buffers that came back. */
  readonly releases: number
  /** Calls that found every buffer out. */
  readonly exhaustions: number
  /** exhaustions / acquires over the pool's life, 0 before the first acquire. */
  readonly exhaustionRate: number
  /** Buffers of the heap ever given because the pool was empty. */
  readonly fallbackAllocations: number
  /** Buffers of the heap that are out now. */
  readonly fallbackLive: number
  /** Guards that were garbage-collected without dispose. */
  readonly leaked: number
  /** Calls of `acquireAsync` that had to wait. */
  readonly waits: number
  /** Calls of `acquireAsync` that wait now. */
  readonly waiting: number
  /** A shared pool: buffers in the magazines of other isolates, which `acquire` cannot have now. As last published by them. */
  readonly cachedElsewhere: number
  /** A shared pool: sums over all isolates, those that have ended included. */
  readonly pool?: SharedPoolMetrics
  /** A shared pool: every isolate that is attached, this one included. */
  readonly isolates?: readonly IsolateMetrics[]
}

/**
 * What one attachment to a shared pool has done, as it published it last: when it asked native for slots or gave some back, with
 * one in 128 acquires, and when it was asked for metrics itself.
 */
export interface IsolateMetrics {
  /** Names the attachment as long as it is there. */
  readonly id: number
  /** `threadId` of its thread. */
  readonly threadId: number
  /** Buffers in its magazine. */
  readonly cached: number
  /** Buffers in its guards' hands. */
  readonly lent: number
  readonly acquires: number
  readonly exhaustions: number
  readonly waits: number
  readonly waiting: number
  readonly fallbackAllocations: number
  readonly fallbackLive: number
  readonly leaked: number
}

/** A shared pool's sums over all attachments, and its tickets. */
export interface SharedPoolMetrics {
  readonly acquires: number
  readonly exhaustions: number
  readonly waits: number
  readonly waiting: number
  readonly fallbackAllocations: number
  readonly fallbackLive: number
  readonly leaked: number
  /** Acquires of Rust threads. */
  readonly rustAcquires: number
  /** Tickets that were made. */
  readonly transferred: number
  /** Tickets that were adopted. */
  readonly adopted: number
  /** Tickets that were taken back by `cancel()`. */
  readonly cancelled: number
  /** Tickets that ended because nobody adopted them in time, or with the pool. */
  readonly expired: number
  /** Slots that came home because their isolate ended or forgot its pool. */
  readonly reclaimed: number
}

/** Every slot by state, from a scan of the owner table. */
export interface BufferPoolAudit {
  readonly capacity: number
  /** In the native free list. */
  readonly free: number
  /** In this isolate's magazine: free for `acquire` without a native call. */
  readonly cached: number
  /** In guards' hands. */
  readonly lent: number
  /** A shared pool: in the magazines and guards of other isolates. */
  readonly elsewhere: number
  /** In a batch that is lent to a consumer. */
  readonly batched: number
  /** Given to the kernel to receive into. */
  readonly posted: number
  /** In a native operation (a queued send). */
  readonly op: number
  /** On the way to another isolate. */
  readonly transit: number
  /** Given back by a kernel queue that may still write. */
  readonly retiring: number
  /** Lost with a guard and out of use. */
  readonly quarantined: number
  /** Whether it all adds up. */
  readonly ok: boolean
  /** What does not add up, in words. */
  readonly problems: readonly string[]
}

/** Who holds a buffer. */
export interface HolderInfo {
  readonly slot: number
  readonly state: string
  /** For `lent`: how long, in milliseconds, to within 128 acquires. */
  readonly ageMs?: number
  /** For `lent`: where it was acquired, when that was recorded. */
  readonly stack?: string
  /** For `lent`: what `touch()` was told. */
  readonly notes?: readonly unknown[]
}

/** The memory of a pool: what was asked for and what the kernel gave. */
export interface BufferPoolInfo {
  readonly bufferSize: number
  readonly capacity: number
  /** Bytes from one slot to the next: `bufferSize` rounded up to 64. */
  readonly strideBytes: number
  /** Bytes of the whole slab. */
  readonly memoryBytes: number
  readonly mlock: Granted
  readonly hugePages: Granted
  readonly onExhausted: 'allocate' | 'throw'
  readonly leakDetection: LeakDetection
  readonly shared: boolean
  /** Whether `WRAITH_DEBUG` was set when the pool was made. */
  readonly debug: boolean
}

/** A threshold that was crossed. */
export interface ThresholdEvent {
  /** `true` when the state begins, `false` when it ends. */
  readonly active: boolean
  /** The utilization or the exhaustion rate that crossed it. */
  readonly value: number
  readonly metrics: BufferPoolMetrics
}
