// Frames and packets to order, the same ones for the same seed.

/** Numbers from 0 to 2^32 - 1: mulberry32. */
export function random(seed) {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b_79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return (mixed ^ (mixed >>> 14)) >>> 0
  }
}

const be16 = (value) => [(value >>> 8) & 255, value & 255]
const bytes = (next, count) => Array.from({ length: count }, () => next() & 255)
const oneOf = (next, choices) => choices[next() % choices.length]

/** An Ethernet header with tags (TPID, TCI) before `payload`. */
export const ethernet = (tags, etherType, payload) =>
  Uint8Array.from([
    ...[2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2],
    ...tags.flatMap(([tpid, tci]) => [...be16(tpid), ...be16(tci)]),
    ...be16(etherType),
    ...payload,
  ])

export const ipv4 = (next, options, fragment, protocol, payload) => [
  ...[0x45 + options / 4, 0, ...be16(20 + options + payload.length), ...bytes(next, 2), ...be16(fragment)],
  ...[64, protocol, ...bytes(next, 2), 10, ...bytes(next, 3), 192, 168, ...bytes(next, 2)],
  ...Array(options).fill(1),
  ...payload,
]

export const ipv6 = (next, protocol, payload) => [
  ...[0x60, next() & 15, 0, 0, ...be16(payload.length), protocol, 64],
  ...[0x20, 1, 0xd, 0xb8, 0, 0, 0, next() & 255, ...bytes(next, 8)],
  ...[0x20, 1, 0xd, 0xb8, 0, 0, 0, next() & 255, ...bytes(next, 8)],
  ...payload,
]

export const udp = (next, payload) => [...bytes(next, 4), ...be16(8 + payload), ...bytes(next, 2 + payload)]
export const tcp = (next, options, payload) => [
  ...[...bytes(next, 12), ((20 + options) / 4) << 4, ...bytes(next, 7 + options + payload)],
]
export const icmp = (next) => [8, 0, ...bytes(next, 62)]

/** How often each shape comes in a thousand packets: that of the benchmarks in Rust. */
const MIX = {
  'ipv4-udp': 380,
  'ipv4-tcp': 300,
  'vlan-ipv4-udp': 60,
  'vlan-ipv4-tcp': 60,
  'ipv6-udp': 60,
  'ipv6-tcp': 80,
  'vlan-ipv6-tcp': 20,
  icmp: 10,
  icmpv6: 10,
  arp: 8,
  'ipv4-fragment': 4,
  qinq: 4,
  'ipv4-options': 2,
  'ipv6-extension': 2,
}
const IPV4 = 0x0800
const IPV6 = 0x86dd
const TAG = 0x8100

/** A packet of a shape that the mix names. */
function shaped(next, shape) {
  const tag = [TAG, next() & 0xefff]
  const ports = () => udp(next, oneOf(next, [18, 32, 64, 120, 512, 700, 900]))
  const segment = () => tcp(next, oneOf(next, [0, 12, 12, 20]), oneOf(next, [18, 32, 64, 120, 512, 700, 900]))
  const shapes = {
    'ipv4-udp': () => ethernet([], IPV4, ipv4(next, 0, 0x4000, 17, ports())),
    'ipv4-tcp': () => ethernet([], IPV4, ipv4(next, 0, 0x4000, 6, segment())),
    'vlan-ipv4-udp': () => ethernet([tag], IPV4, ipv4(next, 0, 0, 17, ports())),
    'vlan-ipv4-tcp': () => ethernet([tag], IPV4, ipv4(next, 0, 0x4000, 6, segment())),
    'ipv6-udp': () => ethernet([], IPV6, ipv6(next, 17, ports())),
    'ipv6-tcp': () => ethernet([], IPV6, ipv6(next, 6, segment())),
    'vlan-ipv6-tcp': () => ethernet([tag], IPV6, ipv6(next, 6, segment())),
    icmp: () => ethernet([], IPV4, ipv4(next, 0, 0, 1, icmp(next))),
    icmpv6: () => ethernet([], IPV6, ipv6(next, 58, icmp(next))),
    arp: () => ethernet([], 0x0806, bytes(next, 46)),
    'ipv4-fragment': () => ethernet([], IPV4, ipv4(next, 0, 0x00b9, 17, ports())),
    qinq: () =>
      ethernet(
        [
          [0x88a8, tag[1]],
          [TAG, 7],
        ],
        IPV4,
        ipv4(next, 0, 0, 17, ports()),
      ),
    'ipv4-options': () => ethernet([], IPV4, ipv4(next, 4, 0, 17, ports())),
    'ipv6-extension': () => ethernet([], IPV6, ipv6(next, 60, [17, 0, ...bytes(next, 6), ...ports()])),
  }
  return shapes[shape]()
}

function shuffle(next, items) {
  for (let at = items.length - 1; at > 0; at--) {
    const other = next() % (at + 1)
    const item = items[at]
    items[at] = items[other]
    items[other] = item
  }
  return items
}

/** `count` packets of the mix, shuffled. */
export function mixedPackets(count, seed) {
  const next = random(seed)
  const shapes = Object.entries(MIX).flatMap(([shape, share]) => Array(share).fill(shape))
  const packets = Array.from({ length: count }, (_, i) =>
    shaped(next, shapes[Math.floor((i * shapes.length) / count)]),
  )
  return shuffle(next, packets)
}

/** `count` frames of all types, every value allowed. */
export function mixedFrames(count, seed) {
  const next = random(seed)
  return Array.from({ length: count }, () => {
    const payload = oneOf(next, [0, 16, 64, 200, 512, 900])
    const stream = oneOf(next, [0, 16 + (next() % 65_520)])
    const head = [1 + (next() % 15), next() & 31, ...be16(stream), ...bytes(next, 4)]
    return Uint8Array.from([
      ...[...bytes(next, 8), ...head, 0, 0, ...bytes(next, 6), ...be16(payload), 0, 0],
      ...bytes(next, payload),
    ])
  })
}

/** Lays rows into slots of 2048 bytes, as a pool does, in a shuffled order, headers staggered over the cache's sets. */
export function laidOut(rows, seed) {
  const SLOT = 2048
  const order = shuffle(random(seed), [...rows.keys()])
  const memory = new Uint8Array(rows.length * SLOT)
  const offsets = new Uint32Array(rows.length)
  const lengths = new Uint32Array(rows.length)
  for (const [row, packet] of rows.entries()) {
    offsets[row] = order[row] * SLOT + (order[row] % 16) * 64
    lengths[row] = packet.length
    memory.set(packet, offsets[row])
  }
  return { bytes: memory, offsets, lengths }
}

/** The same rows in another order. */
export function reordered({ offsets, lengths }, seed) {
  const order = shuffle(random(seed), [...offsets.keys()])
  return {
    offsets: Uint32Array.from(order, (row) => offsets[row]),
    lengths: Uint32Array.from(order, (row) => lengths[row]),
  }
}
