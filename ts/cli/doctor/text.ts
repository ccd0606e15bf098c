import type { Screen } from '../demo/screen.js'
import { outlook } from './interfaces.js'
import { type DoctorReport, type Found, isBlocking, type Looked } from './report.js'
import { kibibytes } from './udp.js'

const WIDTH = 79

/** The report for people. */
export function print(report: DoctorReport, screen: Screen): void {
  screen.line(screen.bold('This process'))
  const { library, node, platform, kernel, addon, findings } = report.process
  indented(screen, `wraith-transport ${library}, Node.js ${node}, ${platform}, ${kernel}, addon ${addon}`)
  const rights = rightsLine(report)
  if (rights !== undefined) indented(screen, rights)
  printFindings(screen, findings)
  screen.line()
  screen.line(screen.bold('UDP'))
  indented(screen, udpLine(report))
  printFindings(screen, report.udp.findings)
  for (const looked of report.interfaces) {
    screen.line()
    const verdict = looked.ready ? 'ready for AF_XDP' : screen.red('NOT ready for AF_XDP')
    screen.line(`${screen.bold(looked.interface)}: ${verdict}`)
    for (const line of factsOf(looked)) indented(screen, line)
    printFindings(screen, looked.findings)
  }
  if (report.skipped.length > 0) {
    screen.line()
    screen.line(screen.bold('Not looked at'))
    for (const { interface: name, why } of report.skipped) indented(screen, `${name}: ${why}`)
  }
  screen.line()
  for (const line of wrap(ending(report), '')) screen.line(line)
}

function rightsLine({
  process: { missingCapabilities, lockedMemoryBytes },
}: DoctorReport): string | undefined {
  if (missingCapabilities === undefined) return undefined
  const rights = missingCapabilities.length === 0 ? 'all that AF_XDP needs' : 'not all that AF_XDP needs'
  const memory = lockedMemoryBytes === undefined ? 'no limit' : kibibytes(lockedMemoryBytes)
  return `Rights: ${rights}; memory that may be locked: ${memory}.`
}

function udpLine({ udp: { recvBufferDefaultBytes: own, recvBufferMaxBytes: most } }: DoctorReport): string {
  if (own === undefined || most === undefined) return 'This system does not say its limits here.'
  return `Receive buffers are ${kibibytes(own)} unless more is asked for, ${kibibytes(most)} at most.`
}

function factsOf(looked: Looked): string[] {
  if (!('queues' in looked)) return []
  const { driver = 'unknown', queues, maxQueues, mtuBytes } = looked
  return [`Driver ${driver}, ${queues} of ${maxQueues} queues, MTU ${mtuBytes}.`, outlook(looked)]
}

function printFindings(screen: Screen, findings: readonly Found[]): void {
  for (const { severity, what, remedy } of findings) {
    const [first = '', ...rest] = wrap(
      `${severity}: ${what.replace(/\.$/, '')}. ${remedy}`.trimEnd(),
      '    ',
      '  ',
    )
    screen.line(severity === 'blocking' ? first.replace(severity, screen.red(severity)) : first)
    for (const line of rest) screen.line(line)
  }
}

function indented(screen: Screen, text: string): void {
  for (const line of wrap(text, '  ', '  ')) screen.line(line)
}

function ending({
  ready,
  process: { findings, missingCapabilities: rightsAreKnown },
  interfaces,
}: DoctorReport): string {
  if (ready) return 'Nothing is in the way.'
  const here = findings.filter(isBlocking).length
  const all = interfaces.reduce((sum, each) => sum + each.findings.filter(isBlocking).length, here)
  const things = all === 1 ? 'One thing is' : `${all} things are`
  const more = rightsAreKnown !== undefined && here > 0 ? ' More on rights: docs/xdp-rights.md.' : ''
  return `${things} in the way, marked blocking.${more}`
}

/** Breaks at blanks, but not inside of `commands`, which are there to be copied. */
export function wrap(text: string, indent: string, first = indent): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.match(/(?:`[^`]*`|\S)+/g) ?? []) {
    if (line.trim() !== '' && line.length + 1 + word.length > WIDTH) {
      lines.push(line)
      line = indent + word
    } else line = line === '' ? first + word : `${line} ${word}`
  }
  if (line !== '') lines.push(line)
  return lines
}
