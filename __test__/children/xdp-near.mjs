// Tools of the processes in a test's near namespace: what datagrams and frames look like, which of them came, and what must be home.
import { createInterface } from 'node:readline'
import { crc32 } from 'node:zlib'

export const NEAR = '192.0.2.1'
export const FAR = '192.0.2.2'
export const PORT = 6343
const NEAR_MAC = Buffer.from('02000000000a', 'hex')
const FAR_MAC = Buffer.from('02000000000b', 'hex')

/** The `seq`th datagram, of 8 bytes or more: its number, a checksum, and bytes that differ from every other one's. */
export function datagram(seq, size) {
  const bytes = Buffer.alloc(size, `${seq.toString(36)} äöü \u{1F600} `)
  bytes.writeUInt32BE(seq, 0)
  bytes.writeUInt32BE(crc32(bytes.subarray(8)), 4)
  return bytes
}

/** Its number; throws when a byte is wrong. */
export function numberOf(payload) {
  const seq = payload.readUInt32BE(0)
  if (payload.length < 8 || crc32(payload.subarray(8)) !== payload.readUInt32BE(4)) {
    throw new Error(`a datagram of ${payload.length} bytes has come damaged: ${payload.toString('hex')}`)
  }
  return seq
}

/** The UDP packet in a frame; throws when its headers do not fit its length. */
export function packetOf(frame) {
  const kind = frame.readUInt16BE(12)
  const header = { 2048: 20, 34525: 40 }[kind]
  if (header === undefined) throw new Error(`EtherType ${kind.toString(16)} was not sent`)
  const udp = frame.subarray(14 + header)
  const length = udp.readUInt16BE(4)
  if (udp.length !== length) throw new Error(`${udp.length} bytes of a UDP packet of ${length}`)
  return {
    version: header === 20 ? 4 : 6,
    from: udp.readUInt16BE(0),
    to: udp.readUInt16BE(2),
    payload: udp.subarray(8),
  }
}

/** Which datagrams came, and how often. */
export class Tally {
  #marks
  #sizes = new Set()
  #versions = new Set()

  constructor(most = 1 << 20) {
    this.#marks = new Uint8Array(most)
  }

  frame(frame) {
    const { version, payload } = packetOf(frame)
    this.#versions.add(version)
    this.payload(payload)
  }

  payload(payload) {
    this.#sizes.add(payload.length)
    this.#marks[numberOf(payload)]++
    this.came++
  }

  batch(batch) {
    for (let i = 0; i < batch.length; i++) this.frame(batch.bytes(i))
  }

  came = 0

  has(seq) {
    return this.#marks[seq] > 0
  }

  /** How many different ones came, how many more than once, their sizes and IP versions. */
  summary() {
    let [once, again] = [0, 0]
    for (const times of this.#marks) {
      if (times === 1) once++
      else if (times > 1) again++
    }
    return {
      came: this.came,
      once,
      again,
      sizes: [...this.#sizes].sort((a, b) => a - b),
      versions: [...this.#versions].sort(),
    }
  }
}

/** RFC 1071. */
function checksum(...parts) {
  const bytes = Buffer.concat(parts)
  let sum = 0
  for (let at = 0; at < bytes.length; at++) sum += at % 2 === 0 ? bytes[at] << 8 : bytes[at]
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff
}

const half = (value) => Buffer.from([value >> 8, value & 0xff])
const octets = (address) => Buffer.from(address.split('.').map(Number))

/** A whole frame with a datagram over IPv4, from the near end to the far one, with right checksums. */
export function frameOf(payload, { to = PORT, from = 40_000, address = FAR, mac = FAR_MAC } = {}) {
  const [source, target] = [octets(NEAR), octets(address)]
  const length = half(8 + payload.length)
  const ports = Buffer.concat([half(from), half(to), length])
  const sum = checksum(
    source,
    target,
    half(17),
    length,
    ports,
    half(0),
    payload,
    Buffer.alloc(payload.length % 2),
  )
  const udp = Buffer.concat([ports, half(sum === 0 ? 0xffff : sum), payload])
  const ip = Buffer.concat([
    Buffer.from([0x45, 0]),
    half(20 + udp.length),
    half(1),
    half(0x4000),
    Buffer.from([64, 17, 0, 0]),
    source,
    target,
  ])
  ip.writeUInt16BE(checksum(ip), 10)
  return Buffer.concat([mac, NEAR_MAC, Buffer.from([8, 0]), ip, udp])
}

/** Turns a received UDP frame round: sender and receiver change places. UDP's checksum, which a veth leaves unfinished, is left out. */
export function turnRound(frame) {
  const swap = (a, b, length) => {
    const first = Buffer.from(frame.subarray(a, a + length))
    frame.set(frame.subarray(b, b + length), a)
    frame.set(first, b)
  }
  swap(0, 6, 6)
  swap(26, 30, 4)
  swap(34, 36, 2)
  frame.writeUInt16BE(0, 40)
}

/** A guard of a pool with a frame in it. */
export function guardOf(pool, frame) {
  const guard = pool.acquire()
  guard.bytes.set(frame)
  guard.length = frame.length
  return guard
}

/** What audits must say, or the process fails. Returns the audit. */
export function audited(pool) {
  const audit = pool.audit()
  const { capacity, ok, problems, ...states } = audit
  const sum = Object.values(states).reduce((total, count) => total + count, 0)
  if (!ok || sum !== capacity) throw new Error(`${sum} of ${capacity}: ${JSON.stringify(audit)}`)
  return audit
}

/** Closes a socket, after which nothing may be out but `lent` guards, and nothing may have gone wrong. Returns its last counters. */
export async function ended(xdp, { lent = 0, shared = false } = {}) {
  audited(xdp.pool)
  await xdp.close()
  const audit = audited(xdp.pool)
  const { posted, batched, op, transit, retiring, quarantined, elsewhere } = audit
  const out = { posted, batched, op, transit, retiring, quarantined, elsewhere, lent: audit.lent }
  const wanted = { posted: 0, batched: 0, op: 0, transit: 0, retiring: 0, quarantined: 0, elsewhere: 0, lent }
  if (!shared && JSON.stringify(out) !== JSON.stringify(wanted))
    throw new Error(`not home: ${JSON.stringify(audit)}`)
  return faultless(xdp.metrics())
}

/** Counters of what happens only if there is a bug must be 0. Returns all. */
export function faultless(metrics) {
  const { badDescriptors, ownershipFaults, rxInvalidDescriptors, txInvalidDescriptors } = metrics
  const faults = { badDescriptors, ownershipFaults, rxInvalidDescriptors, txInvalidDescriptors }
  if (Object.values(faults).some((count) => count > 0)) throw new Error(JSON.stringify(faults))
  return metrics
}

/** What an act throws, as the parts that tests look at. */
export function thrownBy(act) {
  try {
    return { returned: act() }
  } catch ({ code, option, message }) {
    return { code, option, message }
  }
}

/** What it rejects with. */
export async function rejectionOf(act) {
  try {
    return { returned: await act() }
  } catch ({ code, option, message }) {
    return { code, option, message }
  }
}

/** Looks again and again, without a turn of the event loop between. Bounded, so that a hang is reported by name. */
export function untilNow(condition, ms = 20_000) {
  const end = performance.now() + ms
  while (!condition()) {
    if (performance.now() > end) throw new Error(`never came true: ${condition}`)
  }
}

/** What the test tells this process, one value at a time. */
export function toldOnes() {
  let lines
  return async () => {
    // Only now: who reads keeps the process alive.
    lines ??= createInterface({ input: process.stdin })[Symbol.asyncIterator]()
    const { value, done } = await lines.next()
    if (done) throw new Error('the test has no more to tell')
    return JSON.parse(value)
  }
}
