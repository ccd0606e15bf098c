import type { AbortSignalLike } from '../abort.js'
import type { BufferPool } from '../pool/buffer-pool.js'

/** Options of `UdpSocket.attach`: how this handle receives. */
export interface UdpAttachOptions {
  /** Closes the socket when it fires; `WRAITH_ERR_ABORTED` when it has fired before. */
  readonly signal?: AbortSignalLike
  /** The pool to receive into. Default: one of its own, which ends with the socket. */
  readonly pool?: BufferPool
  /** Bytes of each buffer of the socket's own pool. Default 2048. */
  readonly bufferSize?: number
  /** Buffers of the socket's own pool. Default 1024. */
  readonly capacity?: number
  /** Most packets of a batch, 1 to 1024. Default 64. */
  readonly batchSize?: number
  /**
   * A packet larger than a buffer: `'warn'` (default) hands it over flagged and warns once, `'keep'` hands it over flagged,
   * `'drop'` leaves it out. Each is counted.
   */
  readonly onTruncated?: 'warn' | 'keep' | 'drop'
  /** The system call that receives. Default: `'recvmmsg'` where there is one. */
  readonly backend?: 'recvmmsg' | 'recvmsg'
}

/** Options of `UdpSocket.bind`. The names are those of `node:dgram` where it has them. */
export interface UdpSocketOptions extends UdpAttachOptions {
  /** 0 (default) lets the kernel choose; `address().port` tells which. */
  readonly port?: number
  /** An address of this machine, or a host name. Default: every address of the family. */
  readonly address?: string
  /** Default: the family of `address`, else `'udp4'`. */
  readonly type?: 'udp4' | 'udp6'
  /** No IPv4 traffic on an IPv6 socket. */
  readonly ipv6Only?: boolean
  /** SO_REUSEADDR: several sockets may bind the port; the last one gets unicast packets. */
  readonly reuseAddr?: boolean
  /** SO_REUSEPORT: several sockets share the port, and the kernel spreads the senders over them. */
  readonly reusePort?: boolean
  /** SO_RCVBUF in bytes. What the kernel gave, and what lifts its limit, is in `info()`. */
  readonly recvBufferSize?: number
  /** SO_SNDBUF in bytes. */
  readonly sendBufferSize?: number
  /** Adopts this descriptor of a UDP socket instead of making one, and closes it in the end. */
  readonly fd?: number
  /** Ask the kernel when each packet arrived. Default false. */
  readonly timestamps?: boolean
}

/**
 * A socket's counters at one moment. They only grow, over the socket's life, and are exact up to 2^53. Those of a shared
 * socket go on over its handles.
 */
export interface UdpMetrics {
  /** Packets and bytes handed to the consumer. */
  readonly rxPackets: number
  readonly rxBytes: number
  readonly rxBatches: number
  /** Receive system calls; those that found nothing; batches that were full, so that more was waiting. */
  readonly rxCalls: number
  readonly rxEmptyCalls: number
  readonly rxFullBatches: number
  /** Packets that the kernel dropped because the receive buffer was full (or a checksum wrong): exact, at any moment. */
  readonly rxDroppedByKernel: number
  /** The same as it was when the first packet of the latest batch was queued. */
  readonly rxDroppedByKernelAtBatch: number
  /** Packets larger than a buffer, and how many of them `onTruncated: 'drop'` left out. */
  readonly rxTruncated: number
  readonly rxDroppedTruncated: number
  /**
   * Packets of batches that were out when their worker died: handed over at most once, and to nobody again. An upper
   * bound of what was lost with it, because its handler may have seen some of them.
   */
  readonly rxAbandoned: number
  /** Times that there was no slot to receive into: the pool is too small, or its guards are out too long. */
  readonly rxStarved: number
  /** Refusals that came back for packets that were sent (ICMP port unreachable and its like). */
  readonly icmpErrors: number
  readonly peerCacheMisses: number
  readonly txPackets: number
  readonly txBytes: number
  /** Sends that found the send buffer full. */
  readonly txWouldBlock: number
  readonly txErrors: number
  /** Slots given to this handle's `sendOwned` that wait for room. */
  readonly txQueued: number
  /** Slots that still waited when their handle was closed or its worker ended: never sent. */
  readonly txUnsent: number
  /** 0, unless there is a bug. */
  readonly ownershipFaults: number
}

/** A socket buffer's size in bytes. */
export interface SocketBufferInfo {
  /** What was asked for at bind. */
  readonly asked?: number
  /** What the kernel reports; Linux doubles what is asked, for its own bookkeeping. */
  readonly got: number
  /** When the kernel gave less: why, and the command that lifts the limit. */
  readonly note?: string
}

/** How a socket is set up. */
export interface UdpInfo {
  readonly backend: 'recvmmsg' | 'recvmsg'
  readonly batchSize: number
  readonly timestamps: boolean
  readonly recvBuffer: SocketBufferInfo
  readonly sendBuffer: SocketBufferInfo
}
