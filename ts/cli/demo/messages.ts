import type { ContentTotals, Lengths } from './datagrams.js'
import type { SocketDrops } from './drops.js'
import type { HeapUse } from './heap.js'
import type { Tallied, Work } from './tally.js'
import type { LayWire } from './xdp/wire.js'

/** What the orchestrating process and its children say to each other; one request at a time, answered in order. */

export const SIDES = ['dgram', 'wraith'] as const
/** The same over a wire that AF_XDP can be attached to. */
export const WIRE_SIDES = [...SIDES, 'xdp'] as const
/** Who moves the packets: `node:dgram`, `UdpSocket` or `XdpSocket`. */
export type Side = (typeof WIRE_SIDES)[number]

export interface OpenReceiver {
  do: 'open'
  side: Side
  host: string
  /** 0: any. */
  port: number
  /** The interface that packets arrive at; for AF_XDP. */
  link: string | undefined
  work: Work
  /** Asked of the kernel; `undefined` leaves the machine's default. */
  recvBufferSize: number | undefined
  epochNs: bigint
  maxPackets: number
  latencyEvery: number
}

export interface Opened {
  port: number
  recvBufferSize: number
  /** What there is to be said about the socket. */
  about: string | undefined
}

/** Do nothing for a while: lets the warm-up's compiling and collecting end. */
interface Rest {
  do: 'rest'
  ms: number
}

/** The measurement is over: wait until all that was sent is received or dropped, then answer and stop. */
interface Finish {
  do: 'finish'
  /** Datagrams and end marks that were sent since the generation began. */
  sent: number
}

export interface Received extends Tallied {
  /** Datagrams and marks that the kernel dropped; `undefined` where nobody counts them. */
  drops: SocketDrops | undefined
  /** How many those are by another counter, in `/proc/net`, for comparison. */
  droppedByProc: number | undefined
  /** Calls with packets, marks included; `undefined` where every packet is a call. */
  batches: number | undefined
  cpuNs: number
  wallNs: number
  heap: HeapUse
}

type ReceiverRequest = OpenReceiver | Rest | Finish

/** Said unasked by a receiver when an end mark arrives. */
export interface EndSeen {
  event: 'end'
}

/** Which socket the sender sends with. */
export type OutletName = 'dgram' | 'UdpSocket'

interface Calibrate {
  do: 'calibrate'
  ms: number
}

/** Datagrams a second through each outlet. */
export interface Calibrated extends Record<OutletName, number> {
  /** In bursts that leave with one call; `undefined` where this system has no such call. */
  segments: number | undefined
}

export interface Attach {
  do: 'attach'
  /** The sender's own address. */
  from: string
  host: string
  port: number
  /** The interface that packets leave by, when what it drops is to be counted. */
  link: string | undefined
  outlet: OutletName
  epochNs: bigint
}

export interface Stream {
  do: 'stream'
  generation: number
  /** Datagrams a second, evenly spread; `undefined`: as fast as it goes. */
  rate: number | undefined
  durationMs: number
  maxPackets: number
  /** So many datagrams leave together, with one call where the system can. */
  burst: number
  lengths: Lengths
}

export interface Streamed {
  /** Datagrams that were due (or tried, at full rate). */
  offered: number
  sent: number
  /** What those that were sent add up to. */
  totals: ContentTotals
  sequenceSum: number
  wallNs: number
  /** CPU time of the sender. */
  cpuNs: number
  /** How late the latest packet left, against its schedule. */
  latestNs: number
  /** Of those that were sent, the ones that the interface dropped. */
  linkDropped: number
  /** The end mark that was sent behind them. */
  mark: Marked
}

export interface Marked {
  /** 1: the interface dropped the end mark. */
  linkDropped: number
}

/** Send one more end mark. */
interface MarkEnd {
  do: 'mark'
  generation: number
}

interface Detach {
  do: 'detach'
}

type SenderRequest = Calibrate | Attach | Stream | MarkEnd | Detach

/** The line where a forgotten guard was acquired. */
export interface ForgottenGuard {
  /** The library's report, as text. */
  report: string
  /** The frame of the report that lies in the demo. */
  frame: string
  /** That line of the program. */
  source: string
}

export type Request = ReceiverRequest | SenderRequest | LayWire | { do: 'forget' }

export interface Reply {
  value?: unknown
  error?: string
}
