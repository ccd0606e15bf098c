// One side of the UDP benchmarks in a process of its own: node udp-side.mjs '{"side":"wraith","size":64,…}'.
// Prints one JSON line. Sending is the same for both sides and is never inside of what is measured.

import assert from 'node:assert/strict'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { PerformanceObserver } from 'node:perf_hooks'
import { getHeapStatistics } from 'node:v8'
import { UdpSocket } from '../../../dist/index.js'
import { median } from './statistics.mjs'

const {
  side,
  sizes,
  packets,
  rounds,
  peers = false,
  columns = false,
  heap = false,
} = JSON.parse(process.argv[2])
const LOOPBACK = '127.0.0.1'
/** The stock limit of a Linux machine (net.core.rmem_max); the kernel doubles it. */
const RECV_BUFFER = 212_992
const READ = 32
const WARM_ROUNDS = 30

let received = 0
/** Modulo 2^32, so that it stays a small integer: adding must not cost heap. */
let sum = 0
let seenPort = 0
let expected = 0
let arrived

function handle(bytes, length, from) {
  const end = Math.min(length, READ)
  let total = length
  for (let i = 0; i < end; i++) total += bytes[i]
  sum = (sum + total) | 0
  if (peers) seenPort = from.port
  if (++received === expected) arrived()
}

function handleColumns(view, offset, length, from) {
  const end = Math.min(length, READ)
  let total = length
  for (let i = 0; i < end; i++) total += view.getUint8(offset + i)
  sum = (sum + total) | 0
  if (peers) seenPort = from.port
  if (++received === expected) arrived()
}

async function open() {
  if (side === 'dgram') {
    const socket = dgram.createSocket({ type: 'udp4', recvBufferSize: RECV_BUFFER })
    socket.on('message', (message, from) => handle(message, message.length, from))
    socket.bind(0, LOOPBACK)
    await once(socket, 'listening')
    return { port: socket.address().port, close: () => socket.close() }
  }
  const socket = await UdpSocket.bind({ address: LOOPBACK, recvBufferSize: RECV_BUFFER, capacity: 256 })
  if (columns) {
    socket.consume((batch) => {
      const { view, offsets, lengths } = batch
      for (let i = 0; i < batch.length; i++) {
        handleColumns(view, offsets[i], lengths[i], peers ? batch.peer(i) : undefined)
      }
    })
  } else {
    socket.consume((batch) => {
      for (let i = 0; i < batch.length; i++) {
        const bytes = batch.bytes(i)
        handle(bytes, bytes.length, peers ? batch.peer(i) : undefined)
      }
    })
  }
  return {
    port: socket.address().port,
    close: () => {
      assert.equal(socket.pool.audit().ok, true)
      return socket.close()
    },
  }
}

const { port, close } = await open()
const sender = await UdpSocket.bind({ address: LOOPBACK, capacity: 64 })
const payloads = sizes.map((size, index) => Buffer.alloc(size, 97 + (index % 26)))
const firstBytes = (payload) =>
  payload.subarray(0, READ).reduce((total, byte) => total + byte, payload.length)
const sums = new Map(payloads.map((payload) => [payload, firstBytes(payload)]))

// Sizes in a fixed shuffled order, so that neither side can learn a pattern of equal sizes.
let seed = 12_345
const order = Array.from({ length: 4096 }, () => {
  seed = (Math.imul(seed, 1_103_515_245) + 12_345) >>> 0
  return (seed >>> 16) % payloads.length
})
let next = 0

// Entries are delivered late: what counts is when a collection began.
let measuredFrom = Number.POSITIVE_INFINITY
let gcMs = 0
let gcs = 0
const observer = new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) {
    if (entry.startTime < measuredFrom) continue
    gcMs += entry.duration
    gcs++
  }
})
observer.observe({ entryTypes: ['gc'] })

let cpuUs = 0
let measured = 0
const roundUs = []
let heapBytes = 0
for (let round = -WARM_ROUNDS; round < rounds; round++) {
  if (round === 0) {
    globalThis.gc?.()
    await new Promise(setImmediate)
    roundUs.length = 0
    cpuUs = measured = heapBytes = 0
    measuredFrom = performance.now()
  }
  received = 0
  expected = packets
  const before = sum
  let right = 0
  let heapAfter = 0
  const done = new Promise((resolve) => {
    arrived = () => {
      // In the handler of the last packet: what the benchmark itself leaves behind is not counted.
      if (heap) heapAfter = getHeapStatistics().used_heap_size
      resolve()
    }
  })
  for (let i = 0; i < packets; i++) {
    const payload = payloads[order[next++ & 4095]]
    right = (right + sums.get(payload)) | 0
    assert.equal(sender.send(payload, port, LOOPBACK), true)
  }
  const cpu = process.cpuUsage()
  const heapBefore = heap ? getHeapStatistics().used_heap_size : 0
  await done
  const { user, system } = process.cpuUsage(cpu)
  heapBytes += heapAfter - heapBefore
  cpuUs += user + system
  roundUs.push(user + system)
  measured += packets
  assert.equal((sum - before) | 0, right, 'the bytes are not those that were sent')
}
await new Promise(setImmediate)
if (peers) assert.equal(seenPort, sender.address().port)
console.log(
  JSON.stringify({
    nsPerPacket: (cpuUs * 1000) / measured,
    medianNsPerPacket: (median(roundUs) * 1000) / packets,
    heapBytesPerPacket: heapBytes / measured,
    gcMs,
    gcs,
  }),
)
await Promise.all([close(), sender.close()])
