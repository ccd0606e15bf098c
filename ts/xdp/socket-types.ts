import type { AbortSignalLike } from '../abort.js'
import type { XdpSocket } from './socket.js'
import type { XdpFilter } from './types.js'

/** How this handle sees frames. */
export interface XdpAttachOptions {
  /** Closes the socket when it fires; `WRAITH_ERR_ABORTED` when it has fired before. */
  readonly signal?: AbortSignalLike
  /**
   * `'zero-copy'`: `bytes(i)` is the very memory that the kernel wrote, and is empty when the batch ends; Node.js 22 and later, where it
   * is the default. `'copied'`: each batch is copied to memory of JavaScript's first.
   */
  readonly views?: 'zero-copy' | 'copied'
}

/** Busy polling: the receiving thread drives the card itself. */
export interface XdpBusyPoll {
  /** Microseconds that a poll spins for a packet (SO_BUSY_POLL). */
  readonly usecs: number
  /** Packets a poll takes at most (SO_BUSY_POLL_BUDGET), 1 to 65535. Default 64. */
  readonly budget?: number
}

/** Options of `XdpSocket.openQueues`. */
export interface XdpQueuesOptions {
  /** Which frames come to the socket. There is no default: they never reach the kernel. */
  readonly filter: XdpFilter
  /** The receive queues to bind. Default: all. Frames that arrive at another one go to the kernel. */
  readonly queues?: readonly number[]
  /**
   * `'auto'` (default): zero-copy if the driver has it, else a copy in the kernel, else the program runs in the stack. Each of the other
   * words demands one of them: `'zerocopy'`, `'copy'`, `'generic'`.
   */
  readonly mode?: 'auto' | 'zerocopy' | 'copy' | 'generic'
  /** Bytes of frames over all queues. Default 256 MiB. */
  readonly memoryBudget?: number
  /** Frames of each queue. Default: its share of the budget, at most 32768. */
  readonly frames?: number
  /** Bytes of a frame, of which the kernel keeps 256: 2048 (default) or 4096. */
  readonly frameSize?: 2048 | 4096
  /** Bytes left free before each received frame. Default 0. */
  readonly headroom?: number
  /** Frames of each queue that are kept for sending and for `take(i)`. Default: an eighth, at most 2048. */
  readonly txFrames?: number
  /** Entries of each RX ring, a power of two. Default: as many as there are frames. */
  readonly rxRing?: number
  /** Entries of each TX ring, a power of two; 0: only receives. Default 2048. */
  readonly txRing?: number
  /** Most frames of a batch, 1 to 1024. Default: 256, or a quarter of what a queue receives into if that is less. */
  readonly batchSize?: number
  /** Default: off. */
  readonly busyPoll?: XdpBusyPoll
  /** Receive what is addressed to others as well, for as long as it is open. Default false. */
  readonly promiscuous?: boolean
  /** Ask for huge pages. Default false. */
  readonly hugePages?: boolean
  /** Milliseconds after which a ticket of the UMEM's pool that nobody adopted is taken back; 0: never. Default 30000. */
  readonly ticketTimeout?: number
  /** `WRAITH_ERR_ABORTED` when it has fired before the interface is open. `open`: closes the socket when it fires. */
  readonly signal?: AbortSignalLike
}

/** Options of `XdpSocket.open`. */
export interface XdpSocketOptions extends XdpQueuesOptions, XdpAttachOptions {
  /**
   * Another socket of this thread whose UMEM is used: frames that came through one interface are sent through the other without a copy.
   * The frames are taken from what is free in it, so open that one with `txFrames` for both.
   */
  readonly umem?: XdpSocket
}

/** What was asked for and what it came to. `String(info)` is one line. */
export interface XdpInfo {
  readonly interface: string
  readonly ifindex: number
  readonly driver?: string
  readonly mtuBytes: number
  /** The queues of this socket. */
  readonly queues: readonly number[]
  /** How many queues the interface has. */
  readonly interfaceQueues: number
  /** Whether the driver uses the UMEM without copying. */
  readonly zeroCopy: boolean
  /** How the program is attached. */
  readonly attach: 'native' | 'generic' | 'no program'
  /** Why it is attached generically though that was not asked for. */
  readonly whyGeneric?: string
  /** The program's number, as bpftool shows it. */
  readonly programId?: number
  readonly framesPerQueue: number
  /** Of those, the ones that the kernel gets to receive into. */
  readonly fillFramesPerQueue: number
  readonly frameSize: number
  readonly headroom: number
  readonly rxRing: number
  readonly txRing: number
  readonly fillRing: number
  readonly completionRing: number
  /** The UMEM's memory. */
  readonly memoryBytes: number
  /** The filter, for people. */
  readonly filter: string
  /** How JavaScript sees frames. */
  readonly views: 'zero-copy' | 'copied'
  toString(): string
}
