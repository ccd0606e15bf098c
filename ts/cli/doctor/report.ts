import type { XdpCapability, XdpFinding, XdpProbe } from '../../xdp/types.js'
import type { ProcessFacts } from './process.js'

/** One thing that was found; without `about`, which its place in the report says. */
export type Found = Omit<XdpFinding, 'about'>

/** An interface, looked at. */
export type Looked =
  | XdpProbe
  | { readonly interface: string; readonly ready: false; readonly findings: readonly Found[] }

/** An interface that was not looked at, and why. */
export interface Skipped {
  readonly interface: string
  readonly why: string
}

/** The last line of `doctor --json`. */
export interface DoctorReport {
  /** Whether no finding is blocking: exit code 0. */
  readonly ready: boolean
  readonly process: ProcessFacts & Rights & { readonly findings: readonly Found[] }
  readonly udp: UdpLimits & { readonly findings: readonly Found[] }
  readonly interfaces: readonly Looked[]
  readonly skipped: readonly Skipped[]
}

/** What this process may do; nothing of it is known when no interface could be looked at. */
export interface Rights {
  readonly missingCapabilities?: readonly XdpCapability[]
  /** Left out where there is no limit. */
  readonly lockedMemoryBytes?: number
}

/** Bytes that a socket may ask for, as far as the kernel says: `net.core.*`. */
export interface UdpLimits {
  readonly recvBufferDefaultBytes?: number
  readonly recvBufferMaxBytes?: number
  readonly sendBufferMaxBytes?: number
}

export function isBlocking({ severity }: Found): boolean {
  return severity === 'blocking'
}
