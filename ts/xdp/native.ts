import type { NativeDispatch, NativeSource } from '../native.js'
import type { XdpCapability, XdpFinding, XdpQueueMetrics } from './types.js'

/** A set of frames as the addon takes it; an empty list says nothing. */
export interface NativeXdpMatch {
  readonly udpDst: readonly number[]
  readonly udpSrc: readonly number[]
  readonly tcpDst: readonly number[]
  readonly tcpSrc: readonly number[]
  readonly addressesDst: readonly string[]
  readonly addressesSrc: readonly string[]
  readonly etherTypes: readonly number[]
}

/** A filter as the addon takes it. */
export interface NativeXdpFilter {
  readonly select: 'all' | 'none' | 'matching'
  /** For `'matching'`. */
  readonly rules: NativeXdpMatch
  readonly except: NativeXdpMatch
  readonly keepManagement: boolean
}

/** A filter's program, loaded. */
export interface NativeXdpFilterTest {
  /** Whether the socket gets the frame, and not the kernel. */
  takes(frame: Uint8Array): boolean
}

/** A look at an interface. */
export interface NativeXdpProbe {
  readonly interface: string
  readonly ready: boolean
  readonly kernel: string
  readonly driver?: string
  readonly up: boolean
  readonly mtuBytes: number
  readonly queues: number
  readonly maxQueues: number
  readonly nativeMode?: boolean
  readonly zeroCopy?: boolean
  readonly programId?: number
  readonly missingCapabilities: XdpCapability[]
  readonly lockedMemoryBytes?: number
  readonly findings: XdpFinding[]
  readonly text: string
}

/** What `openXdp` takes. */
export interface NativeXdpOptions {
  readonly interface: string
  readonly filter: NativeXdpFilter
  readonly queues?: readonly number[]
  readonly mode: 'auto' | 'zerocopy' | 'copy' | 'generic'
  readonly memoryBudget: number
  readonly frames?: number
  readonly frameSize: number
  readonly headroom: number
  readonly txFrames?: number
  readonly rxRing?: number
  readonly txRing?: number
  readonly batchSize?: number
  readonly busyPollUsecs?: number
  readonly busyPollBudget?: number
  readonly promiscuous: boolean
  readonly hugePages: boolean
  /** A UMEM and a reader for each queue. */
  readonly split: boolean
  /** The number of a binding of this thread whose UMEM is used. */
  readonly umemOf?: number
  readonly ticketTimeout: number
}

/** Queues that are open and that nobody uses yet; closed when they are forgotten. */
export interface NativeXdpReady {
  /** What the tokens of the UMEM's pool name. */
  readonly pool: string
  /** `attachment`: the number of this thread's attachment to that pool. `gone` is called when the sockets are closed. */
  start(attachment: number, dispatch: NativeDispatch, gone: () => void): NativeXdp
  /** The id to attach with; nobody has the lease. */
  share(): string
  discard(): void
}

/** Queues in use. */
export interface NativeXdp extends NativeSource {
  /** What names it in this thread. */
  readonly number: number
  /** Rows of each column. */
  readonly rows: number
  /** 32-bit columns, one behind the other: offsets, lengths, queues. */
  readonly publicBlock: ArrayBuffer
  /** The same: slots, offsets, lengths. */
  readonly privateBlock: ArrayBuffer
  /** A window of the UMEM, until the batch ends, or a row is taken or sent, or `copyOut`. */
  memory(window: number): ArrayBuffer
  /** Copies the frames of the batch, each into a slot of its own. */
  copyOut(memory: ArrayBuffer): void
  /** Its slot, with the frame at the front. `copies`: what `copyOut` filled. */
  take(row: number, copies: ArrayBuffer | undefined): number
  /** Pairs of slot and length; how many were accepted, plus 65536 for each up to and with one whose memory was moved. */
  sendSlots(queue: number, pairs: Uint32Array, count: number): number
  /** How many were accepted; -1: the target has another UMEM. */
  sendRows(
    target: number,
    queue: number,
    rows: Uint32Array,
    count: number,
    copies: ArrayBuffer | undefined,
  ): number
  /** How many frames the kernel still has to send. */
  flush(): number
  /** @throws what the kernel has to say of the interface */
  check(): void
  setFilter(filter: NativeXdpFilter): void
  info(): NativeXdpInfo
  metrics(): NativeXdpQueueMetrics[]
}

/** What was got of what was asked. */
export interface NativeXdpInfo {
  readonly interface: string
  readonly ifindex: number
  readonly driver?: string
  readonly mtuBytes: number
  readonly queues: number[]
  readonly interfaceQueues: number
  readonly zeroCopy: boolean
  readonly attach: 'native' | 'generic' | 'no program'
  readonly whyGeneric?: string
  readonly programId?: number
  readonly framesPerQueue: number
  readonly fillFramesPerQueue: number
  readonly frameSize: number
  readonly headroom: number
  readonly rxRing: number
  readonly txRing: number
  readonly fillRing: number
  readonly completionRing: number
  readonly memoryBytes: number
  readonly filter: string
  readonly text: string
}

/** The counters of one queue. */
export type NativeXdpQueueMetrics = XdpQueueMetrics
