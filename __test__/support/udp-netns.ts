import { test } from 'vitest'
import { missingForNamespaces, Namespace } from './netns.js'

/** A test inside of a network namespace. Without the right to make one it is skipped, and says why. */
export function namespaceTest(
  name: string,
  setup: readonly string[],
  run: (namespace: Namespace) => Promise<void>,
): void {
  test(name, async (context) => {
    const reason = missingForNamespaces()
    if (reason !== undefined) {
      console.warn(`${name}: ${reason}`)
      context.skip(reason)
    }
    using namespace = new Namespace()
    for (const command of setup) namespace.run(command)
    await run(namespace)
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
