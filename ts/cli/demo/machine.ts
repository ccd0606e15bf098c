import { readFileSync } from 'node:fs'
import os from 'node:os'

/** Where the numbers come from. */
export interface Machine {
  cpu: string
  cores: number
  kernel: string
  node: string
  v8: string
  uv: string
  library: string
  /** Load average of the last minute before the demo began. */
  load: number
  /** `net.core.rmem_default` and `rmem_max`, bytes; `undefined` where the system has no such thing. */
  rmemDefault: number | undefined
  rmemMax: number | undefined
}

export function describeMachine(): Machine {
  return {
    cpu: os.cpus()[0]?.model.trim() || os.arch(),
    cores: os.availableParallelism(),
    kernel: `${os.type()} ${os.release()}`,
    node: process.versions.node,
    v8: process.versions.v8,
    uv: process.versions.uv,
    library: libraryVersion(),
    load: os.loadavg()[0] ?? 0,
    rmemDefault: sysctl('rmem_default'),
    rmemMax: sysctl('rmem_max'),
  }
}

/** The version in this package's `package.json`. */
export function libraryVersion(): string {
  const text = readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { version: string }).version
}

/** The most that is asked of the kernel for the row with a large buffer. */
const LARGE_BUFFER = 4 * 1024 * 1024

/** A receive buffer that this machine grants without privileges and that is larger than its default, if there is one. */
export function largeBuffer({ rmemDefault, rmemMax }: Machine): number | undefined {
  if (rmemDefault === undefined || rmemMax === undefined || rmemMax <= rmemDefault) return undefined
  return Math.min(rmemMax, LARGE_BUFFER)
}

function sysctl(name: string): number | undefined {
  try {
    const value = Number(readFileSync(`/proc/sys/net/core/${name}`, 'latin1'))
    return Number.isSafeInteger(value) ? value : undefined
  } catch {
    return undefined
  }
}
