import { isIP } from 'node:net'

import { type AbortSignalLike, checkSignal } from '../abort.js'
import { invalidType, show, WraithError } from '../errors.js'
import { BufferPool } from '../pool/buffer-pool.js'
import { MAX_BUFFER_SIZE, MAX_CAPACITY } from '../pool/options.js'
import { boolean, checkOptions, oneOf, wholeNumber } from '../validate.js'
import type { UdpAttachOptions, UdpSocketOptions } from './types.js'

const ATTACH_OPTIONS = [
  'signal',
  'pool',
  'bufferSize',
  'capacity',
  'batchSize',
  'onTruncated',
  'backend',
] as const satisfies readonly (keyof UdpAttachOptions)[]

const BIND_OPTIONS = [
  'port',
  'address',
  'type',
  'ipv6Only',
  'reuseAddr',
  'reusePort',
  'recvBufferSize',
  'sendBufferSize',
  'fd',
  'timestamps',
  ...ATTACH_OPTIONS,
] as const satisfies readonly (keyof UdpSocketOptions)[]

/** How a handle receives: options that have been checked, with their defaults. */
export interface CheckedReceive {
  readonly signal: AbortSignalLike | undefined
  readonly pool: BufferPool | undefined
  readonly bufferSize: number | undefined
  readonly capacity: number | undefined
  readonly batchSize: number
  readonly onTruncated: 'warn' | 'keep' | 'drop'
  readonly backend: 'recvmmsg' | 'recvmsg'
}

/** Options of `bind` that have been checked, with their defaults. */
export interface CheckedOptions extends CheckedReceive {
  readonly port: number
  readonly address: string | undefined
  readonly family: 4 | 6
  readonly ipv6Only: boolean
  readonly reuseAddr: boolean
  readonly reusePort: boolean
  readonly recvBufferSize: number | undefined
  readonly sendBufferSize: number | undefined
  readonly fd: number | undefined
  readonly timestamps: boolean
}

/** Checks what `UdpSocket.attach` was given. Nothing has been reserved when it throws. */
export function checkAttachOptions(given: UdpAttachOptions): CheckedReceive {
  return checkReceive('attach', checkOptions('UdpSocket.attach', given, ATTACH_OPTIONS))
}

/** Checks what `UdpSocket.bind` was given. Nothing has been reserved when it throws. */
export function checkBindOptions(given: UdpSocketOptions): CheckedOptions {
  const options = checkOptions('UdpSocket.bind', given, BIND_OPTIONS)
  // Defaults stand in for `undefined` only: null is a value of the wrong type.
  const {
    port = 0,
    ipv6Only: v6Only = false,
    reuseAddr = false,
    reusePort = false,
    timestamps = false,
  } = options
  const address = optional('address', options.address, (name, value) => hostName(name, value))
  const family = familyOf(address, options.type)
  const receive = checkReceive('bind', options)
  const ipv6Only = boolean('ipv6Only', v6Only)
  if (ipv6Only && family === 4) {
    throw new WraithError(
      'WRAITH_ERR_INVALID_ADDRESS',
      "ipv6Only is for IPv6 sockets, but this one is IPv4. Add type: 'udp6' or an IPv6 address.",
      { option: 'ipv6Only' },
    )
  }
  return {
    ...receive,
    port: wholeNumber('port', port, 0, 65_535),
    address,
    family,
    ipv6Only,
    reuseAddr: boolean('reuseAddr', reuseAddr),
    reusePort: boolean('reusePort', reusePort),
    recvBufferSize: optional('recvBufferSize', options.recvBufferSize, (n, v) =>
      wholeNumber(n, v, 1, 0x7fff_ffff),
    ),
    sendBufferSize: optional('sendBufferSize', options.sendBufferSize, (n, v) =>
      wholeNumber(n, v, 1, 0x7fff_ffff),
    ),
    fd: optional('fd', options.fd, (name, value) => wholeNumber(name, value, 0, 0x7fff_ffff)),
    timestamps: boolean('timestamps', timestamps),
  }
}

function checkReceive(call: 'attach' | 'bind', options: UdpAttachOptions): CheckedReceive {
  const { batchSize = 64, onTruncated = 'warn', backend = defaultBackend(), pool } = options
  if (pool !== undefined && !(pool instanceof BufferPool)) throw invalidType('pool', pool, 'a BufferPool')
  for (const name of ['bufferSize', 'capacity'] as const) {
    if (pool !== undefined && options[name] !== undefined) {
      throw new WraithError(
        'WRAITH_ERR_INVALID_ARG_TYPE',
        `${name} is for the pool that ${call} makes when none is given, but pool was given too. Remove one of the two.`,
        { option: name },
      )
    }
  }
  return {
    signal: optional('signal', options.signal, checkSignal),
    pool,
    bufferSize: optional('bufferSize', options.bufferSize, (n, v) => wholeNumber(n, v, 1, MAX_BUFFER_SIZE)),
    capacity: optional('capacity', options.capacity, (name, value) =>
      wholeNumber(name, value, 1, MAX_CAPACITY),
    ),
    batchSize: wholeNumber('batchSize', batchSize, 1, 1024),
    onTruncated: oneOf('onTruncated', onTruncated, ['warn', 'keep', 'drop']),
    backend: oneOf('backend', backend, ['recvmmsg', 'recvmsg']),
  }
}

function defaultBackend(): 'recvmmsg' | 'recvmsg' {
  return process.platform === 'linux' ? 'recvmmsg' : 'recvmsg'
}

function optional<T>(
  name: string,
  value: unknown,
  check: (name: string, value: unknown) => T,
): T | undefined {
  return value === undefined ? undefined : check(name, value)
}

/** A host name or an address: any string that is not empty. */
export function hostName(option: string, given: unknown): string {
  if (typeof given !== 'string') throw invalidType(option, given, 'a string: an IP address or a host name')
  if (given === '' || given.length > 255) throw invalidAddress(option, given, 'an IP address or a host name')
  return given
}

/** A port that packets can be sent to. */
export function sendPort(given: unknown): number {
  return wholeNumber('port', given, 1, 65_535)
}

/** An address that this call cannot use. */
export function invalidAddress(option: string, given: unknown, allowed: string): WraithError {
  return new WraithError(
    'WRAITH_ERR_INVALID_ADDRESS',
    `${option} must be ${allowed}, but ${show(given)} was given. Pass ${allowed}.`,
    { option },
  )
}

function familyOf(address: string | undefined, type: unknown): 4 | 6 {
  const literal = address === undefined ? 0 : isIP(address)
  if (type === undefined) return literal === 6 ? 6 : 4
  const family = oneOf('type', type, ['udp4', 'udp6']) === 'udp6' ? 6 : 4
  if (literal !== 0 && literal !== family) {
    throw invalidAddress('address', address, `an IPv${family} address, as type is '${type as string}'`)
  }
  return family
}
