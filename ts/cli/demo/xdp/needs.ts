import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'

/** What the demo over a veth pair depends on. */
export interface Surroundings {
  platform: string
  /** Whether `ip` is there, and is that of iproute2. */
  hasIp: boolean
  uid: number
  /** The effective capabilities as a set of bits; `undefined` where the system does not say. */
  capabilities: bigint | undefined
  /** What runs this command again. */
  command: string
}

/** Bits of linux/capability.h. */
const CAPABILITIES = {
  CAP_NET_ADMIN: 12n,
  CAP_NET_RAW: 13n,
  CAP_SYS_ADMIN: 21n,
  CAP_BPF: 39n,
} as const
const FOR_WHAT = 'CAP_SYS_ADMIN and CAP_NET_ADMIN for the namespaces, CAP_NET_RAW and CAP_BPF for AF_XDP'

/** What is missing, each with what to do about it; empty when the demo can run. */
export function missing({ platform, hasIp, uid, capabilities, command }: Surroundings): string[] {
  if (platform !== 'linux') {
    return [
      `AF_XDP and network namespaces exist on Linux only, and this is ${platform}. Without --xdp the demo runs over loopback.`,
    ]
  }
  const found: string[] = []
  if (!hasIp) {
    found.push('the program ip of iproute2 is missing. Run: apt-get install iproute2')
  }
  if (uid !== 0) {
    found.push(`it takes root (${FOR_WHAT}), and this is user ${uid}. Run: sudo ${command}`)
  } else {
    const lacking = lackingCapabilities(capabilities)
    if (lacking.length > 0) {
      found.push(
        `root lacks ${lacking.join(', ')} here (${FOR_WHAT}). Run it on the host, or in a container that was started with: ` +
          'docker run --privileged',
      )
    }
  }
  return found
}

/** CAP_SYS_ADMIN includes CAP_BPF. */
function lackingCapabilities(effective: bigint | undefined): string[] {
  if (effective === undefined) return []
  const has = (bit: bigint): boolean => ((effective >> bit) & 1n) === 1n
  return Object.entries(CAPABILITIES)
    .filter(([name, bit]) => !has(bit) && !(name === 'CAP_BPF' && has(CAPABILITIES.CAP_SYS_ADMIN)))
    .map(([name]) => name)
}

export function lookAround(): Surroundings {
  return {
    platform: process.platform,
    hasIp: hasIp(),
    uid: process.geteuid?.() ?? 0,
    capabilities: capabilitiesIn(status()),
    command: [process.execPath, ...process.argv.slice(1)].join(' '),
  }
}

/** The line `CapEff` of `/proc/self/status`. */
export function capabilitiesIn(text: string): bigint | undefined {
  const hex = /^CapEff:\s*([0-9a-f]+)$/m.exec(text)?.[1]
  return hex === undefined ? undefined : BigInt(`0x${hex}`)
}

function status(): string {
  try {
    return readFileSync('/proc/self/status', 'latin1')
  } catch {
    return ''
  }
}

/** Busybox has an `ip` too, which knows no namespaces. */
function hasIp(): boolean {
  try {
    return execFileSync('ip', ['-Version'], { encoding: 'utf8', stdio: 'pipe' }).includes('iproute2')
  } catch {
    return false
  }
}
