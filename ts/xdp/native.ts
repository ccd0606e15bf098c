import type { XdpCapability, XdpFinding } from './types.js'

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
