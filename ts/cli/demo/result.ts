import type { Drops } from './drops.js'
import type { Measured } from './measure.js'
import { SIDES, type Side, WIRE_SIDES } from './messages.js'
import { loadName, type Row } from './plan.js'
import { geometricMean, quantile, ratio, sum } from './statistics.js'

/** All runs of one side in one row, taken together. */
export interface SideResult {
  runs: number
  recvBufferSize: number
  offered: number
  sent: number
  received: number
  dropped: number
  drops: Drops
  unaccounted: number
  mismatches: string[]
  /** How many packets a call of the library brought; 1 for dgram. */
  packetsPerBatch: number | undefined
  packetsPerCpuSecond: number | undefined
  /** The least and the most of a single run. */
  packetsPerCpuSecondRange: readonly [number, number]
  cpuNsPerPacket: number | undefined
  heapBytes: number
  heapBytesPerPacket: number | undefined
  collections: number
  pausedMs: number
  longestPauseMs: number
  p50Us: number | undefined
  p99Us: number | undefined
  /** CPU time over wall-clock time while packets came: near 1, the receiver was the limit. */
  busy: number | undefined
  sentPerSecond: number | undefined
  /** CPU time of the sender for each packet that it sent. */
  senderCpuNsPerPacket: number | undefined
  /** How late the sender was at worst, against its schedule. */
  latestMs: number
}

/** Adds up the runs of one side. Costs are those of all packets together, so long runs weigh more than short ones. */
function combine(runs: readonly Measured[]): SideResult {
  const add = (of: (run: Measured) => number): number => sum(runs.map(of))
  const most = (of: (run: Measured) => number): number => Math.max(0, ...runs.map(of))
  const received = add((run) => run.received)
  const cpuNs = add((run) => run.cpuNs)
  const heapBytes = add((run) => run.heapBytes)
  const speeds = runs.map((run) => ratio(run.received * 1e9, run.cpuNs) ?? 0)
  const latencies = runs.flatMap((run) => [...run.latenciesNs])
  const microseconds = (q: number): number | undefined => {
    const ns = quantile(latencies, q)
    return ns === undefined ? undefined : ns / 1e3
  }
  return {
    runs: runs.length,
    recvBufferSize: runs[0]?.recvBufferSize ?? 0,
    offered: add((run) => run.offered),
    sent: add((run) => run.sent),
    received,
    dropped: add((run) => run.dropped),
    drops: {
      receiveBuffer: add((run) => run.drops.receiveBuffer),
      rxRingFull: add((run) => run.drops.rxRingFull),
      fillRingEmpty: add((run) => run.drops.fillRingEmpty),
      link: add((run) => run.drops.link),
    },
    // Not the sum: a packet too many in one run must not hide one too few in another.
    unaccounted: add((run) => Math.abs(run.unaccounted)),
    mismatches: runs.flatMap((run) => run.mismatches),
    packetsPerBatch: ratio(
      received,
      add((run) => run.batches ?? run.received),
    ),
    packetsPerCpuSecond: ratio(received, cpuNs / 1e9),
    packetsPerCpuSecondRange: [Math.min(...speeds), Math.max(...speeds)],
    cpuNsPerPacket: ratio(cpuNs, received),
    heapBytes,
    heapBytesPerPacket: ratio(heapBytes, received),
    collections: add((run) => run.collections),
    pausedMs: add((run) => run.pausedNs) / 1e6,
    longestPauseMs: most((run) => run.longestPauseNs) / 1e6,
    p50Us: microseconds(0.5),
    p99Us: microseconds(0.99),
    busy: ratio(
      cpuNs,
      add((run) => run.wallNs),
    ),
    sentPerSecond: ratio(
      add((run) => run.sent) * 1e9,
      add((run) => run.senderNs),
    ),
    senderCpuNsPerPacket: ratio(
      add((run) => run.senderCpuNs),
      add((run) => run.sent),
    ),
    latestMs: most((run) => run.latestNs) / 1e6,
  }
}

/** One row of the table with both sides; a side is missing until its first run is done. */
export type RowResult = { row: Row } & Partial<Record<Side, SideResult>>

export function combineRows(rows: readonly Row[], runs: readonly Measured[]): RowResult[] {
  return rows.map((row) => {
    const result: RowResult = { row }
    for (const side of WIRE_SIDES) {
      const own = runs.filter((run) => run.row === row && run.side === side)
      if (own.length > 0) result[side] = combine(own)
    }
    return result
  })
}

/** One side over another; `undefined` where one of them has nothing to compare. */
export interface Ratios {
  packetsPerCpuSecond: number | undefined
  heapBytesPerPacket: number | undefined
  /** Time in garbage collection for the same number of packets. */
  gcTime: number | undefined
}

export function ratios(result: RowResult, side: Side = 'wraith', base: Side = 'dgram'): Ratios {
  const { [side]: ours, [base]: theirs } = result
  return {
    packetsPerCpuSecond: ratio(ours?.packetsPerCpuSecond, theirs?.packetsPerCpuSecond),
    heapBytesPerPacket: ratio(ours?.heapBytesPerPacket, theirs?.heapBytesPerPacket),
    gcTime: ratio(
      ours && ratio(ours.pausedMs, ours.received),
      theirs && ratio(theirs.pausedMs, theirs.received),
    ),
  }
}

/** Full rate in bursts with the machine's own receive buffer: the most that one sender can offer. */
export function isHeadline({ row }: RowResult): boolean {
  return row.rate === undefined && row.burst > 1 && row.recvBufferSize === undefined
}

/**
 * The figures quoted for the whole: full rate, the machine's own receive buffer, both kinds of work. Speed is the
 * geometric mean of the rows; heap and pauses are added up first, because one row may have none.
 */
export function headline(rows: readonly RowResult[], side: Side = 'wraith', base: Side = 'dgram'): Ratios {
  const chosen = rows.filter(isHeadline)
  const perPacket = (of: (result: SideResult) => number, whose: Side): number | undefined => {
    const results = chosen.flatMap((row) => row[whose] ?? [])
    return ratio(sum(results.map(of)), sum(results.map(({ received }) => received)))
  }
  const both = (of: (result: SideResult) => number): number | undefined =>
    ratio(perPacket(of, side), perPacket(of, base))
  return {
    packetsPerCpuSecond: geometricMean(chosen.map((row) => ratios(row, side, base).packetsPerCpuSecond)),
    heapBytesPerPacket: both(({ heapBytes }) => heapBytes),
    gcTime: both(({ pausedMs }) => pausedMs),
  }
}

/** What went wrong; the demo fails when this is not empty. */
export function faults(rows: readonly RowResult[], sides: readonly Side[] = SIDES): string[] {
  const found: string[] = []
  for (const { row, ...results } of rows) {
    for (const side of sides) {
      const result = results[side]
      const where = `${side}, ${loadName(row)}, ${row.work}`
      if (result === undefined) found.push(`${where}: not measured`)
      else {
        if (result.unaccounted !== 0) found.push(`${where}: ${result.unaccounted} packets unaccounted for`)
        for (const mismatch of result.mismatches) found.push(`${where}: ${mismatch}`)
      }
    }
    const { dgram, wraith } = results
    if (dgram && wraith && dgram.recvBufferSize !== wraith.recvBufferSize) {
      found.push(`${loadName(row)}: unequal receive buffers`)
    }
  }
  return found
}
