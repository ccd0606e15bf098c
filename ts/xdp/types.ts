/** Ports of one protocol: a packet matches if its destination is in `dst` or its source in `src`. */
export interface XdpPorts {
  readonly dst?: readonly number[]
  readonly src?: readonly number[]
}

/**
 * Addresses, as prefixes (`'10.0.0.0/8'`, `'2001:db8::/32'`) or single ones: a packet matches if its source is in one of `src` and its
 * destination in one of `dst`. A list that is left out matches every address. At most 64 prefixes a list.
 */
export interface XdpAddresses {
  readonly src?: readonly string[]
  readonly dst?: readonly string[]
}

/**
 * A set of frames: those whose EtherType is listed, and the IP packets that match the ports, of their protocol, and the addresses.
 * What is left out matches every packet, if the other is there.
 *
 * Port and address rules see untagged IPv4 without options and IPv6 without extension headers. Fragments, packets with options or
 * extension headers, and packets in VLANs stay with the kernel.
 */
export interface XdpMatch {
  /** UDP ports; an array is of destinations. */
  readonly udpPorts?: readonly number[] | XdpPorts
  /** TCP ports; an array is of destinations. */
  readonly tcpPorts?: readonly number[] | XdpPorts
  readonly addresses?: XdpAddresses
  /** From 0x0600 on. 0x0800 is all of IPv4, 0x86dd all of IPv6, 0x8100 every frame with a VLAN tag. */
  readonly etherTypes?: readonly number[]
}

/** Which frames go to the socket, and what of them stays with the kernel all the same. */
export interface XdpFilterRules extends XdpMatch {
  /** Every frame, as `'all'`, where there is more to be said. */
  readonly all?: true
  /** What stays with the kernel though selected. */
  readonly except?: XdpMatch
  /**
   * Keep for the kernel what a machine needs to stay reachable, also under `'all'`: ARP, LLDP, LACP, ICMPv6, DHCP (UDP to 67, 68, 546,
   * 547), DNS replies (from port 53), TCP and UDP port 22, and the port in `SSH_CONNECTION`. On by default.
   */
  readonly keepManagement?: boolean
}

/**
 * Which frames of an interface go to its AF_XDP sockets; all others go on to the kernel. There is no default: it must be said.
 * `'all'` is every frame but what a machine needs to stay reachable. `'none'` is for sending only: no program is attached.
 */
export type XdpFilter = 'all' | 'none' | XdpFilterRules

/** Where a filter sends a frame. */
export type XdpVerdict = 'socket' | 'kernel'

/** A right that AF_XDP asks for. */
export type XdpCapability = 'CAP_NET_ADMIN' | 'CAP_NET_RAW' | 'CAP_BPF'

/** One thing that was found. */
export interface XdpFinding {
  /** `'process'`: its rights and limits, and what its kernel allows. */
  readonly about: 'process' | 'interface'
  /** `'blocking'`: opening fails. `'warning'`: it works, but not as well as it could, or packets may be missed. */
  readonly severity: 'note' | 'warning' | 'blocking'
  /** What it is, in words. */
  readonly what: string
  /** What to do about it: most often a command. */
  readonly remedy: string
}

/** An interface, the kernel and this process's rights, as AF_XDP sees them. `String(probe)` is a text for people. */
export interface XdpProbe {
  readonly interface: string
  /** Whether nothing is in the way of opening it with the defaults: no finding is blocking. */
  readonly ready: boolean
  /** The kernel's release. */
  readonly kernel: string
  /** The interface's driver, if it says. */
  readonly driver?: string
  readonly up: boolean
  readonly mtuBytes: number
  /** Queues that it has. */
  readonly queues: number
  /** Queues that it could have (`ethtool -L`). */
  readonly maxQueues: number
  /** Whether the driver redirects natively. Kernels before 6.3 do not say. */
  readonly nativeMode?: boolean
  /** Whether the driver has zero-copy. Kernels before 6.3 do not say. */
  readonly zeroCopy?: boolean
  /** The number of the XDP program that is attached. */
  readonly programId?: number
  /** Rights that the calling thread lacks. */
  readonly missingCapabilities: readonly XdpCapability[]
  /** `RLIMIT_MEMLOCK`; left out where there is no limit, or `CAP_IPC_LOCK` lifts it. */
  readonly lockedMemoryBytes?: number
  /** Everything that was found, the worst first. */
  readonly findings: readonly XdpFinding[]
  toString(): string
}

/** Frames that a queue should have received and did not, for one reason, each counted once. */
export interface XdpDrops {
  /**
   * `'fillRingEmpty'`: the kernel had no frame to receive into. `'rxRingFull'`: nobody received for too long. `'tooLong'`: the packet does
   * not fit a frame.
   */
  readonly reason: 'fillRingEmpty' | 'rxRingFull' | 'tooLong'
  readonly frames: number
  /** What to do about it. */
  readonly remedy: string
}

/** What a queue, or all of them, counted since they were opened. Exact up to 2^53; `rx…` counters are those of batches that were handed over. */
export interface XdpCounters {
  readonly rxPackets: number
  readonly rxBytes: number
  readonly rxBatches: number
  /** Frames of batches that ended with the thread that had them; they are among `rxPackets`. */
  readonly rxAbandoned: number
  /** Looks at the RX ring that found nothing. */
  readonly rxEmptyPolls: number
  /** Looks that found no frame with the kernel, and none in the pool to give it. */
  readonly rxStarved: number
  /** System calls that told the kernel of free frames, or had it poll. */
  readonly rxKicks: number
  /** Frames dropped between the program and the RX ring, for any reason. */
  readonly rxDropped: number
  /** The same by reason; only those that occurred. */
  readonly drops: readonly XdpDrops[]
  readonly rxInvalidDescriptors: number
  /** Descriptors of the kernel's that cannot be right; 0 unless there is a bug. */
  readonly badDescriptors: number
  /** Slots that somebody else had taken; 0 unless there is a bug. */
  readonly ownershipFaults: number
  /** Frames handed to the kernel to send, and their bytes. */
  readonly txPackets: number
  readonly txBytes: number
  /** Frames that it has given back since: sent, or given up. */
  readonly txCompletions: number
  /** System calls that told the kernel of frames to send. */
  readonly txKicks: number
  /** Sends that found no room. */
  readonly txWouldBlock: number
  readonly txInvalidDescriptors: number
}

/** The counters of one queue. */
export interface XdpQueueMetrics extends XdpCounters {
  readonly queue: number
}

/** The counters of a socket: the sums, and each queue's. */
export interface XdpMetrics extends XdpCounters {
  /** Frames for each look at an RX ring, those that found nothing included; 0 before the first. */
  readonly packetsPerPoll: number
  readonly queues: readonly XdpQueueMetrics[]
}
