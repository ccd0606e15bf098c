// One side of the benchmark of AF_XDP in a process of its own: node xdp-side.mjs '{"interface":"near0","side":"xdp","how":"bytes",…}'.
// What it is told, one command a line, it answers with a line of JSON; see `commands`. Only its own CPU time is counted (getrusage of the
// process, with the engine's helper threads). It ends with its input.

import assert from 'node:assert/strict'
import dgram from 'node:dgram'
import { once } from 'node:events'
import { PerformanceObserver } from 'node:perf_hooks'
import { createInterface } from 'node:readline'
import { getHeapStatistics } from 'node:v8'
import { XdpSocket } from '../../../dist/index.js'
import { FAR, frameOf, HEADERS, NEAR, PORT } from './xdp-frames.mjs'
import { udpErrors, ways } from './xdp-ways.mjs'

const options = JSON.parse(process.argv[2])
const { side, how, size, heap = false, echo = false } = options
const { batchSize, views, frames, memoryBudget } = options
/** Asked for; the system's limit clamps it. */
const RECV_BUFFER = 4 << 20
const BURST = 64
const SLEEP_MS = 1

const print = (value) => process.stdout.write(`${JSON.stringify(value)}\n`)

const state = { frames: 0, sum: 0, expected: 0, size, dgram: undefined, xdp: undefined }
let arrived = () => {}
let heapAfter = 0

function done() {
  // In the handler of the last frame: what the benchmark itself leaves behind is not counted.
  const cpu = process.cpuUsage()
  if (heap) heapAfter = getHeapStatistics().used_heap_size
  state.expected = 0
  arrived(cpu)
}

async function openXdp() {
  const given = {
    ...(batchSize && { batchSize }),
    ...(views && { views }),
    ...(frames && { frames }),
    ...(memoryBudget && { memoryBudget }),
  }
  const xdp = await XdpSocket.open(options.interface, { filter: { udpPorts: [PORT] }, ...given })
  state.xdp = xdp
  const handle = ways[how](state)
  if (how === 'look') return { xdp, close: () => xdp.close() }
  xdp.pause().consume((batch) => {
    handle(batch)
    if (state.frames === state.expected) done()
  })
  return {
    resume: () => xdp.resume(),
    pause: () => xdp.pause(),
    counters: () => {
      const { rxPackets, rxBatches, rxEmptyPolls, rxDropped, drops } = xdp.metrics()
      assert.equal(
        drops.reduce((sum, { frames }) => sum + frames, 0),
        rxDropped,
      )
      return { rxPackets, rxBatches, rxEmptyPolls, dropped: rxDropped, drops }
    },
    close: () => {
      assert.equal(xdp.pool.audit().ok, true)
      return xdp.close()
    },
  }
}

/** node:dgram behind the same interface: the filter of a socket there leaves its frames to the kernel. */
async function openDgram() {
  const other = await XdpSocket.open(options.interface, {
    filter: { udpPorts: [PORT + 1] },
    frames: 64,
    rxRing: 32,
    txRing: 32,
  })
  const socket = dgram.createSocket({ type: 'udp4', recvBufferSize: RECV_BUFFER })
  const handle = ways.dgram(state)
  socket.on('message', (message, from) => {
    handle(message)
    if (echo) socket.send(message, from.port, from.address)
    if (state.frames === state.expected) done()
  })
  socket.bind(PORT, NEAR)
  await once(socket, 'listening')
  state.dgram = socket
  return {
    resume: () => {},
    pause: () => {},
    counters: () => ({
      rxPackets: state.frames,
      rxBatches: state.frames,
      rxEmptyPolls: 0,
      dropped: udpErrors(),
      drops: [],
    }),
    close: () => {
      socket.close()
      return other.close()
    },
  }
}

const opened = side === 'dgram' ? await openDgram() : await openXdp()

// Entries are delivered late: what counts is when a collection began.
let measuredFrom = Number.POSITIVE_INFINITY
let gcMs = 0
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (entry.startTime >= measuredFrom) gcMs += entry.duration
}).observe({ entryTypes: ['gc'] })

const nsSince = (start, end = process.cpuUsage()) =>
  (end.user + end.system - start.user - start.system) * 1000
const sleep = (ms = SLEEP_MS) => new Promise((resolve) => setTimeout(resolve, ms))

let before

function begin() {
  Object.assign(state, { frames: 0, sum: 0 })
  gcMs = 0
  measuredFrom = performance.now()
  before = { ...opened.counters(), cpu: process.cpuUsage() }
}

async function answer(cpu) {
  const now = opened.counters()
  const { rss, external, arrayBuffers } = process.memoryUsage()
  await sleep()
  return {
    ns: nsSince(before.cpu, cpu),
    frames: state.frames,
    sum: state.sum,
    batches: now.rxBatches - before.rxBatches,
    emptyPolls: now.rxEmptyPolls - before.rxEmptyPolls,
    dropped: now.dropped - before.dropped,
    drops: now.drops,
    gcMs,
    memory: { rss, external, arrayBuffers },
  }
}

const commands = {
  /** Frames that have come: reads so many. */
  async drain(count) {
    const cpu = new Promise((resolve) => {
      arrived = resolve
    })
    begin()
    state.expected = count
    const heapBefore = heap ? getHeapStatistics().used_heap_size : 0
    opened.resume()
    const end = await cpu
    opened.pause()
    return { ...(await answer(end)), heapBytes: heapAfter - heapBefore }
  },

  /** Reads what comes, until `end`. */
  stream() {
    begin()
    opened.resume()
    return { going: true }
  },

  /** As many as have come to this end: waits until all are read or dropped. */
  async end(count) {
    const lost = () => opened.counters().dropped - before.dropped
    while (state.frames + lost() < count) await sleep()
    const result = await answer(process.cpuUsage())
    opened.pause()
    return result
  },

  /** Looks when nothing is there. */
  look(times) {
    for (let i = 0; i < 10_000; i++) assert.equal(opened.xdp.tryReceive(), undefined)
    const start = process.cpuUsage()
    for (let i = 0; i < times; i++) opened.xdp.tryReceive()
    return { ns: nsSince(start), times }
  },

  /** Makes and sends frames, each of which is written first. */
  async send(times) {
    const start = process.cpuUsage()
    const sent = side === 'dgram' ? await sendDatagrams(times) : await sendGuards(times)
    return { ns: nsSince(start), frames: sent }
  },
}

async function sendGuards(times) {
  const frame = frameOf(size)
  const { xdp } = opened.xdp ? opened : { xdp: state.xdp }
  let sent = 0
  while (sent < times) {
    const guards = []
    for (let i = 0; i < BURST; i++) {
      const guard = xdp.pool.tryAcquire()
      if (guard === undefined) break
      guard.bytes.set(frame)
      guard.length = size
      guards.push(guard)
    }
    const accepted = guards.length > 0 ? xdp.send(guards) : 0
    sent += accepted
    for (let i = accepted; i < guards.length; i++) guards[i].dispose()
    if (accepted < BURST) await new Promise(setImmediate)
  }
  return sent
}

async function sendDatagrams(times) {
  const payload = frameOf(size).subarray(HEADERS)
  let sent = 0
  while (sent < times) {
    for (let i = 1; i < BURST; i++) state.dgram.send(Buffer.from(payload), PORT, FAR)
    await new Promise((resolve, reject) =>
      state.dgram.send(Buffer.from(payload), PORT, FAR, (error) => (error ? reject(error) : resolve())),
    )
    sent += BURST
  }
  return sent
}

print({ ready: true })
for await (const line of createInterface({ input: process.stdin })) {
  const [name, argument] = line.split(' ')
  print(await (/^\d/.test(name) ? commands.drain(Number(name)) : commands[name](Number(argument))))
}
await opened.close()
