import type { Machine } from './machine.js'
import type { ForgottenGuard, Side } from './messages.js'
import { loadName } from './plan.js'
import { headline, type Ratios, type RowResult, type SideResult } from './result.js'
import { ratio, significant } from './statistics.js'

/** One row of one side. What could not be measured is `null`. */
export interface JsonRow {
  /** What the table calls this load. */
  load: string
  /** Packets a second, or `"full"`. */
  rate: number | 'full'
  /** Datagrams that left together. */
  burst: number
  work: 'count' | 'parse'
  runs: number
  recvBufferBytes: number
  offered: number
  sent: number
  received: number
  droppedByKernel: number
  /** Of what was sent, 0 to 1. */
  droppedShare: number | null
  unaccounted: number
  equalTotals: boolean
  packetsPerBatch: number | null
  packetsPerCpuSecond: number | null
  cpuNsPerPacket: number | null
  heapBytesPerPacket: number | null
  gc: { count: number; totalMs: number; maxMs: number }
  latencyUs: { p50: number | null; p99: number | null }
  sentPerSecond: number | null
}

export interface JsonSide {
  library: string
  rows: JsonRow[]
}

export interface JsonRatios {
  packetsPerCpuSecond: number | null
  heapBytesPerPacket: number | null
  /** Garbage-collection time for the same number of packets; `null` when dgram's runs saw no collection. */
  gcTime: number | null
}

/** The last line of `demo --json`. Ratios are wraith over dgram in the rows "full": the stock receive buffer, both kinds of work. */
export interface JsonReport {
  dgram: JsonSide & { machine: Machine }
  wraith: JsonSide & { forgottenGuard: { frame: string; source: string } }
  ratio: JsonRatios
}

export function jsonReport(
  rows: readonly RowResult[],
  machine: Machine,
  forgotten: ForgottenGuard,
): JsonReport {
  return {
    dgram: { library: `node:dgram of Node ${machine.node}`, machine, rows: side(rows, 'dgram') },
    wraith: {
      library: `wraith-transport ${machine.library}`,
      rows: side(rows, 'wraith'),
      forgottenGuard: { frame: forgotten.frame, source: forgotten.source },
    },
    ratio: jsonRatios(headline(rows)),
  }
}

export function jsonRatios({ packetsPerCpuSecond, heapBytesPerPacket, gcTime }: Ratios): JsonRatios {
  return {
    packetsPerCpuSecond: round(packetsPerCpuSecond),
    heapBytesPerPacket: round(heapBytesPerPacket),
    gcTime: round(gcTime),
  }
}

function side(rows: readonly RowResult[], name: Side): JsonRow[] {
  return rows.flatMap((result) => {
    const own = result[name]
    return own === undefined ? [] : [jsonRow(result, own)]
  })
}

export function jsonRow({ row }: RowResult, of: SideResult): JsonRow {
  return {
    load: loadName(row),
    rate: row.rate ?? 'full',
    burst: row.burst,
    work: row.work,
    runs: of.runs,
    recvBufferBytes: of.recvBufferSize,
    offered: of.offered,
    sent: of.sent,
    received: of.received,
    droppedByKernel: of.dropped,
    droppedShare: round(ratio(of.dropped, of.sent)),
    unaccounted: of.unaccounted,
    equalTotals: of.mismatches.length === 0,
    packetsPerBatch: round(of.packetsPerBatch),
    packetsPerCpuSecond: round(of.packetsPerCpuSecond),
    cpuNsPerPacket: round(of.cpuNsPerPacket),
    heapBytesPerPacket: round(of.heapBytesPerPacket),
    gc: {
      count: of.collections,
      totalMs: significant(of.pausedMs, 4),
      maxMs: significant(of.longestPauseMs, 4),
    },
    latencyUs: { p50: round(of.p50Us), p99: round(of.p99Us) },
    sentPerSecond: round(of.sentPerSecond),
  }
}

function round(value: number | undefined): number | null {
  return value === undefined ? null : significant(value, 4)
}
