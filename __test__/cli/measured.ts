import type { Measured } from '../../ts/cli/demo/measure.ts'
import type { Side } from '../../ts/cli/demo/messages.ts'
import type { Row } from '../../ts/cli/demo/plan.ts'

/** A run in which all went well and nothing was dropped, but for `values`. */
export function measured(side: Side, row: Row, values: Partial<Measured> = {}): Measured {
  return {
    side,
    row,
    recvBufferSize: row.recvBufferSize ?? 1 << 17,
    offered: 1000,
    sent: 1000,
    received: 1000,
    dropped: 0,
    drops: { receiveBuffer: 0, rxRingFull: 0, fillRingEmpty: 0, link: 0 },
    unaccounted: 0,
    mismatches: [],
    batches: 100,
    cpuNs: 1e6,
    wallNs: 1e7,
    heapBytes: 1000,
    collections: 1,
    pausedNs: 1e6,
    longestPauseNs: 1e6,
    latenciesNs: Float64Array.of(1000),
    senderNs: 1e7,
    senderCpuNs: 1e7,
    latestNs: 0,
    ...values,
  }
}
