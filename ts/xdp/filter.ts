import { fromNative, invalidType, outOfRange, show, WraithError } from '../errors.js'
import { type NativeXdpFilter, type NativeXdpMatch, native } from '../native.js'
import { boolean, checkOptions, wholeNumber } from '../validate.js'

const MATCH = ['udpPorts', 'tcpPorts', 'addresses', 'etherTypes'] as const
const RULES = [...MATCH, 'all', 'except', 'keepManagement'] as const
const ENDS = ['dst', 'src'] as const

const PORTS = 1 << 16
/** Below are lengths of IEEE 802.3. */
const FIRST_ETHER_TYPE = 0x0600
const LAST_ETHER_TYPE = 0xffff
const ETHER_TYPES = LAST_ETHER_TYPE - FIRST_ETHER_TYPE + 1
/** They become instructions, gone through one by one for each packet. */
const MAX_PREFIXES = 64

/** What any prefix is made of; the longest has an IPv4 address in its IPv6 one. */
const PREFIX = /^[\da-f.:/]{1,49}$/i

const NOTHING: NativeXdpMatch = {
  udpDst: [],
  udpSrc: [],
  tcpDst: [],
  tcpSrc: [],
  addressesDst: [],
  addressesSrc: [],
  etherTypes: [],
}

/**
 * Checks a filter and brings it into the addon's form. `name` is what messages call it. What the filter keeps for the kernel though it selects
 * it is for the addon to see.
 *
 * @throws WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_OUT_OF_RANGE, WRAITH_ERR_INVALID_ADDRESS, WRAITH_ERR_UNKNOWN_OPTION
 */
export function readFilter(given: unknown, name = 'filter'): NativeXdpFilter {
  if (given === undefined) throw noFilter(name)
  if (typeof given === 'string') {
    if (given !== 'all' && given !== 'none') {
      throw outOfRange(name, given, "'all', 'none' or an object of rules")
    }
    return { select: given, rules: NOTHING, except: NOTHING, keepManagement: true }
  }
  const rules = record(name, given, RULES, "'all', 'none' or an object of rules")
  const { all, except, keepManagement = true } = rules
  if (all !== undefined && all !== true) throw invalidType(`${name}.all`, all, 'true, or be left out')
  const matching = match(name, rules)
  if (all === true && matching !== NOTHING) {
    throw new WraithError(
      'WRAITH_ERR_OUT_OF_RANGE',
      `${name}.all must stand without ports, addresses and etherTypes, which it includes. Remove it, or remove those.`,
      { option: `${name}.all` },
    )
  }
  if (all === undefined && matching === NOTHING) throw selectsNothing(name)
  return {
    select: all === true ? 'all' : 'matching',
    rules: matching,
    except: except === undefined ? NOTHING : exception(`${name}.except`, except),
    keepManagement: boolean(`${name}.keepManagement`, keepManagement),
  }
}

function noFilter(name: string): WraithError {
  return new WraithError(
    'WRAITH_ERR_INVALID_ARG_TYPE',
    `${name} must be given: the frames that it selects never reach the kernel, so there is no default. Pass rules such as ` +
      "{ udpPorts: [6343] }, 'all' for every frame but what keeps this machine reachable, or 'none' to send only.",
    { option: name },
  )
}

function selectsNothing(name: string): WraithError {
  return new WraithError(
    'WRAITH_ERR_OUT_OF_RANGE',
    `${name} must select something, but an object without ports, addresses and etherTypes was given. Add one of them, or ` +
      "pass 'all' or 'none'.",
    { option: name },
  )
}

function exception(path: string, given: unknown): NativeXdpMatch {
  const excepted = match(path, record(path, given, MATCH, 'an object of rules'))
  if (excepted !== NOTHING) return excepted
  throw outOfRange(
    path,
    given,
    'an object with ports, addresses or etherTypes',
    'Add one of them, or leave it out.',
  )
}

/** The rules that were given; exactly {@link NOTHING} when there are none. */
function match(path: string, given: Readonly<Record<string, unknown>>): NativeXdpMatch {
  const { udpPorts, tcpPorts, addresses, etherTypes } = given
  if (MATCH.every((name) => given[name] === undefined)) return NOTHING
  const udp = ports(`${path}.udpPorts`, udpPorts)
  const tcp = ports(`${path}.tcpPorts`, tcpPorts)
  const prefixes = addressLists(`${path}.addresses`, addresses)
  return {
    udpDst: udp.dst,
    udpSrc: udp.src,
    tcpDst: tcp.dst,
    tcpSrc: tcp.src,
    addressesDst: prefixes.dst,
    addressesSrc: prefixes.src,
    etherTypes: list(`${path}.etherTypes`, etherTypes, ETHER_TYPES, 'EtherTypes', etherType),
  }
}

interface Ends<T> {
  readonly dst: readonly T[]
  readonly src: readonly T[]
}

function ports(path: string, given: unknown): Ends<number> {
  const port = (name: string, value: unknown): number => wholeNumber(name, value, 0, PORTS - 1)
  if (Array.isArray(given)) return { dst: list(path, given, PORTS, 'ports', port), src: [] }
  return bothEnds(path, given, 'an array of ports or { dst, src }', (name, value) =>
    list(name, value, PORTS, 'ports', port),
  )
}

function addressLists(path: string, given: unknown): Ends<string> {
  return bothEnds(path, given, '{ src, dst } with arrays of prefixes', (name, value) =>
    list(name, value, MAX_PREFIXES, 'prefixes', prefix),
  )
}

function bothEnds<T>(
  path: string,
  given: unknown,
  allowed: string,
  read: (path: string, given: unknown) => readonly T[],
): Ends<T> {
  if (given === undefined) return { dst: [], src: [] }
  const { dst, src } = record(path, given, ENDS, allowed)
  if (dst === undefined && src === undefined) {
    throw outOfRange(path, given, `${allowed}, one of them at least`, 'Add one, or leave it out.')
  }
  return { dst: read(`${path}.dst`, dst), src: read(`${path}.src`, src) }
}

/** A list with something in it, copied. An empty one is refused: what is left out matches everything, and a list that came out empty would. */
function list<T>(
  path: string,
  given: unknown,
  most: number,
  what: string,
  read: (path: string, value: unknown) => T,
): readonly T[] {
  if (given === undefined) return []
  if (!Array.isArray(given)) throw invalidType(path, given, 'an array')
  if (given.length === 0 || given.length > most) {
    throw outOfRange(path, given, `an array of 1 to ${most} ${what}`, 'Choose as many, or leave it out.')
  }
  return Array.from(given, (value: unknown, at) => read(`${path}[${at}]`, value))
}

function etherType(path: string, value: unknown): number {
  const allowed = 'an EtherType from 0x0600 (1536) to 0xffff (65535)'
  if (typeof value !== 'number') throw invalidType(path, value, allowed)
  if (!Number.isInteger(value) || value < FIRST_ETHER_TYPE || value > LAST_ETHER_TYPE) {
    throw outOfRange(path, value, allowed)
  }
  return value
}

/** What a prefix is, the Rust crate knows. */
function prefix(path: string, value: unknown): string {
  const allowed = "an address or a prefix, such as '10.0.0.0/8' or '2001:db8::/32'"
  if (typeof value !== 'string') throw invalidType(path, value, allowed)
  const wrong = `${path} must be ${allowed}, but ${show(value)} was given`
  if (!PREFIX.test(value)) {
    throw new WraithError('WRAITH_ERR_INVALID_ADDRESS', `${wrong}. Pass ${allowed}.`, { option: path })
  }
  return fromNative(
    () => {
      native().checkXdpPrefix(value)
      return value
    },
    path,
    (message) => `${wrong}: ${message}`,
  )
}

function record(
  path: string,
  given: unknown,
  known: readonly string[],
  allowed: string,
): Readonly<Record<string, unknown>> {
  if (typeof given !== 'object' || given === null || Array.isArray(given)) {
    throw invalidType(path, given, allowed)
  }
  return checkOptions(path, given, known, `${path}.`) as Readonly<Record<string, unknown>>
}
