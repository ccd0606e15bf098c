import { readFileSync } from 'node:fs'
import type { Found, UdpLimits } from './report.js'

/** As much as a busy receiver or sender asks for. */
const LARGE_BYTES = 4 * 1024 * 1024

/** What a socket gets when it asks for a large buffer. Never in the way: a socket with a small one drops more. */
export function lookAtUdp(read: (name: string) => number | undefined = sysctl): {
  limits: UdpLimits
  findings: Found[]
} {
  const [recvDefault, recvMax, sendMax] = ['rmem_default', 'rmem_max', 'wmem_max'].map(read)
  const findings: Found[] = []
  for (const [name, option, most, effect] of [
    ['rmem_max', 'recvBufferSize', recvMax, 'bursts that do not fit are dropped'],
    ['wmem_max', 'sendBufferSize', sendMax, "send() returns false and waits for 'drain' sooner"],
  ] as const) {
    if (most === undefined || most >= LARGE_BYTES) continue
    findings.push({
      severity: 'note',
      what: `UdpSocket gets a ${option} of ${kibibytes(most)} at most (net.core.${name}): ${effect}`,
      remedy: `\`sysctl -w net.core.${name}=${LARGE_BYTES}\` allows 4 MiB.`,
    })
  }
  const limits = {
    ...(recvDefault === undefined ? {} : { recvBufferDefaultBytes: recvDefault }),
    ...(recvMax === undefined ? {} : { recvBufferMaxBytes: recvMax }),
    ...(sendMax === undefined ? {} : { sendBufferMaxBytes: sendMax }),
  }
  return { limits, findings }
}

export function kibibytes(bytes: number): string {
  return `${Math.floor(bytes / 1024)} KiB`
}

function sysctl(name: string): number | undefined {
  try {
    const value = Number(readFileSync(`/proc/sys/net/core/${name}`, 'latin1'))
    return Number.isSafeInteger(value) ? value : undefined
  } catch {
    return undefined
  }
}
