import type { Child, Children } from './children.js'
import { type ContentTotals, expectedTotals } from './datagrams.js'
import { type Drops, dropsOf, totalOf } from './drops.js'
import type { Marked, Opened, OutletName, Received, Side, Streamed } from './messages.js'
import { latencyEvery, lengthsOf, type Plan, packetLimit, type Row, WARM_UP_RATE } from './plan.js'
import type { Site } from './site.js'

/** One run of one side, as counted by both ends. */
export interface Measured {
  side: Side
  row: Row
  recvBufferSize: number
  offered: number
  sent: number
  received: number
  /** By the kernel, for whatever reason. */
  dropped: number
  drops: Drops
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
  /** Wall-clock and CPU time of the sender, and how late it was at worst. */
  senderNs: number
  senderCpuNs: number
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
  site: Site
}

/** Runs `row` once on `side`: a fresh receiver, a warm-up, the stream, and the books. */
export async function measure(setting: Setting, side: Side, row: Row): Promise<Measured> {
  const { sender, plan } = setting
  return withReceiver(setting, side, row, async (receiver, { recvBufferSize }) => {
    await receiver.ask({ do: 'rest', ms: plan.restMs }, ANSWER_MS)
    const sent = await stream(sender, receiver, 1, row, row.rate, row.durationMs)
    const arrived = sent.streamed.sent - sent.streamed.linkDropped + sent.marks - sent.marksLost
    const received = await receiver.ask<Received>({ do: 'finish', sent: arrived }, ANSWER_MS)
    return book(side, row, recvBufferSize, sent, received)
  })
}

/** Opens what a side receives with, and lets go of it again. */
export function tryOut(setting: Setting, side: Side, row: Row): Promise<Opened> {
  return withReceiver(setting, side, row, (_, opened) => Promise.resolve(opened))
}

/** Starts a receiver, warms it up, and ends it whatever happens. */
async function withReceiver<T>(
  { children, sender, plan, outlet, epochNs, site }: Setting,
  side: Side,
  row: Row,
  use: (receiver: Child, opened: Opened) => Promise<T>,
): Promise<T> {
  const { host, port, from, links, through } = site
  const receiver = children.start(`the ${side} receiver`, new URL('./receiver.js', import.meta.url), {
    through: through.receiver,
  })
  try {
    const opened = await receiver.ask<Opened>(
      {
        do: 'open',
        side,
        host,
        port,
        link: links?.receiver,
        work: row.work,
        recvBufferSize: row.recvBufferSize,
        epochNs,
        maxPackets: packetLimit(row),
        latencyEvery: latencyEvery(row),
      },
      ANSWER_MS,
    )
    const to = { from, host, port: opened.port, link: links?.sender }
    await sender.ask(
      { do: 'attach', ...to, outlet: row.burst > 1 ? 'UdpSocket' : outlet, epochNs },
      ANSWER_MS,
    )
    await stream(sender, receiver, 0, row, WARM_UP_RATE, plan.warmUpMs)
    return await use(receiver, opened)
  } finally {
    await children.end(receiver)
  }
}

interface Sent {
  streamed: Streamed
  /** End marks, and those of them that the interface dropped. */
  marks: number
  marksLost: number
}

/** Streams one generation and repeats its end mark until the receiver has seen one. */
async function stream(
  sender: Child,
  receiver: Child,
  generation: number,
  row: Row,
  rate: number | undefined,
  durationMs: number,
): Promise<Sent> {
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
  let marksLost = streamed.mark.linkDropped
  while (!(await receiver.sawEnds(ends + 1, END_MS))) {
    if (marks === END_TRIES) throw new Error(`none of ${END_TRIES} end marks reached the receiver`)
    const mark = await sender.ask<Marked>({ do: 'mark', generation }, ANSWER_MS)
    marks++
    marksLost += mark.linkDropped
  }
  return { streamed, marks, marksLost }
}

function book(
  side: Side,
  row: Row,
  recvBufferSize: number,
  { streamed, marks, marksLost }: Sent,
  received: Received,
): Measured {
  const packets = received.totals.packets
  const known = received.drops !== undefined
  const marksDropped = known ? marks - marksLost - received.ends : 0
  const drops = dropsOf(received.drops ?? {}, marksDropped, streamed.linkDropped)
  const dropped = totalOf(drops)
  const unaccounted = streamed.sent - packets - dropped
  // The counter that those of AF_XDP are compared with, the interface's, has what it dropped for want of room, or for its MTU, too or not.
  const maybe = side === 'xdp' ? streamed.linkDropped + marksLost : 0
  return {
    side,
    row,
    recvBufferSize,
    offered: streamed.offered,
    sent: streamed.sent,
    received: packets,
    dropped,
    drops,
    unaccounted,
    mismatches: mismatches(row, streamed, received, maybe),
    batches: received.batches,
    cpuNs: received.cpuNs,
    wallNs: received.wallNs,
    heapBytes: received.heap.allocatedBytes,
    collections: received.heap.collections,
    pausedNs: received.heap.pausedNs,
    longestPauseNs: received.heap.longestNs,
    latenciesNs: received.latenciesNs,
    senderNs: streamed.wallNs,
    senderCpuNs: streamed.cpuNs,
    latestNs: streamed.latestNs,
  }
}

/** Compares what the handler added up with what the sequence numbers it saw must contain, and with what was sent. */
function mismatches(row: Row, streamed: Streamed, received: Received, maybe: number): string[] {
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
  if (received.drops !== undefined && received.droppedByProc !== undefined) {
    const dropped = totalOf(received.drops)
    const beyond = Math.min(maybe, Math.max(0, received.droppedByProc - dropped))
    same("drops by the library's counter", dropped, received.droppedByProc - beyond)
  }
  if (received.totals.packets === streamed.sent) {
    compare('by the sender', received.totals, streamed.totals)
    same('sum of the sequence numbers', received.sequenceSum, streamed.sequenceSum)
  }
  return found
}
