import v8 from 'node:v8'

/** What a garbage collection saw: bytes of used heap before and after it, and how long it took. */
export interface Collection {
  usedBefore: number
  usedAfter: number
  ns: number
}

export interface HeapUse {
  /** Bytes allocated on V8's heap, freed ones too. */
  allocatedBytes: number
  collections: number
  pausedNs: number
  longestNs: number
}

/**
 * What was allocated between two readings of the used heap, given all collections between them: between collections
 * the used heap only grows, so the growths add up to it.
 */
export function heapUse(usedAtStart: number, collections: readonly Collection[], usedAtEnd: number): HeapUse {
  let allocatedBytes = 0
  let used = usedAtStart
  let pausedNs = 0
  let longestNs = 0
  for (const collection of collections) {
    allocatedBytes += collection.usedBefore - used
    used = collection.usedAfter
    pausedNs += collection.ns
    longestNs = Math.max(longestNs, collection.ns)
  }
  allocatedBytes += usedAtEnd - used
  return { allocatedBytes: Math.max(0, allocatedBytes), collections: collections.length, pausedNs, longestNs }
}

/** Meters this isolate's heap from {@link start} to {@link stop}. Costs something at each collection, nothing between. */
export class HeapMeter {
  #profiler: v8.GCProfiler | undefined
  #usedAtStart = 0

  start(): void {
    this.#profiler = new v8.GCProfiler()
    this.#profiler.start()
    this.#usedAtStart = v8.getHeapStatistics().used_heap_size
  }

  stop(): HeapUse {
    const usedAtEnd = v8.getHeapStatistics().used_heap_size
    const collections = this.#profiler?.stop()?.statistics ?? []
    this.#profiler = undefined
    return heapUse(
      this.#usedAtStart,
      collections.map((each) => ({
        usedBefore: each.beforeGC.heapStatistics.usedHeapSize,
        usedAfter: each.afterGC.heapStatistics.usedHeapSize,
        ns: each.cost * 1e3,
      })),
      usedAtEnd,
    )
  }
}
