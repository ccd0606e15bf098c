// Heap that parsing leaves behind, in bytes a call: run with a young generation that is not collected meanwhile.

import { PerformanceObserver } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { laidOut, mixedFrames, mixedPackets } from '../../benches/node/support/traffic.mjs'
import { FrameColumns, PacketColumns, parseFrames, parsePackets, UdpSocket } from '../../dist/index.js'

const ROWS = 64
const CALLS = 20_000
let collections = 0
new PerformanceObserver((list) => {
  collections += list.getEntries().length
}).observe({ entryTypes: ['gc'] })

async function bytesACall(call) {
  let growth = 0
  // The first rounds also compile.
  for (let round = 0; round < 4; round++) {
    globalThis.gc()
    // The collection that was asked for is reported a turn later.
    for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
    collections = 0
    const before = getHeapStatistics().used_heap_size
    for (let i = 0; i < CALLS; i++) call()
    growth = getHeapStatistics().used_heap_size - before
  }
  for (let turn = 0; turn < 3; turn++) await new Promise(setImmediate)
  return { bytes: growth / CALLS, collections }
}

const frames = laidOut(mixedFrames(ROWS, 1), 2)
const packets = laidOut(mixedPackets(ROWS, 1), 2)
const frameColumns = new FrameColumns(ROWS)
const packetColumns = new PacketColumns(ROWS)
const socket = await UdpSocket.bind({ address: '127.0.0.1' })
for (let row = 0; row < ROWS; row++) {
  const at = packets.offsets[row]
  socket.send(packets.bytes.subarray(at, at + packets.lengths[row]), socket.address().port)
}
const batch = socket.tryReceive()
const result = {
  rows: batch.length,
  frames: await bytesACall(() => parseFrames(frames.bytes, frames.offsets, frames.lengths, frameColumns)),
  packets: await bytesACall(() =>
    parsePackets(packets.bytes, packets.offsets, packets.lengths, packetColumns),
  ),
  batch: await bytesACall(() => parsePackets(batch, packetColumns)),
}
batch.dispose()
await socket.close()
console.log(JSON.stringify(result))
