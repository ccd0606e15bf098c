import { describe, expect, test } from 'vitest'
import {
  type Batch,
  buildFrame,
  FrameColumns,
  FrameStatus,
  FrameType,
  PacketColumns,
  PacketStatus,
  parseFrames,
  parsePackets,
  type UdpSocket,
} from 'wraith-transport'

import { mixedFrames, mixedPackets } from '../benches/node/support/traffic.mjs'
import { frameTable, packetTable, places } from './support/frames.ts'
import { bind, deliver, dgram, failsWith } from './support/udp.ts'

const stale = failsWith('WRAITH_ERR_STALE_BATCH')
const ping = buildFrame({ type: FrameType.Ping, sequence: 7, payload: Buffer.from('payload') })

/** A socket with a batch of these packets out. */
async function received(
  packets: readonly Uint8Array[],
  options = {},
): Promise<{ socket: UdpSocket; batch: Batch }> {
  const socket = await bind({ batchSize: 256, ...options })
  await deliver(await dgram(), socket.address(), ...packets)
  return { socket, batch: socket.tryReceive()! }
}

describe('a batch as received', () => {
  test('of frames is parsed into the columns that its bytes give', async () => {
    const rows = mixedFrames(60, 3)
    const { batch } = await received(rows)
    const columns = parseFrames(batch, new FrameColumns(64))
    const { bytes, offsets, lengths } = places(rows)
    const expected = frameTable(parseFrames(bytes, offsets, lengths))
    expect(columns.ok).toBe(60)
    const { payloadOffsets, ...table } = frameTable(columns)
    const { payloadOffsets: plain = [], ...others } = expected
    expect(table).toEqual(others)
    // Payloads count from the start of `view`, and from the start of each packet alike.
    const { view } = batch
    for (const [row, start] of payloadOffsets!.entries()) {
      const payload = Buffer.from(view.buffer, Number(start), columns.payloadLengths[row])
      expect(payload.equals(rows[row]!.subarray(28))).toBe(true)
      expect(Number(start) - batch.offsets[row]!).toBe(Number(plain[row]) - offsets[row]!)
    }
  })

  test('of packets likewise, with addresses', async () => {
    const rows = mixedPackets(60, 3)
    const { batch } = await received(rows)
    const columns = parsePackets(batch, new PacketColumns(64))
    const { bytes, offsets, lengths } = places(rows)
    const expected = parsePackets(bytes, offsets, lengths)
    const { payloadOffsets, ...table } = packetTable(columns)
    const { payloadOffsets: _, ...others } = packetTable(expected)
    expect(table).toEqual(others)
    expect(columns.ok).toBe(60)
    for (let row = 0; row < 60; row++) {
      expect(columns.sourceAddress(row)).toBe(expected.sourceAddress(row))
      expect(columns.destinationAddress(row)).toBe(expected.destinationAddress(row))
      const start = columns.payloadOffsets[row]! - batch.offsets[row]!
      expect(start).toBe(expected.payloadOffsets[row]! - offsets[row]!)
    }
  })

  test('gives new columns when none are given', async () => {
    const { batch } = await received([ping, ping])
    expect(parseFrames(batch)).toMatchObject({ length: 2, ok: 2, capacity: 2 })
    expect(parsePackets(batch)).toMatchObject({ length: 2, capacity: 2 })
  })

  test('is parsed by the receiver’s own list: scribbling on its columns misleads nobody', async () => {
    const { batch } = await received([ping, ping, ping])
    const offset = batch.offsets[0]!
    batch.offsets.fill(0xffff_ffff)
    batch.lengths.fill(1)
    const columns = parseFrames(batch)
    expect([columns.ok, [...columns.sequences]]).toEqual([3, [7, 7, 7]])
    expect(columns.payloadOffsets[0]).toBe(offset + 28)
  })

  test('is what the view shows: bytes that were changed there are parsed changed', async () => {
    const { batch } = await received([ping])
    batch.bytes(0)[8] = FrameType.Pong
    expect(parseFrames(batch).types[0]).toBe(FrameType.Pong)
  })

  test('a row that was taken is out of bounds, its neighbours are not', async () => {
    const { batch } = await received([ping, ping, ping])
    const guard = batch.take(1)
    const columns = parseFrames(batch)
    expect([...columns.statuses]).toEqual([FrameStatus.Ok, FrameStatus.OutOfBounds, FrameStatus.Ok])
    expect([...columns.sequences]).toEqual([7, 0, 7])
    expect(columns.explain(1)).toMatchObject({
      status: 'out-of-bounds',
      message: 'row 1 was taken out of the batch; read it through its guard',
    })
    expect(columns.explain(0)).toBeUndefined()
    const packets = parsePackets(batch)
    expect(packets.statuses[1]).toBe(PacketStatus.OutOfBounds)
    expect(packets.explain(1)).toMatchObject({ status: 'out-of-bounds', layer: 'descriptor' })
    guard.dispose()
  })

  test('explains its rows while it lasts, and no longer', async () => {
    const { batch } = await received([Buffer.from('short'), ping])
    const columns = parseFrames(batch)
    expect(columns.explain(0)).toMatchObject({ status: 'truncated', needed: 28, present: 5 })
    expect(columns.explain(1)).toBeUndefined()
    const packets = parsePackets(batch)
    expect(packets.explain(0)).toMatchObject({ status: 'truncated-ethernet', layer: 'Ethernet', present: 5 })
    batch.dispose()
    expect(() => columns.explain(0)).toThrow(stale)
    expect(() => parseFrames(batch)).toThrow(stale)
    expect(() => parsePackets(batch)).toThrow(stale)
    // What was read stays.
    expect([columns.length, columns.ok, columns.sequences[1]]).toEqual([2, 1, 7])
  })

  test('an IPv6 address is read where it lies, so it ends with the batch', async () => {
    const six = mixedPackets(300, 1).find((packet) => packet[12] === 0x86)!
    const { batch } = await received([six])
    const columns = parsePackets(batch)
    expect(columns.sourceAddress(0)).toMatch(/^2001:db8:/)
    batch.dispose()
    expect(() => columns.sourceAddress(0)).toThrow(stale)
  })

  test('in slots that are shorter than what parsers read ahead', async () => {
    const small = buildFrame({ type: FrameType.Ack, sequence: 9 })
    const { batch } = await received([small, small], { bufferSize: 64, capacity: 64, batchSize: 8 })
    expect(parseFrames(batch, undefined, { backend: 'scalar' }).ok).toBe(2)
    expect([...parseFrames(batch).sequences]).toEqual([9, 9])
  })

  test('columns that are too short are refused before anything is written', async () => {
    const { batch } = await received([ping, ping])
    const columns = new FrameColumns(1)
    expect(() => parseFrames(batch, columns)).toThrow(failsWith('WRAITH_ERR_OUT_OF_RANGE', 'columns'))
    expect([columns.length, columns.types[0]]).toEqual([0, 0])
  })

  test('goes on when user code has moved the memory that shows it', async () => {
    const { batch } = await received([ping])
    const memory = batch.view.buffer as ArrayBuffer & { transfer?: () => ArrayBuffer }
    try {
      memory.transfer?.()
    } catch {
      // Node.js 24 refuses.
    }
    expect(parseFrames(batch).sequences[0]).toBe(7)
  })
})
