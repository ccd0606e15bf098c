import { parseReference, type StatsdTotals, zeroTotals } from './statsd.js'

/**
 * What travels from the sender to the receiver: 16 bytes of header, then StatsD lines.
 *
 * | bytes | what                                                              |
 * | ----- | ----------------------------------------------------------------- |
 * | 0, 1  | `W`, `D`: a datagram of this demo                                 |
 * | 2     | generation: 0 while warming up, 1 while measuring                 |
 * | 3     | kind: {@link DATA} or {@link END}                                 |
 * | 4-7   | sequence number, little-endian, from 0 in each generation         |
 * | 8-13  | when it was sent, nanoseconds since the demo's epoch, little-endian |
 *
 * The lines of a datagram depend on its sequence number alone, so either end can say what any set of sequence
 * numbers must add up to.
 */
export const HEADER_BYTES = 16
export const MAGIC_0 = 0x57
export const MAGIC_1 = 0x44
export const DATA = 0
/** Sent behind the last datagram: loopback keeps the order, so all before it has been received or dropped. */
export const END = 1

/** How many different payloads there are; a power of two. Payload of a datagram: `sequence % PAYLOADS`. */
export const PAYLOADS = 256

/** Whether the datagrams of a stream differ in length, or have one, as those that leave with one call must. */
export type Lengths = 'mixed' | 'equal'
/** Header and lines of a datagram of a stream of equal lengths. */
export const EQUAL_BYTES = 144

const NAMES = [
  'api.requests',
  'api.latency',
  'db.pool.open',
  'db.query.time',
  'cache.hit',
  'cache.miss',
  'queue.depth',
]
const SERVICES = ['web', 'checkout', 'search', 'mail']

/** The StatsD text of payload `index`: one to six lines, the same in every process. Mixed: 20 to 200 bytes. */
function payloadText(index: number, lengths: Lengths): string {
  const random = generator(index + 1)
  return lengths === 'mixed' ? mixedText(random) : equalText(random)
}

/** As many lines as there is room for, and the name of the first made longer to fill it. */
function equalText(random: (below: number) => number): string {
  const room = EQUAL_BYTES - HEADER_BYTES
  let text = ''
  let next = line(random)
  while (text.length + next.length <= room) {
    text += next
    next = `\n${line(random)}`
  }
  return text.padStart(room, 'x')
}

function mixedText(random: (below: number) => number): string {
  const lines: string[] = []
  const count = 1 + random(6)
  for (let i = 0; i < count; i++) lines.push(line(random))
  return lines.join('\n')
}

function line(random: (below: number) => number): string {
  const name = `${SERVICES[random(SERVICES.length)]}.${NAMES[random(NAMES.length)]}`
  switch (random(4)) {
    case 0:
      return `${name}:${1 + random(9)}|c|@${['0.1', '0.25', '0.5'][random(3)]}`
    case 1:
      return `${name}:${1 + random(99)}|c`
    case 2:
      return `${name}:${random(900)}.${random(1000).toString().padStart(3, '0')}|ms`
    default:
      return `${name}:${random(5000)}|g`
  }
}

/** xorshift32: small, and the same everywhere. */
function generator(seed: number): (below: number) => number {
  let state = Math.imul(seed, 0x9e3779b1) | 1
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

/**
 * All payloads as whole datagrams, header room in front. The sender stamps the headers in place. They lie one behind
 * the other in one buffer, so that {@link runOf} needs no copy.
 */
export function encodeAll(lengths: Lengths): Uint8Array[] {
  const texts = Array.from({ length: PAYLOADS }, (_, index) => payloadText(index, lengths))
  const block = Buffer.alloc(texts.reduce((total, text) => total + HEADER_BYTES + text.length, 0))
  let end = 0
  return texts.map((text) => {
    const start = end
    end = start + HEADER_BYTES + text.length
    block.write(text, start + HEADER_BYTES, 'latin1')
    return block.subarray(start, end)
  })
}

/** The bytes of `count` datagrams of {@link encodeAll} from `index` on. */
export function runOf(datagrams: readonly Uint8Array[], index: number, count: number): Uint8Array {
  const first = datagrams[index] as Uint8Array
  const last = datagrams[index + count - 1] as Uint8Array
  const length = last.byteOffset + last.byteLength - first.byteOffset
  return new Uint8Array(first.buffer, first.byteOffset, length)
}

/** An end mark: a header and nothing behind it. */
export function encodeEnd(generation: number): Uint8Array {
  const datagram = new Uint8Array(HEADER_BYTES)
  stamp(datagram, generation, END, 0, 0)
  return datagram
}

/** Writes the header of `datagram`. `sentNs` is a whole number below 2^48 (three days). */
export function stamp(
  datagram: Uint8Array,
  generation: number,
  kind: number,
  sequence: number,
  sentNs: number,
): void {
  datagram[0] = MAGIC_0
  datagram[1] = MAGIC_1
  datagram[2] = generation
  datagram[3] = kind
  datagram[4] = sequence
  datagram[5] = sequence >>> 8
  datagram[6] = sequence >>> 16
  datagram[7] = sequence >>> 24
  const high = Math.floor(sentNs / 0x1_0000_0000)
  const low = (sentNs % 0x1_0000_0000) | 0
  datagram[8] = low
  datagram[9] = low >>> 8
  datagram[10] = low >>> 16
  datagram[11] = low >>> 24
  datagram[12] = high
  datagram[13] = high >>> 8
}

export function readSequence(datagram: Uint8Array): number {
  return (at(datagram, 4) | (at(datagram, 5) << 8) | (at(datagram, 6) << 16) | (at(datagram, 7) << 24)) >>> 0
}

export function readSentNs(datagram: Uint8Array): number {
  const low = at(datagram, 8) | (at(datagram, 9) << 8) | (at(datagram, 10) << 16) | (at(datagram, 11) << 24)
  return (low >>> 0) + (at(datagram, 12) | (at(datagram, 13) << 8)) * 0x1_0000_0000
}

function at(bytes: Uint8Array, index: number): number {
  return bytes[index] as number
}

/** What a set of datagrams adds up to by content. */
export interface ContentTotals {
  packets: number
  /** Header and lines. */
  bytes: number
  statsd: StatsdTotals
}

/**
 * What datagrams must add up to when payload `p` occurs `counts[p]` times. Worked out from the payloads' text with a
 * second, plain parser, so that it checks the one that is measured.
 */
export function expectedTotals(counts: ArrayLike<number>, lengths: Lengths): ContentTotals {
  const totals: ContentTotals = { packets: 0, bytes: 0, statsd: zeroTotals() }
  for (let index = 0; index < PAYLOADS; index++) {
    const times = counts[index] ?? 0
    if (times === 0) continue
    const text = payloadText(index, lengths)
    const one = parseReference(text)
    totals.packets += times
    totals.bytes += times * (HEADER_BYTES + text.length)
    totals.statsd.lines += times * one.lines
    totals.statsd.malformed += times * one.malformed
    totals.statsd.valueMilli += times * one.valueMilli
    totals.statsd.rateMilli += times * one.rateMilli
    totals.statsd.names = (totals.statsd.names + Math.imul(times, one.names)) >>> 0
  }
  return totals
}

/** How often each payload occurs among the sequence numbers 0 … `count` - 1, less those in `missing`. */
export function payloadCounts(count: number, missing: readonly number[] = []): Uint32Array {
  const counts = new Uint32Array(PAYLOADS)
  const whole = Math.floor(count / PAYLOADS)
  counts.fill(whole)
  for (let index = 0; index < count - whole * PAYLOADS; index++) counts[index] = whole + 1
  for (const sequence of missing) {
    const index = sequence % PAYLOADS
    counts[index] = (counts[index] as number) - 1
  }
  return counts
}
