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
