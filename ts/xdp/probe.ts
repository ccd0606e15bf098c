import { invalidType, outOfRange } from '../errors.js'
import { native } from '../native.js'
import { fromNativeXdp, inOurNames, requireLinux } from './support.js'
import type { XdpProbe } from './types.js'

/** Longer ones the kernel does not have (IFNAMSIZ). */
const LONGEST_NAME = 15

/**
 * What opening an interface would come to, and the command for each thing that is in the way. Looks at the network namespace of the calling
 * thread and changes nothing; makes an AF_XDP socket and a map for a moment to see whether they can be had.
 *
 * @throws WRAITH_ERR_ADDRESS_NOT_AVAILABLE when there is no such interface, WRAITH_ERR_UNSUPPORTED elsewhere than on Linux,
 *   WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_OUT_OF_RANGE
 */
export function probe(interfaceName: string): XdpProbe {
  requireLinux()
  const name = checkInterface(interfaceName)
  const { text, findings, missingCapabilities, ...facts } = fromNativeXdp(
    () => native().probeXdp(name),
    'interface',
  )
  const found = findings.map((finding) =>
    Object.freeze({ ...finding, what: inOurNames(finding.what), remedy: inOurNames(finding.remedy) }),
  )
  const probed = {
    ...facts,
    missingCapabilities: Object.freeze(missingCapabilities),
    findings: Object.freeze(found),
  }
  // Not enumerable: it is no fact, and prints as JSON as nothing.
  Object.defineProperty(probed, 'toString', { value: () => inOurNames(text).trimEnd() })
  return Object.freeze(probed)
}

/** An interface's name as the kernel may have it. */
export function checkInterface(given: unknown, option = 'interface'): string {
  if (typeof given !== 'string') throw invalidType(option, given, "an interface's name, such as 'eth0'")
  const bytes = Buffer.byteLength(given)
  if (bytes === 0 || bytes > LONGEST_NAME || /[\s/\0]/.test(given)) {
    throw outOfRange(
      option,
      given,
      `an interface's name of 1 to ${LONGEST_NAME} bytes`,
      'Choose one that `ip link` lists.',
    )
  }
  return given
}
