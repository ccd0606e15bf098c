import { execFileSync } from 'node:child_process'
import { test } from 'vitest'
import { missingForNamespaces, Namespace } from './netns.js'

export const NEAR = '192.0.2.1'
export const FAR = '192.0.2.2'
export const NEAR6 = '2001:db8::1'
export const FAR6 = '2001:db8::2'
export const NEAR_MAC = '02:00:00:00:00:0a'
export const FAR_MAC = '02:00:00:00:00:0b'

/** The interface at each end. */
const NEAR_END = 'wraith0'
const FAR_END = 'wraith1'

/** More looks than a link ever needs to come up. */
const LOOKS = 2000

export interface VethOptions {
  /** RX and TX queues of each end. */
  readonly queues?: number
  /** MTU of both ends. */
  readonly mtu?: number
}

/**
 * Two namespaces with a wire between them: `wraith0` in `near`, where the thing under test runs, and `wraith1` in `far`, which sends
 * to it. Both ends are up, have an IPv4 and an IPv6 address, and know each other's, so the first packet arrives. Nothing sends of itself
 * but what IPv6 does when an interface comes up. Disposing of it removes everything.
 */
export class VethPair implements Disposable {
  readonly near = new Namespace()
  readonly far: Namespace
  /** The interface in `near`. */
  readonly interface = NEAR_END

  constructor({ queues = 1, mtu = 1500 }: VethOptions = {}) {
    this.far = this.#orNothing(() => new Namespace())
    this.#orNothing(() => {
      const many = `numrxqueues ${queues} numtxqueues ${queues}`
      batch([
        `link add ${NEAR_END} netns ${this.near.name} mtu ${mtu} ${many} address ${NEAR_MAC} type veth ` +
          `peer name ${FAR_END} netns ${this.far.name} mtu ${mtu} ${many} address ${FAR_MAC}`,
      ])
      setUp(this.near, NEAR_END, [NEAR, NEAR6], [FAR, FAR6, FAR_MAC])
      setUp(this.far, FAR_END, [FAR, FAR6], [NEAR, NEAR6, NEAR_MAC])
      untilUp(this.near, NEAR_END)
      untilUp(this.far, FAR_END)
    })
  }

  #orNothing<T>(make: () => T): T {
    try {
      return make()
    } catch (error) {
      this[Symbol.dispose]()
      throw error
    }
  }

  [Symbol.dispose](): void {
    this.far?.[Symbol.dispose]()
    this.near[Symbol.dispose]()
  }
}

function batch(commands: readonly string[], where: readonly string[] = []): void {
  execFileSync('ip', [...where, '-batch', '-'], { input: commands.join('\n'), stdio: 'pipe' })
}

function setUp(
  namespace: Namespace,
  name: string,
  [v4, v6]: readonly [string, string],
  [peer4, peer6, mac]: readonly [string, string, string],
): void {
  const commands = [
    `addr add ${v4}/24 dev ${name}`,
    `addr add ${v6}/64 dev ${name} nodad`,
    `link set ${name} up`,
    `neigh add ${peer4} lladdr ${mac} dev ${name} nud permanent`,
    `neigh add ${peer6} lladdr ${mac} dev ${name} nud permanent`,
  ]
  batch(commands, ['-n', namespace.name])
}

/** The kernel notices a carrier a moment after it is there, and drops what is sent before. */
function untilUp(namespace: Namespace, name: string): void {
  for (let look = 0; look < LOOKS; look++) {
    if (/ UP /.test(namespace.run(`ip -br link show ${name}`))) return
  }
  throw new Error(`${name} does not come up`)
}

/** A test over a veth pair. Without the right to make one it is skipped, and says why. */
export function vethTest(
  name: string,
  options: VethOptions,
  run: (pair: VethPair) => Promise<void> | void,
): void {
  test(name, async (context) => {
    const reason = missingForNamespaces()
    if (reason !== undefined) {
      console.warn(`${name}: ${reason}`)
      context.skip(reason)
    }
    using pair = new VethPair(options)
    await run(pair)
  })
}
