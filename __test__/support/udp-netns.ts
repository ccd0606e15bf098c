import { execFileSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { test } from 'vitest'
import { type RunOptions, resultOf } from './udp-process.js'

/** A network namespace of the test's own: its interfaces, addresses and queues are nobody else's. */
export interface Namespace {
  /** Runs `ip …` or `tc …` inside. */
  run(command: string): void
  /** Runs a module inside and returns the last thing that it printed. */
  resultOf<T>(source: string, options?: RunOptions): Promise<T>
}

const NOTHING_MISSING = undefined

/** What this machine lacks for namespaces, or nothing. */
function missing(): string | undefined {
  if (process.getuid?.() !== 0) return 'network namespaces need root: run the suite as root'
  try {
    execFileSync('ip', ['-Version'], { stdio: 'ignore' })
    execFileSync('tc', ['-Version'], { stdio: 'ignore' })
    return NOTHING_MISSING
  } catch {
    return 'ip and tc are missing: apt-get install iproute2'
  }
}

/** A test inside of a network namespace. Without the right to make one it is skipped, and says why. */
export function namespaceTest(
  name: string,
  setup: readonly string[],
  run: (namespace: Namespace) => Promise<void>,
): void {
  test(name, async (context) => {
    const reason = missing()
    if (reason !== undefined) {
      console.warn(`${name}: ${reason}`)
      context.skip(reason)
    }
    const id = `wraith-${randomBytes(4).toString('hex')}`
    const inside = (command: string): void => {
      const [program, ...args] = command.split(' ')
      execFileSync('ip', ['netns', 'exec', id, program as string, ...args], { stdio: 'pipe' })
    }
    execFileSync('ip', ['netns', 'add', id])
    try {
      inside('ip link set lo up')
      for (const command of setup) inside(command)
      await run({
        run: inside,
        resultOf: (source, options = {}) =>
          resultOf(source, { ...options, through: ['ip', 'netns', 'exec', id] }),
      })
    } finally {
      execFileSync('ip', ['netns', 'del', id])
    }
  })
}

/** Two interfaces that are each other's wire. IPv6 addresses are usable at once: nobody else could have them. */
export const vethPair = [
  'ip link add left type veth peer name right',
  'sysctl -qw net.ipv6.conf.left.accept_dad=0',
  'sysctl -qw net.ipv6.conf.right.accept_dad=0',
  'ip addr add 10.7.0.1/24 dev left',
  'ip addr add 10.7.1.1/24 dev right',
  'ip link set left up',
  'ip link set right up',
] as const
