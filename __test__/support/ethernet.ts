import { isIPv6 } from 'node:net'

/** Frames built byte by byte: RFC 791, 8200, 768, 793, IEEE 802.3 and 802.1Q. */

export const UDP = 17
export const TCP = 6
export const ICMP = 1
export const ICMPV6 = 58

const MACS = Buffer.from('02000000000b02000000000a', 'hex')

const half = (number: number): Buffer => Buffer.from([number >> 8, number & 0xff])

export function ethernet(etherType: number, payload: Uint8Array): Buffer {
  return Buffer.concat([MACS, half(etherType), payload])
}

/** The frame with a tag behind the addresses. */
export function tagged(etherType: number, vlan: number, frame: Buffer): Buffer {
  return Buffer.concat([frame.subarray(0, 12), half(etherType), half(vlan), frame.subarray(12)])
}

/** A UDP packet without a checksum, which IPv4 and filters do without. */
export function udp(from: number, to: number, data: string | Uint8Array = 'data'): Buffer {
  const bytes = Buffer.from(data as Uint8Array)
  return Buffer.concat([half(from), half(to), half(8 + bytes.length), half(0), bytes])
}

export function tcp(from: number, to: number): Buffer {
  return Buffer.concat([half(from), half(to), Buffer.from('00000001000000005002200000000000', 'hex')])
}

export interface Ipv4Fields {
  readonly protocol?: number
  readonly from?: string
  readonly to?: string
  /** Flags, and the offset in units of 8 bytes. */
  readonly fragment?: number
  /** As many as fit: a multiple of 4. */
  readonly options?: readonly number[]
}

/** A frame with an IPv4 packet, UDP unless it says otherwise. */
export function ipv4(payload: Uint8Array, fields: Ipv4Fields = {}): Buffer {
  const { protocol = UDP, from = '192.0.2.1', to = '198.51.100.2', fragment = 0, options = [] } = fields
  const length = 20 + options.length
  const header = Buffer.concat([
    Buffer.from([0x40 | (length / 4), 0]),
    half(length + payload.length),
    half(0x1234),
    half(fragment),
    Buffer.from([64, protocol, 0, 0]),
    ...[from, to].map((address) => Buffer.from(address.split('.').map(Number))),
    Buffer.from(options),
  ])
  header.writeUInt16BE(checksum(header), 10)
  return ethernet(0x0800, Buffer.concat([header, payload]))
}

/** A frame with an IPv6 packet. */
export function ipv6(
  payload: Uint8Array,
  {
    next = UDP,
    from = '2001:db8::1',
    to = '2001:db8::2',
  }: { next?: number; from?: string; to?: string } = {},
): Buffer {
  const head = Buffer.concat([Buffer.from([0x60, 0, 0, 0]), half(payload.length), Buffer.from([next, 64])])
  return ethernet(0x86dd, Buffer.concat([head, octets(from), octets(to), payload]))
}

/** The Internet checksum of whole words: RFC 1071. */
function checksum(bytes: Buffer): number {
  let sum = 0
  for (let at = 0; at < bytes.length; at += 2) sum += bytes.readUInt16BE(at)
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >> 16)
  return ~sum & 0xffff
}

function octets(address: string): Buffer {
  if (!isIPv6(address)) throw new Error(`${address} is no IPv6 address`)
  const [before = '', after] = address.split('::')
  const words = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const [head, tail] = [words(before), words(after ?? '')]
  const all = [...head, ...new Array<string>(8 - head.length - tail.length).fill('0'), ...tail]
  return Buffer.concat(all.map((word) => half(Number.parseInt(word, 16))))
}
