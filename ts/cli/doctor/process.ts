import { readFileSync } from 'node:fs'
import os from 'node:os'
import { native } from '../../native.js'
import { libraryVersion } from '../demo/machine.js'
import type { Found } from './report.js'

/** Where and as what this runs. */
export interface ProcessFacts {
  readonly library: string
  readonly node: string
  readonly platform: string
  readonly kernel: string
  readonly addon: 'loaded' | 'missing'
}

/** What this process is, and what of it is in the way of everything. */
export function lookAtProcess(): { facts: ProcessFacts; findings: Found[] } {
  const findings: Found[] = []
  const { node } = process.versions
  const engines = supportedNode()
  if (!isSupported(node, engines)) {
    findings.push({
      severity: 'warning',
      what: `Node.js ${node} is not among what this package is tested on: ${engines}`,
      remedy: 'Use one of those.',
    })
  }
  let addon: ProcessFacts['addon'] = 'loaded'
  try {
    native()
  } catch (error) {
    addon = 'missing'
    findings.push({ severity: 'blocking', ...halves(error instanceof Error ? error.message : String(error)) })
  }
  const facts = {
    library: libraryVersion(),
    node,
    platform: `${process.platform} ${process.arch}`,
    kernel: `${os.type()} ${os.release()}`,
    addon,
  }
  return { facts, findings }
}

/** A message's last sentence is what to do. */
export function halves(message: string): { what: string; remedy: string } {
  const at = message.search(/\. [A-Z](?!.*\. [A-Z])/)
  return at === -1
    ? { what: message, remedy: '' }
    : { what: message.slice(0, at), remedy: message.slice(at + 2) }
}

function supportedNode(): string {
  const text = readFileSync(new URL('../../../../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { engines: { node: string } }).engines.node
}

/** Whether a version is in a range of the two forms that `engines` has here: `^20.19.0` and `>=24.0.0`. */
export function isSupported(version: string, engines: string): boolean {
  const numbers = (text: string): number[] => text.split('.').map(Number)
  const [major = 0, minor = 0] = numbers(version)
  return engines.split('||').some((range) => {
    const [, sign, least = ''] = /^\s*(\^|>=)([\d.]+)\s*$/.exec(range) ?? []
    const [leastMajor = 0, leastMinor = 0] = numbers(least)
    if (major === leastMajor) return minor >= leastMinor
    return sign === '>=' && major > leastMajor
  })
}
