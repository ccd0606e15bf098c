import { readFileSync } from 'node:fs'
import { WraithError } from '../../errors.js'
import { probe } from '../../xdp/probe.js'
import type { XdpProbe } from '../../xdp/types.js'
import { halves } from './process.js'
import type { Looked, Skipped } from './report.js'

const LOOPBACK = 'lo'

/** The one interface that is asked for, or all that are up, loopback apart. */
export function lookAtInterfaces(asked: string | undefined): { looked: Looked[]; skipped: Skipped[] } {
  if (asked !== undefined) return { looked: [look(asked)], skipped: [] }
  const [looked, skipped]: [Looked[], Skipped[]] = [[], []]
  for (const name of interfaceNames()) {
    const more = `--interface ${name} looks at it all the same.`
    if (name === LOOPBACK) {
      skipped.push({ interface: name, why: `loopback, where UdpSocket is the better choice. ${more}` })
      continue
    }
    const one = look(name)
    if ('up' in one && !one.up) skipped.push({ interface: name, why: `down. ${more}` })
    else looked.push(one)
  }
  return { looked, skipped }
}

function look(name: string): Looked {
  try {
    return probe(name)
  } catch (error) {
    if (!(error instanceof WraithError)) throw error
    return { interface: name, ready: false, findings: [{ severity: 'blocking', ...halves(error.message) }] }
  }
}

/** Of this process's network namespace, which the files of /sys need not show. */
function interfaceNames(): string[] {
  const lines = readFileSync('/proc/self/net/dev', 'latin1').split('\n').slice(2)
  return lines.flatMap((line) => /^\s*(.+):/.exec(line)?.[1] ?? [])
}

/** What opening it with the defaults comes to, in a sentence. */
export function outlook({ ready, nativeMode, zeroCopy, queues }: XdpProbe): string {
  const sockets = queues === 1 ? 'a socket on its queue' : `a socket on each of ${queues} queues`
  const how =
    nativeMode === undefined
      ? 'the best that the driver can do, which this kernel does not say beforehand'
      : nativeMode
        ? `the program in the driver (native), ${zeroCopy ? 'frames without a copy' : 'each frame copied once'}`
        : 'the program in the stack (generic), which costs several times as much a packet'
  return `XdpSocket.open ${ready ? 'gives' : 'would give'} ${sockets}, ${how}.`
}
