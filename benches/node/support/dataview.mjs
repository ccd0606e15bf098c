// Frames and packets parsed as one writes it in plain JavaScript: a DataView over the memory, a loop over the rows, the same checks in
// the same order, the same columns. It is what the benchmarks compare with, and the tests' second opinion.

/** Every column of a row is 0 but its status. */
function refuse(columns, names, row, status) {
  for (const name of names) columns[name][row] = 0
  columns.statuses[row] = status
}

export const FRAME_COLUMNS = [
  'types',
  'flags',
  'streams',
  'sequences',
  'offsets',
  'payloadOffsets',
  'payloadLengths',
  'statuses',
]
const PLAIN_FRAME_COLUMNS = FRAME_COLUMNS.filter((name) => name !== 'offsets')
const MAX_OFFSET = 2 ** 48

/** The column of offsets as words, which makes no BigInt. */
export const wordsOf = ({ offsets, capacity }) =>
  new Uint32Array(offsets.buffer, offsets.byteOffset, 2 * capacity)

/** Frames of the WRAITH protocol; how many are good. The offset within the stream is written as two words. */
export function frames(view, offsets, lengths, columns) {
  const words = wordsOf(columns)
  let good = 0
  for (let row = 0; row < offsets.length; row++) {
    const status = frame(view, offsets[row], lengths[row], columns, words, row)
    if (status === 0) good++
    else {
      refuse(columns, PLAIN_FRAME_COLUMNS, row, status)
      words[2 * row] = words[2 * row + 1] = 0
    }
  }
  return good
}

/** One frame into a row of the columns; its status. */
export function frame(view, start, length, columns, words, row) {
  if (start + length > view.byteLength) return 1
  if (length < 28) return 2
  if (length > 9000) return 3
  const type = view.getUint8(start + 8)
  if (type === 0 || type > 15) return type > 0x1f ? 5 : 4
  const stream = view.getUint16(start + 10)
  if (stream !== 0 && stream < 16) return 6
  const high = view.getUint32(start + 16)
  const low = view.getUint32(start + 20)
  if (high * 2 ** 32 + low > MAX_OFFSET) return 7
  const payload = view.getUint16(start + 24)
  if (payload > 8944) return 8
  if (28 + payload > length) return 9
  columns.types[row] = type
  columns.flags[row] = view.getUint8(start + 9)
  columns.streams[row] = stream
  columns.sequences[row] = view.getUint32(start + 12)
  words[2 * row] = low
  words[2 * row + 1] = high
  columns.payloadOffsets[row] = start + 28
  columns.payloadLengths[row] = payload
  columns.statuses[row] = 0
  return 0
}

export const PACKET_COLUMNS = [
  'statuses',
  'flags',
  'protocols',
  'etherTypes',
  'vlans',
  'innerVlans',
  'l3Offsets',
  'l4Offsets',
  'sourcePorts',
  'destinationPorts',
  'sources',
  'destinations',
  'payloadOffsets',
  'payloadLengths',
  'hashes',
]

/** Packets that begin with an Ethernet header; how many were read. */
export function packets(view, offsets, lengths, columns) {
  let good = 0
  for (let row = 0; row < offsets.length; row++) {
    const status = packet(view, offsets[row], lengths[row], columns, row)
    if (status <= NOT_IP) good++
    else refuse(columns, PACKET_COLUMNS, row, status)
  }
  return good
}

const NOT_IP = 1
const isTag = (etherType) => etherType === 0x8100 || etherType === 0x88a8 || etherType === 0x9100

/** One packet into a row of the columns; its status. */
export function packet(view, start, length, columns, row) {
  if (start + length > view.byteLength) return 2
  if (length < 14) return 3
  let l3 = 14
  let etherType = view.getUint16(start + 12)
  let flags = 0
  let vlan = 0
  let inner = 0
  while (isTag(etherType)) {
    if ((flags & 8) !== 0) return 5
    if (length - l3 < 4) return 4
    const tag = view.getUint16(start + l3)
    if (flags === 0) vlan = tag
    else inner = tag
    flags = flags === 0 ? 4 : 12
    etherType = view.getUint16(start + l3 + 2)
    l3 += 4
  }
  const ip = start + l3
  const present = length - l3
  if (etherType === 0x0800 || etherType === 0x86dd) {
    const status =
      etherType === 0x0800
        ? ipv4(view, start, ip, present, flags, columns, row)
        : ipv6(view, start, ip, present, flags, columns, row)
    if (status !== 0) return status
  } else {
    let payload = present
    if (etherType < 0x600) {
      if (etherType > 1500 || etherType > present) return 6
      payload = etherType
    }
    refuse(columns, PACKET_COLUMNS, row, NOT_IP)
    columns.flags[row] = flags
    columns.payloadOffsets[row] = ip
    columns.payloadLengths[row] = payload
  }
  columns.etherTypes[row] = etherType
  columns.vlans[row] = vlan
  columns.innerVlans[row] = inner
  columns.l3Offsets[row] = l3
  return columns.statuses[row]
}

const WHOLE = 0
const FIRST = 16
const LATER = 48

function ipv4(view, start, ip, present, flags, columns, row) {
  if (present < 20) return 7
  const first = view.getUint8(ip)
  if (first >> 4 !== 4) return 8
  const header = (first & 15) * 4
  if (header < 20) return 9
  if (header > present) return 10
  const total = view.getUint16(ip + 2)
  if (total < header) return 11
  if (total > present) return 12
  const field = view.getUint16(ip + 6)
  const more = (field & 0x2000) !== 0
  const offset = (field & 0x1fff) * 8
  const carried = total - header
  let fragment = WHOLE
  if (more || offset > 0) {
    if (carried === 0 || (more && carried % 8 !== 0) || total + offset > 65535) return 13
    fragment = offset === 0 ? FIRST : LATER
  }
  const protocol = view.getUint8(ip + 9)
  const source = view.getUint32(ip + 12)
  const destination = view.getUint32(ip + 16)
  const bits = flags | 1 | (header > 20 ? 64 : 0)
  const l4 = ip + header
  const status = transport(
    view,
    l4,
    carried,
    protocol,
    protocol,
    source,
    destination,
    bits | fragment,
    columns,
    row,
  )
  if (status !== 0) return status
  columns.sources[row] = source
  columns.destinations[row] = destination
  columns.l4Offsets[row] = l4 - start
  return 0
}

/** Extension headers with a next header and a length. */
const EXTENSIONS = new Set([0, 43, 44, 51, 60, 135, 139, 140])

function ipv6(view, start, ip, present, flags, columns, row) {
  if (present < 40) return 14
  if (view.getUint8(ip) >> 4 !== 6) return 15
  const payload = view.getUint16(ip + 4)
  if (payload > present - 40) return 16
  const first = ip + 40
  const end = first + payload
  let at = first
  let next = view.getUint8(ip + 6)
  let fragment = WHOLE
  let fragmentNext = -1
  let fragmentSeen = false
  let count = 0
  while (fragment !== LATER && EXTENSIONS.has(next)) {
    const rest = end - at
    if (count === 8) return 19
    if ((next === 0 && count > 0) || (next === 44 && fragmentSeen)) return 18
    if (rest < 8) return 17
    count++
    if (next === 44) {
      fragmentSeen = true
      next = view.getUint8(at)
      const field = view.getUint16(at + 2)
      at += 8
      const more = (field & 1) !== 0
      const offset = field & 0xfff8
      if (!more && offset === 0) continue
      const carried = end - at
      if (carried === 0 || (more && carried % 8 !== 0) || at - 8 - first + offset + carried > 65535) return 20
      fragment = offset === 0 ? FIRST : LATER
      fragmentNext = next
    } else {
      const units = view.getUint8(at + 1)
      const length = next === 51 ? (units + 2) * 4 : (units + 1) * 8
      if (next === 51 && length < 12) return 18
      if (rest < length) return 17
      next = view.getUint8(at)
      at += length
    }
  }
  const bits = flags | 2 | (at > first ? 64 : 0) | fragment
  const source = fold(view, ip + 8)
  const destination = fold(view, ip + 24)
  const hashed = fragmentNext >= 0 ? fragmentNext : next
  const status = transport(view, at, end - at, next, hashed, source, destination, bits, columns, row)
  if (status !== 0) return status
  columns.sources[row] = 0
  columns.destinations[row] = 0
  columns.l4Offsets[row] = at - start
  return 0
}

function transport(view, at, length, protocol, hashed, source, destination, flags, columns, row) {
  let header = 0
  let end = length
  let sourcePort = 0
  let destinationPort = 0
  if ((flags & LATER) !== LATER) {
    if (protocol === 17) {
      if (length < 8) return 21
      const stated = view.getUint16(at + 4)
      if (stated < 8) return 22
      if (stated > length && (flags & FIRST) === 0) return 23
      header = 8
      end = Math.min(stated, length)
    } else if (protocol === 6) {
      if (length < 20) return 24
      header = (view.getUint8(at + 12) >> 4) * 4
      if (header < 20) return 25
      if (header > length) return 26
    } else if (protocol === ((flags & 2) !== 0 ? 58 : 1)) {
      if (length < 8) return 27
      header = 8
    }
    if (protocol === 17 || protocol === 6) {
      sourcePort = view.getUint16(at)
      destinationPort = view.getUint16(at + 2)
    }
  }
  const whole = (flags & FIRST) === 0
  columns.statuses[row] = 0
  columns.flags[row] = flags
  columns.protocols[row] = protocol
  columns.sourcePorts[row] = sourcePort
  columns.destinationPorts[row] = destinationPort
  columns.payloadOffsets[row] = at + header
  columns.payloadLengths[row] = end - header
  columns.hashes[row] = whole
    ? hash(source, destination, sourcePort, destinationPort, hashed)
    : hash(source, destination, 0, 0, hashed)
  return 0
}

function endpoint(address, port) {
  const mixed = Math.imul(address ^ (port << 16), 0x85eb_ca6b)
  return mixed ^ (mixed >>> 15)
}

function hash(source, destination, sourcePort, destinationPort, protocol) {
  const sum = (endpoint(source, sourcePort) + endpoint(destination, destinationPort)) | 0
  const mixed = Math.imul(sum ^ protocol, 0xc2b2_ae35)
  return mixed ^ (mixed >>> 16)
}

const FOLD_LOW = 0x7f4a_7c15
const FOLD_HIGH = 0x9e37_79b9

/** An IPv6 address as one word: the upper half of a product of 64 bits, in numbers of 32. */
function fold(view, at) {
  const low = view.getUint32(at, true) ^ view.getUint32(at + 12, true)
  const high = view.getUint32(at + 4, true) ^ view.getUint32(at + 8, true)
  const a = low & 0xffff
  const b = low >>> 16
  const c = FOLD_LOW & 0xffff
  const d = FOLD_LOW >>> 16
  const middle = a * d + Math.floor((a * c) / 0x1_0000)
  const carry = Math.floor((b * c + (middle % 0x1_0000)) / 0x1_0000)
  const upper = b * d + Math.floor(middle / 0x1_0000) + carry
  return (upper + Math.imul(low, FOLD_HIGH) + Math.imul(high, FOLD_LOW)) | 0
}
