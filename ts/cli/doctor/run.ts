import { Screen } from '../demo/screen.js'
import { lookAtInterfaces } from './interfaces.js'
import { lookAtProcess } from './process.js'
import { type DoctorReport, type Found, isBlocking, type Looked, type Rights } from './report.js'
import { print } from './text.js'
import { lookAtUdp } from './udp.js'

export interface DoctorOptions {
  /** The interface to look at; all that are up when none is named. */
  readonly interface?: string
  /** The report as one line of JSON on standard output, everything else on standard error. */
  readonly json: boolean
}

/** Looks at everything, says what it found, changes nothing, and returns the exit code: 0, or 1 when something is in the way. */
export function runDoctor(options: DoctorOptions): number {
  const report = examine(options.interface)
  print(report, new Screen(options.json ? process.stderr : process.stdout, 0))
  if (options.json) process.stdout.write(`${JSON.stringify(report)}\n`)
  return report.ready ? 0 : 1
}

function examine(asked: string | undefined): DoctorReport {
  const { facts, findings } = lookAtProcess()
  const { limits, findings: aboutUdp } = lookAtUdp()
  const interfaces: Looked[] = []
  const skipped: { interface: string; why: string }[] = []
  if (process.platform !== 'linux') {
    findings.push({
      severity: 'blocking',
      what: `AF_XDP exists on Linux only, and this is ${process.platform}`,
      remedy: 'Use UdpSocket here, or run on Linux 5.9 or newer.',
    })
  } else if (facts.addon === 'loaded') {
    const all = lookAtInterfaces(asked)
    interfaces.push(...all.looked)
    skipped.push(...all.skipped)
    if (interfaces.length === 0) {
      findings.push({
        severity: 'blocking',
        what: 'No interface is up but loopback',
        remedy: 'Bring one up: `ip link set dev <name> up`.',
      })
    }
  }
  const [common, looked] = apart(interfaces)
  findings.push(...common)
  const ready = !findings.some(isBlocking) && looked.every((each) => each.ready)
  return {
    ready,
    process: { ...facts, ...rightsOf(looked), findings },
    udp: { ...limits, findings: aboutUdp },
    interfaces: looked,
    skipped,
  }
}

/** The same for all interfaces. */
function rightsOf(looked: readonly Looked[]): Rights {
  const [first] = looked.filter((each) => 'missingCapabilities' in each)
  if (first === undefined) return {}
  const { missingCapabilities, lockedMemoryBytes } = first
  return { missingCapabilities, ...(lockedMemoryBytes === undefined ? {} : { lockedMemoryBytes }) }
}

/** What is wrong with the process is said once and not with each interface. */
function apart(interfaces: readonly Looked[]): [Found[], Looked[]] {
  const common = new Map<string, Found>()
  const looked = interfaces.map((each) => {
    const own = each.findings.filter((finding) => {
      if (!('about' in finding) || finding.about !== 'process') return true
      const { about: _, ...found } = finding
      common.set(found.what, found)
      return false
    })
    return { ...each, findings: own } as Looked
  })
  return [[...common.values()], looked]
}
