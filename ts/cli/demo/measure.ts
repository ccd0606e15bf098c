import type { Child, Children } from './children.js'
import { type ContentTotals, expectedTotals } from './datagrams.js'
import type { Opened, OutletName, Received, Side, Streamed } from './messages.js'
import { latencyEvery, lengthsOf, type Plan, packetLimit, type Row, WARM_UP_RATE } from './plan.js'

/** One run of one side, as counted by both ends. */
export interface Measured {
  side: Side
  row: Row
  recvBufferSize: number
  offered: number
  sent: number
  received: number
  /** By the kernel, for want of room in the receive buffer. */
  dropped: number
  /** sent - received - dropped: must be 0. */
  unaccounted: number
  /** What is wrong with the contents; empty when they add up. */
  mismatches: string[]
  /** Calls with packets; `undefined` where every packet is a call. */
  batches: number | undefined
  cpuNs: number
  wallNs: number
  heapBytes: number
  collections: number
  pausedNs: number
  longestPauseNs: number
  latenciesNs: Float64Array
  /** Wall-clock time of the sender, and how late it was at worst. */
  senderNs: number
  latestNs: number
}

const ANSWER_MS = 15_000
/** An end mark is lost when the receive buffer is full; then another is sent. */
const END_MS = 50
const END_TRIES = 200

/** What all runs of a demo share. */
export interface Setting {
  children: Children
  sender: Child
  outlet: OutletName
  plan: Plan
  epochNs: bigint
}

/** Runs `row` once on `side`: a fresh receiver, a warm-up, the stream, and the books. */
export async function measure(setting: Setting, side: Side, row: Row): Promise<Measured> {
  const { sender, plan } = setting
  return withReceiver(setting, side, row, async (receiver, { recvBufferSize }) => {
    await receiver.ask({ do: 'rest', ms: plan.restMs }, ANSWER_MS)
    const { streamed, marks } = await stream(sender, receiver, 1, row, row.rate, row.durationMs)
    const received = await receiver.ask<Received>({ do: 'finish', sent: streamed.sent + marks }, ANSWER_MS)
    return book(side, row, recvBufferSize, streamed, marks, received)
  })
}

/** Starts a receiver, warms it up, and ends it whatever happens. */
async function withReceiver<T>(
  { children, sender, plan, outlet, epochNs }: Setting,
  side: Side,
  row: Row,
  use: (receiver: Child, opened: Opened) => Promise<T>,
): Promise<T> {
  const receiver = children.start(`the ${side} receiver`, new URL('./receiver.js', import.meta.url))
  try {
    const opened = await receiver.ask<Opened>(
      {
        do: 'open',
        side,
        work: row.work,
        recvBufferSize: row.recvBufferSize,
        epochNs,
        maxPackets: packetLimit(row),
        latencyEvery: latencyEvery(row),
      },
      ANSWER_MS,
    )
    const through = row.burst > 1 ? 'UdpSocket' : outlet
    await sender.ask({ do: 'attach', port: opened.port, outlet: through, epochNs }, ANSWER_MS)
    await stream(sender, receiver, 0, row, WARM_UP_RATE, plan.warmUpMs)
    return await use(receiver, opened)
  } finally {
    await children.end(receiver)
  }
}

/** Streams one generation and repeats its end mark until the receiver has seen one. */
async function stream(
  sender: Child,
  receiver: Child,
  generation: number,
  row: Row,
  rate: number | undefined,
  durationMs: number,
): Promise<{ streamed: Streamed; marks: number }> {
  const ends = receiver.ends
  const streamed = await sender.ask<Streamed>(
    {
      do: 'stream',
      generation,
      rate,
      durationMs,
      maxPackets: packetLimit(row),
      burst: row.burst,
      lengths: lengthsOf(row),
    },
    ANSWER_MS + durationMs * 3,
  )
  let marks = 1
  while (!(await receiver.sawEnds(ends + 1, END_MS))) {
    if (marks === END_TRIES) throw new Error(`none of ${END_TRIES} end marks reached the receiver`)
    await sender.ask({ do: 'mark', generation }, ANSWER_MS)
    marks++
  }
  return { streamed, marks }
}

function book(
  side: Side,
  row: Row,
  recvBufferSize: number,
  streamed: Streamed,
  marks: number,
  received: Received,
): Measured {
  const lostMarks = marks - received.ends
  const packets = received.totals.packets
  const known = received.dropped !== undefined
  const dropped = (received.dropped ?? 0) - (known ? lostMarks : 0)
  const unaccounted = streamed.sent - packets - dropped
  return {
    side,
    row,
    recvBufferSize,
    offered: streamed.offered,
    sent: streamed.sent,
    received: packets,
    dropped,
    unaccounted,
    mismatches: mismatches(row, streamed, received),
    batches: received.batches,
    cpuNs: received.cpuNs,
    wallNs: received.wallNs,
    heapBytes: received.heap.allocatedBytes,
    collections: received.heap.collections,
    pausedNs: received.heap.pausedNs,
    longestPauseNs: received.heap.longestNs,
    latenciesNs: received.latenciesNs,
    senderNs: streamed.wallNs,
    latestNs: streamed.latestNs,
  }
}

/** Compares what the handler added up with what the sequence numbers it saw must contain, and with what was sent. */
function mismatches(row: Row, streamed: Streamed, received: Received): string[] {
  const found: string[] = []
  const same = (what: string, is: number, should: number): void => {
    if (is !== should) found.push(`${what}: ${is} instead of ${should}`)
  }
  const compare = (whose: string, is: ContentTotals, should: ContentTotals): void => {
    same(`packets ${whose}`, is.packets, should.packets)
    same(`bytes ${whose}`, is.bytes, should.bytes)
    if (row.work === 'count') return
    for (const key of ['lines', 'malformed', 'valueMilli', 'rateMilli', 'names'] as const) {
      same(`${key} ${whose}`, is.statsd[key], should.statsd[key])
    }
  }
  compare('by the sequence numbers seen', received.totals, expectedTotals(received.payloads, lengthsOf(row)))
  same('duplicates', received.duplicates, 0)
  same('strays', received.strays, 0)
  if (received.dropped !== undefined && received.droppedByProc !== undefined) {
    same("drops by the library's counter", received.dropped, received.droppedByProc)
  }
  if (received.totals.packets === streamed.sent) {
    compare('by the sender', received.totals, streamed.totals)
    same('sum of the sequence numbers', received.sequenceSum, streamed.sequenceSum)
  }
  return found
}
