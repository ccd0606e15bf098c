// Batches of frames and packets into columns: parseFrames and parsePackets against a loop over a DataView that makes the same checks and
// fills the same columns, and, over a batch as received, against bytes(i) and a DataView a packet.

import assert from 'node:assert/strict'
import {
  FrameColumns,
  PacketColumns,
  parseFrames,
  parsePackets,
  simdBackend,
  UdpSocket,
} from '../../dist/index.js'
import { compare } from './support/ab.mjs'
import {
  FRAME_COLUMNS,
  frame,
  frames,
  PACKET_COLUMNS,
  packet,
  packets,
  wordsOf,
} from './support/dataview.mjs'
import { laidOut, mixedFrames, mixedPackets, reordered } from './support/traffic.mjs'

const bench = 'frames'
/** Orders that the rows of a batch are parsed in, in turn: a repeated one would train the branch predictor. As in the benchmarks in Rust. */
const ORDERS = 8
const LOOPBACK = '127.0.0.1'
const { active } = simdBackend()

const bytesOf = ({ buffer, byteOffset, byteLength }) => Buffer.from(buffer, byteOffset, byteLength)

/** Both have read every row, and every column is the same. */
function same(names, ours, theirs) {
  for (const name of names) assert.ok(bytesOf(ours[name]).equals(bytesOf(theirs[name])), `${name} differs`)
}

const kinds = [
  { what: 'packets', make: mixedPackets, Columns: PacketColumns, parse: parsePackets, loop: packets },
  { what: 'frames', make: mixedFrames, Columns: FrameColumns, parse: parseFrames, loop: frames },
]

/** A call costs something however few the rows are, so the gate is on batches that are long enough for it not to count. */
const gates = { packets: { 1024: { atLeast: 10 } }, frames: {} }

for (const { what, make, Columns, parse, loop } of kinds) {
  for (const rows of [64, 256, 1024]) {
    const { bytes, ...places } = laidOut(make(rows, 1), 2)
    const batches = Array.from({ length: ORDERS }, (_, seed) => reordered(places, seed))
    const [ours, theirs] = [new Columns(rows), new Columns(rows)]
    const view = new DataView(bytes.buffer)
    const names = what === 'packets' ? PACKET_COLUMNS : FRAME_COLUMNS
    let [mine, other] = [0, 0]
    await compare({
      bench,
      name: `${what}, batches of ${rows}, ${active}`,
      baseline: 'a DataView loop into the same columns',
      perCall: rows,
      gate: gates[what][rows],
      check: () => {
        for (const { offsets, lengths } of batches) {
          assert.equal(parse(bytes, offsets, lengths, ours).ok, rows)
          assert.equal(loop(view, offsets, lengths, theirs), rows)
          same(names, ours, theirs)
        }
      },
      ours: () => {
        const { offsets, lengths } = batches[mine++ % ORDERS]
        parse(bytes, offsets, lengths, ours)
      },
      theirs: () => {
        const { offsets, lengths } = batches[other++ % ORDERS]
        loop(view, offsets, lengths, theirs)
      },
    })
  }
}

/** As many as a batch has and the stock receive buffer holds. */
const RECEIVED = 64
const socket = await UdpSocket.bind({ address: LOOPBACK, batchSize: RECEIVED, capacity: 256 })

for (const { what, make, Columns, parse, loop } of kinds) {
  for (const packet of make(RECEIVED, 7))
    assert.equal(socket.send(packet, socket.address().port, LOOPBACK), true)
  const batch = socket.tryReceive()
  assert.equal(batch.length, RECEIVED)
  const names = what === 'packets' ? PACKET_COLUMNS : FRAME_COLUMNS
  const [ours, theirs] = [new Columns(RECEIVED), new Columns(RECEIVED)]
  const words = what === 'packets' ? undefined : wordsOf(theirs)
  await compare({
    bench,
    name: `${what}, a received batch of ${RECEIVED}, ${active}`,
    baseline: 'bytes(i) and a DataView a packet',
    perCall: RECEIVED,
    check: () => {
      assert.equal(parse(batch, ours).ok, RECEIVED)
      assert.equal(
        loop(batch.view, batch.offsets.slice(0, RECEIVED), batch.lengths.slice(0, RECEIVED), theirs),
        RECEIVED,
      )
      same(names, ours, theirs)
    },
    ours: () => parse(batch, ours),
    theirs: () => {
      for (let i = 0; i < RECEIVED; i++) {
        const { buffer, byteOffset, length } = batch.bytes(i)
        const view = new DataView(buffer, byteOffset, length)
        if (words === undefined) packet(view, 0, length, theirs, i)
        else frame(view, 0, length, theirs, words, i)
      }
    },
  })
  batch.dispose()
}
await socket.close()
