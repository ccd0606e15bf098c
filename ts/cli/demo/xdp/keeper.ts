import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import type { Request } from '../messages.js'
import { serve } from '../service.js'
import { type End, type Laid, type LayWire, WIRE_QUEUES } from './wire.js'

/**
 * The process that makes the namespaces of a demo, and removes them when it ends: when the demo lets go of it or dies. The signals of a
 * terminal are for the demo, which then ends what runs inside first.
 */

const LIFETIME_MS = 1_300_000
const COMMAND_MS = 10_000
/** More looks than a link ever needs to come up. */
const LOOKS = 500

const made: string[] = []

function lay({ near, far }: LayWire): Laid {
  try {
    for (const { namespace } of [near, far]) {
      ip(['netns', 'add', namespace])
      made.push(namespace)
    }
    batch([], [`link add ${described(near)} type veth peer name ${described(far)}`])
    setUp(near, far)
    setUp(far, near)
    untilUp(near)
    untilUp(far)
    return { failed: undefined }
  } catch (error) {
    return { failed: `the namespaces could not be made: ${reasonOf(error)}` }
  }
}

function described({ namespace, link, mac }: End): string {
  return `${link} netns ${namespace} numrxqueues ${WIRE_QUEUES} numtxqueues ${WIRE_QUEUES} address ${mac}`
}

function setUp(end: End, other: End): void {
  const { namespace, link, address } = end
  batch(
    ['-n', namespace],
    [
      'link set lo up',
      // Without an address of IPv6 nothing sends of itself, so the interface counts the demo's packets only.
      ...(existsSync('/proc/net/if_inet6') ? [`link set ${link} addrgenmode none`] : []),
      // What leaves with one call is cut into packets before the veth, so it drops, and counts, one at a time.
      `link set ${link} gso_max_segs 1`,
      `addr add ${address}/24 dev ${link}`,
      `link set ${link} up`,
      `neigh add ${other.address} lladdr ${other.mac} dev ${link} nud permanent`,
    ],
  )
}

/** The kernel notices a carrier a moment after it is there, and drops what is sent before. */
function untilUp({ namespace, link }: End): void {
  for (let look = 0; look < LOOKS; look++) {
    if (/ UP /.test(ip(['-n', namespace, '-br', 'link', 'show', link]))) return
  }
  throw new Error(`${link} does not come up`)
}

function batch(options: readonly string[], commands: readonly string[]): void {
  ip([...options, '-batch', '-'], commands.join('\n'))
}

function ip(args: readonly string[], input = ''): string {
  return execFileSync('ip', args, { input, stdio: 'pipe', encoding: 'utf8', timeout: COMMAND_MS })
}

/** What `ip` said, rather than how it was called. */
function reasonOf(error: unknown): string {
  const { stderr, message } = error as { stderr?: string; message: string }
  return stderr === undefined || stderr.trim() === '' ? message : stderr.trim().replaceAll('\n', ' ')
}

function remove(): void {
  for (const namespace of made) {
    try {
      ip(['netns', 'del', namespace])
    } catch (error) {
      process.exitCode = 1
      process.stderr.write(`${reasonOf(error)}. Run: ip netns del ${namespace}\n`)
    }
  }
}

process.on('exit', remove)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {})

serve(LIFETIME_MS, (request: Request) => {
  if (request.do === 'lay') return Promise.resolve(lay(request))
  throw new Error(`a keeper does not know '${request.do}'`)
})
