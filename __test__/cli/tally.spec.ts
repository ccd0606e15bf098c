import { expect, test } from 'vitest'
import { Clock } from '../../ts/cli/demo/clock.ts'
import {
  DATA,
  EQUAL_BYTES,
  encodeAll,
  encodeEnd,
  expectedTotals,
  HEADER_BYTES,
  type Lengths,
  PAYLOADS,
  payloadCounts,
  readSentNs,
  readSequence,
  runOf,
  stamp,
} from '../../ts/cli/demo/datagrams.ts'
import { Tally, type Work } from '../../ts/cli/demo/tally.ts'

const payloads = { mixed: encodeAll('mixed'), equal: encodeAll('equal') }

function datagram(generation: number, sequence: number, sentNs = 0, lengths: Lengths = 'mixed'): Uint8Array {
  const bytes = Uint8Array.from(payloads[lengths][sequence % PAYLOADS] as Uint8Array)
  stamp(bytes, generation, DATA, sequence, sentNs)
  return bytes
}

function tally(work: Work, latencyEvery = 1) {
  const events: string[] = []
  const made = new Tally({
    work,
    clock: new Clock(process.hrtime.bigint()),
    maxPackets: 4096,
    latencyEvery,
    onBegin: () => events.push('begin'),
    onEnd: () => events.push('end'),
  })
  return { tally: made, events }
}

test.each([
  [0, 0],
  [1, 1],
  [0x8000_0001, 0xffff_ffff],
  [0xffff_ffff, 0xffff_ffff_ffff],
  [123_456, 86_400_000_000_000],
])('a header keeps sequence %d and time %d', (sequence, sentNs) => {
  const bytes = new Uint8Array(HEADER_BYTES)
  stamp(bytes, 1, DATA, sequence, sentNs)
  expect(readSequence(bytes)).toBe(sequence)
  expect(readSentNs(bytes)).toBe(sentNs)
})

test.each(['mixed', 'equal'] as const)(
  'packets of %s lengths add up to what their numbers must contain',
  (lengths) => {
    const { tally: counted } = tally('parse')
    for (let sequence = 0; sequence < 1000; sequence++) counted.datagram(datagram(1, sequence, 0, lengths))
    const read = counted.read()
    expect(read.totals).toEqual(expectedTotals(payloadCounts(1000), lengths))
    expect(read.totals).toEqual(expectedTotals(read.payloads, lengths))
    expect(read.totals.statsd.malformed).toBe(0)
    expect(read.sequenceSum).toBe((1000 * 999) / 2)
    expect(read).toMatchObject({ duplicates: 0, strays: 0, ends: 0 })
  },
)

test('missing packets are missing from the totals', () => {
  const missing = [0, 7, 255, 256, 999]
  const { tally: counted } = tally('parse')
  for (let sequence = 0; sequence < 1000; sequence++) {
    if (!missing.includes(sequence)) counted.datagram(datagram(1, sequence))
  }
  const read = counted.read()
  expect(read.totals.packets).toBe(995)
  expect(read.totals).toEqual(expectedTotals(read.payloads, 'mixed'))
  expect(read.totals).toEqual(expectedTotals(payloadCounts(1000, missing), 'mixed'))
})

test('a changed byte shows in the totals', () => {
  const { tally: counted } = tally('parse')
  const bytes = datagram(1, 3)
  bytes[HEADER_BYTES] = 0x7a
  counted.datagram(bytes)
  const read = counted.read()
  expect(read.totals).not.toEqual(expectedTotals(read.payloads, 'mixed'))
})

test('a packet that comes twice is a duplicate', () => {
  const { tally: counted } = tally('count')
  counted.datagram(datagram(1, 5))
  counted.datagram(datagram(1, 5))
  expect(counted.read().duplicates).toBe(1)
})

test('strangers, runts and packets of an older generation are strays and change no total', () => {
  const { tally: counted } = tally('count')
  counted.datagram(datagram(1, 0))
  const before = counted.read().totals
  counted.datagram(new Uint8Array(3))
  counted.datagram(new Uint8Array(64))
  counted.datagram(datagram(0, 1))
  counted.datagram(datagram(1, 1 << 20))
  const read = counted.read()
  expect(read.strays).toBe(4)
  expect(read.totals).toEqual(before)
})

test('a generation begins with its first packet, from nothing, and ends with its mark', () => {
  const { tally: counted, events } = tally('parse')
  counted.datagram(datagram(0, 0))
  counted.datagram(encodeEnd(0))
  expect(events).toEqual(['end'])
  counted.datagram(datagram(1, 0))
  counted.datagram(encodeEnd(1))
  counted.datagram(encodeEnd(1))
  expect(events).toEqual(['end', 'begin', 'end', 'end'])
  expect(counted.packets).toBe(1)
  expect(counted.ends).toBe(2)
})

test('a generation of which nothing but the mark arrives is empty', () => {
  const { tally: counted, events } = tally('count')
  counted.datagram(datagram(0, 0))
  counted.datagram(encodeEnd(1))
  expect(events).toEqual(['begin', 'end'])
  expect(counted.read().totals.packets).toBe(0)
})

test('latency is taken from about one packet in as many as asked for, at every place of a burst', () => {
  const sampled = (places: (sequence: number) => boolean): number => {
    const { tally: counted } = tally('count', 8)
    for (let sequence = 0; sequence < 4096; sequence++) {
      if (places(sequence)) counted.datagram(datagram(1, sequence))
    }
    return counted.read().latenciesNs.length
  }
  expect(Math.abs(sampled(() => true) - 512)).toBeLessThan(16)
  for (let place = 0; place < 32; place++) {
    expect(Math.abs(sampled((sequence) => sequence % 32 === place) - 16)).toBeLessThan(8)
  }
})

test('datagrams of equal lengths differ in their lines, and a run of them is their bytes one after the other', () => {
  expect(new Set(payloads.equal.map((each) => each.length))).toEqual(new Set([EQUAL_BYTES]))
  const texts = payloads.equal.map((each) => Buffer.from(each.subarray(HEADER_BYTES)).toString('latin1'))
  expect(new Set(texts).size).toBe(PAYLOADS)
  const run = runOf(payloads.equal, 224, 32)
  expect(Buffer.from(run)).toEqual(Buffer.concat(payloads.equal.slice(224)))
  stamp(payloads.equal[225] as Uint8Array, 1, DATA, 77, 0)
  expect(readSequence(run.subarray(EQUAL_BYTES))).toBe(77)
})
