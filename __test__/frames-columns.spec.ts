import { readFileSync } from 'node:fs'
import { SocketAddress } from 'node:net'
import { describe, expect, test } from 'vitest'
import {
  buildFrame,
  EtherType,
  FrameColumns,
  FrameStatus,
  FrameType,
  frameStatusNames,
  IpProtocol,
  PacketFlag,
  PacketStatus,
  packetStatusNames,
  parseFrames,
  parsePackets,
} from 'wraith-transport'

import {
  ethernet,
  icmp,
  ipv4,
  ipv6,
  mixedFrames,
  mixedPackets,
  random,
  tcp,
  udp,
} from '../benches/node/support/traffic.mjs'
import { expectAgreement, framesOf, packetsOf, places } from './support/frames.ts'

const DATA = FrameType.Data
/** A frame with some header bytes replaced. */
function frame(changes: Record<number, number> = {}, payload = 4): Uint8Array {
  const bytes = Uint8Array.from(buildFrame({ type: DATA, stream: 16, payload: new Uint8Array(payload) }))
  for (const [at, value] of Object.entries(changes)) bytes[Number(at)] = value
  return bytes
}

/** Some bytes of some rows replaced, and some rows cut short. */
function mutated(rows: Uint8Array[], seed: number, within: number): Uint8Array[] {
  const next = random(seed)
  return rows.map((row) => {
    const copy = Uint8Array.from(row)
    for (let change = next() % 3; change > 0; change--)
      copy[next() % Math.min(within, copy.length)] = next() & 255
    return next() % 4 === 0 ? copy.subarray(0, next() % (copy.length + 1)) : copy
  })
}

describe('frames', () => {
  test('of all types are read into every column by every backend, more than native holds at a time', () => {
    const parsed = framesOf(places(mixedFrames(2500, 1), 3))
    expectAgreement(parsed, expect)
    expect(parsed.plainOk).toBe(2500)
    expect(new Set(parsed.plain['types']).size).toBe(15)
  })

  test.each(Array.from({ length: 24 }, (_, seed) => seed))('mutated, seed %i', (seed) => {
    const rows = mutated(mixedFrames(200, seed), seed, 28)
    expectAgreement(framesOf(places(rows, seed % 7)), expect)
  })

  const broken: Record<string, Uint8Array> = {
    ok: frame(),
    truncated: frame().subarray(0, 27),
    'too-long': new Uint8Array(9001).fill(1),
    'reserved-type': frame({ 8: 0x10 }),
    'invalid-type': frame({ 8: 0x20 }),
    'reserved-stream': frame({ 10: 0, 11: 15 }),
    'offset-too-large': frame({ 17: 1, 23: 1 }),
    'payload-too-long': frame({ 24: 0xff }),
    'payload-truncated': frame({ 25: 5 }),
  }

  test('that do not hold have a status, zeros everywhere else, and an explanation', () => {
    const { bytes, offsets, lengths } = places(Object.values(broken), 1)
    const names = [...Object.keys(broken), 'out-of-bounds']
    const starts = Uint32Array.of(...offsets, bytes.length)
    const sizes = Uint32Array.of(...lengths, 1)
    expectAgreement(framesOf({ bytes, offsets: starts, lengths: sizes }), expect)
    const columns = parseFrames(bytes, starts, sizes)
    expect(Array.from(columns.statuses, (status) => frameStatusNames[status])).toEqual(names)
    expect(names.sort()).toEqual([...frameStatusNames].sort())
    for (const [row, status] of columns.statuses.entries()) {
      const problem = columns.explain(row)
      expect(problem?.status).toBe(status === FrameStatus.Ok ? undefined : frameStatusNames[status])
      if (problem !== undefined) expect(problem.message).toContain(problem.field)
    }
    expect(columns.explain(2)).toMatchObject({ field: 'frame', needed: 9000, present: 9001 })
    expect(columns.explain(7)).toMatchObject({ field: 'payload length', offset: 24, present: 0xff04 })
  })

  test('offsets within the stream are exact as numbers', () => {
    const offsets = [0, 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, 2 ** 48 - 1, 2 ** 48]
    const rows = offsets.map((offset) => buildFrame({ type: DATA, offset }))
    const { bytes, offsets: starts, lengths } = places(rows)
    const columns = parseFrames(bytes, starts, lengths)
    expect(offsets.map((_, i) => columns.offset(i))).toEqual(offsets)
    expect([...columns.offsets]).toEqual(offsets.map(BigInt))
  })

  test('no rows at all, and rows that end where the memory ends', () => {
    const none = parseFrames(new Uint8Array(0), new Uint32Array(0), new Uint32Array(0))
    expect([none.length, none.ok, none.capacity]).toEqual([0, 0, 1])
    for (let payload = 0; payload < 40; payload++)
      expectAgreement(framesOf(places([frame({}, payload)])), expect)
  })

  test('columns are used again: rows beyond the last parse keep what they held', () => {
    const columns = new FrameColumns(4)
    const { bytes, offsets, lengths } = places([frame(), frame(), frame()])
    expect(parseFrames(bytes, offsets, lengths, columns)).toBe(columns)
    parseFrames(bytes, offsets.subarray(0, 1), Uint32Array.of(1), columns)
    expect([columns.length, columns.ok]).toEqual([1, 0])
    expect([...columns.types]).toEqual([0, DATA, DATA, 0])
  })

  test('a view in the middle of its memory: payloads count from its own first byte', () => {
    const whole = Uint8Array.of(9, 9, 9, ...frame())
    const columns = parseFrames(whole.subarray(3), Uint32Array.of(0), Uint32Array.of(32))
    expect([columns.ok, columns.payloadOffsets[0]]).toEqual([1, 28])
  })
})

describe('packets', () => {
  test('of the realistic mix are read into every column by every backend', () => {
    const parsed = packetsOf(places(mixedPackets(2500, 1), 5))
    expectAgreement(parsed, expect)
    expect(parsed.plainOk).toBe(2500)
  })

  test.each(Array.from({ length: 24 }, (_, seed) => seed))('mutated, seed %i', (seed) => {
    const rows = mutated(mixedPackets(200, seed), seed, 64)
    expectAgreement(packetsOf(places(rows, seed % 7)), expect)
  })

  /** One packet for each status, in the order of the numbers. */
  function eachStatus(): Uint8Array[] {
    const next = random(3)
    const eth4 = (payload: readonly number[]) => ethernet([], EtherType.Ipv4, payload)
    const eth6 = (payload: readonly number[]) => ethernet([], EtherType.Ipv6, payload)
    const four = (changes: Record<number, number>, options = 0, payload = udp(next, 8)) => {
      const packet = ipv4(next, options, 0, IpProtocol.Udp, payload)
      for (const [at, value] of Object.entries(changes)) packet[Number(at)] = value
      return eth4(packet)
    }
    const six = (changes: Record<number, number>, first = 17, payload = udp(next, 8)) => {
      const packet = ipv6(next, first, payload)
      for (const [at, value] of Object.entries(changes)) packet[Number(at)] = value
      return eth6(packet)
    }
    const tag: [number, number] = [EtherType.Vlan, 5]
    const destination = (after: number) => [after, 0, 0, 0, 0, 0, 0, 0]
    const nine = Array.from({ length: 9 }, (_, i) => destination(i === 8 ? 17 : 60)).flat()
    const short = (protocol: number, bytes: number[]) => eth4(ipv4(next, 0, 0, protocol, bytes))
    const badUdp = [1, 2, 3, 4, 0, 7, 0, 0]
    const longUdp = [1, 2, 3, 4, 0, 9, 0, 0]
    const badTcp = (offset: number) => tcp(next, 0, 0).map((byte, at) => (at === 12 ? offset : byte))
    return [
      four({}),
      ethernet([], EtherType.Arp, [1, 2, 3]),
      new Uint8Array(0),
      new Uint8Array(13),
      ethernet([], EtherType.Vlan, [0, 1]),
      ethernet([tag, tag, tag], EtherType.Ipv4, []),
      ethernet([], 1501, []),
      eth4(Array(19).fill(0x45)),
      four({ 0: 0x65 }),
      four({ 0: 0x44 }),
      four({ 0: 0x4f }),
      four({ 3: 19 }),
      four({ 3: 250 }),
      four({ 6: 0x3f, 7: 0xff }),
      eth6(Array(39).fill(0x60)),
      six({ 0: 0x45 }),
      six({ 5: 250 }),
      six({}, 60, [17, 4, 0, 0, 0, 0, 0, 0]),
      six({}, 60, [...destination(0), ...destination(17)]),
      six({}, 60, nine),
      six({}, 44, [17, 0, 0, 1, 0, 0, 0, 1, 9]),
      short(17, [1, 2, 3]),
      short(17, badUdp),
      short(17, longUdp),
      short(6, Array(19).fill(0)),
      short(6, badTcp(0x40)),
      short(6, badTcp(0xf0)),
      short(1, [8, 0, 0]),
    ]
  }

  test('each status is reached, by each backend, and explained', () => {
    const { bytes, offsets, lengths } = places(eachStatus())
    // The one that does not lie in the memory.
    offsets[PacketStatus.OutOfBounds] = bytes.length
    lengths[PacketStatus.OutOfBounds] = 1
    expectAgreement(packetsOf({ bytes, offsets, lengths }), expect)
    const columns = parsePackets(bytes, offsets, lengths)
    expect(Array.from(columns.statuses, (status) => packetStatusNames[status])).toEqual([
      ...packetStatusNames,
    ])
    expect(columns.ok).toBe(2)
    for (const [row, status] of columns.statuses.entries()) {
      const problem = columns.explain(row)
      if (status <= PacketStatus.NotIp) expect(problem).toBeUndefined()
      else expect(problem).toMatchObject({ status: packetStatusNames[status], layer: expect.any(String) })
    }
    expect(columns.explain(PacketStatus.TruncatedIpv4Payload)).toEqual({
      status: 'truncated-ipv4-payload',
      layer: 'IPv4',
      field: 'total length',
      offset: 16,
      needed: 250,
      present: 36,
      claimedBy: 'the IPv4 total length',
      limitedBy: 'the descriptor',
      message: expect.stringContaining('the IPv4 total length asks for 250, the descriptor gives 36'),
    })
  })

  test('both directions of a flow have the same hash, and so have all fragments of a datagram', () => {
    const next = random(9)
    const there = ethernet([], EtherType.Ipv4, ipv4(next, 0, 0, 17, udp(next, 8)))
    const back = Uint8Array.from(there)
    back.set(there.subarray(26, 30), 30)
    back.set(there.subarray(30, 34), 26)
    back.set(there.subarray(34, 36), 36)
    back.set(there.subarray(36, 38), 34)
    const [first, later] = [Uint8Array.from(there), Uint8Array.from(there)]
    first[20] = 0x20
    later[21] = 2
    const { bytes, offsets, lengths } = places([there, back, first, later])
    const { hashes, flags } = parsePackets(bytes, offsets, lengths)
    expect(hashes[1]).toBe(hashes[0])
    expect(hashes[3]).toBe(hashes[2])
    expect(hashes[2]).not.toBe(hashes[0])
    expect((flags[3] as number) & PacketFlag.LaterFragment).toBe(PacketFlag.LaterFragment)
  })

  test('addresses as text, as the platform writes them', () => {
    const next = random(4)
    const six = [
      '2001:db8::1',
      '::',
      '::1',
      '1::',
      '1:0:0:2::3',
      '1:0:2:0:3:0:4:0',
      '0:1:2:3:4:5:6:7',
      'fe80::a:b:c:d',
      '1:2:3:4:5:6:7:8',
    ]
    const rows = six.map((address) => {
      const packet = ipv6(next, 58, icmp(next))
      packet.splice(8, 16, ...groups(address))
      packet.splice(24, 16, ...groups('ff02::1'))
      return ethernet([[EtherType.Vlan, 9]], EtherType.Ipv6, packet)
    })
    const four = ethernet([], EtherType.Ipv4, ipv4(next, 0, 0, 1, icmp(next)))
    four.set([255, 0, 127, 1], 26)
    const { bytes, offsets, lengths } = places([...rows, four, ethernet([], EtherType.Arp, [1])], 1)
    const columns = parsePackets(bytes, offsets, lengths)
    for (const [row, address] of six.entries()) {
      expect(columns.sourceAddress(row)).toBe(new SocketAddress({ address, family: 'ipv6' }).address)
      expect(columns.destinationAddress(row)).toBe('ff02::1')
    }
    expect(columns.sourceAddress(six.length)).toBe('255.0.127.1')
    expect(columns.sourceAddress(six.length + 1)).toBeUndefined()
    // Whatever is scribbled there, nothing outside of the packet is read.
    columns.l3Offsets[0] = 60_000
    expect(columns.sourceAddress(0)).toBeUndefined()
  })
})

/** The bytes of an IPv6 address as text. */
function groups(address: string): number[] {
  const [head = '', tail] = address.split('::')
  const words = (text: string) =>
    text === '' ? [] : text.split(':').map((group) => Number.parseInt(group, 16))
  const [before, after] = [words(head), words(tail ?? '')]
  const all = [...before, ...Array(8 - before.length - after.length).fill(0), ...after] as number[]
  return all.flatMap((word) => [word >> 8, word & 255])
}

test('packets of a real stack: every address, port and protocol is what tshark says', () => {
  const capture = new URL('../crates/wraith-core/tests/packets/capture/', import.meta.url)
  const { bytes, offsets, lengths } = records(readFileSync(new URL('packets.pcap', capture)))
  const [header = '', ...lines] = readFileSync(new URL('fields.tsv', capture), 'utf8').trimEnd().split('\n')
  const names = header.split('\t')
  const columns = parsePackets(bytes, offsets, lengths)
  expectAgreement(packetsOf({ bytes, offsets, lengths }), expect)
  expect(lines).toHaveLength(columns.length)
  expect(columns.ok).toBe(columns.length)
  for (const [row, line] of lines.entries()) {
    const cells = line.split('\t')
    const field = (name: string) => cells[names.indexOf(name)] || undefined
    const source = field('ip.src') ?? field('ipv6.src')
    const destination = field('ip.dst') ?? field('ipv6.dst')
    expect([columns.sourceAddress(row), columns.destinationAddress(row)]).toEqual([source, destination])
    expect(columns.statuses[row]).toBe(source === undefined ? PacketStatus.NotIp : PacketStatus.Ok)
    // What a fragment carries tshark shows on the reassembled packet; in an ICMP error it goes on to the packet that is quoted.
    const isIcmp = field('icmp.type') !== undefined || field('icmpv6.type') !== undefined
    if (isIcmp || ((columns.flags[row] as number) & PacketFlag.Fragment) !== 0) continue
    const port = field('udp.srcport') ?? field('tcp.srcport') ?? '0'
    expect(columns.sourcePorts[row]).toBe(Number(port))
    expect(columns.protocols[row] === IpProtocol.Tcp).toBe(field('tcp.srcport') !== undefined)
  }
})

/** Where the packets of a classic capture file lie in it. */
function records(file: Buffer): { bytes: Uint8Array; offsets: Uint32Array; lengths: Uint32Array } {
  const [offsets, lengths]: [number[], number[]] = [[], []]
  for (let at = 24; at < file.length; ) {
    const length = file.readUInt32LE(at + 8)
    offsets.push(at + 16)
    lengths.push(length)
    at += 16 + length
  }
  return { bytes: file, offsets: Uint32Array.from(offsets), lengths: Uint32Array.from(lengths) }
}
