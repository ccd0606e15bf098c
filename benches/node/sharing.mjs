// Shared pools: against the private pool within one thread, and against the two ways in which Node.js itself hands bytes over to
// another thread.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { once } from 'node:events'
import { PerformanceObserver } from 'node:perf_hooks'
import { fileURLToPath } from 'node:url'
import { Worker } from 'node:worker_threads'
import { BufferChannel, BufferPool } from '../../dist/index.js'
import { compare, emit, heapBytes, NO_GC, pairs, summarise } from './support/ab.mjs'
import { cycle, sumOf } from './support/sharing-work.mjs'
import { median } from './support/statistics.mjs'

const BYTES = 1500
const BATCH = 32
/** Buffers of one measured round; fewer than the pool has. */
const ROUND = 512
const ROUNDS = 20
const JOURNEYS = 20_000
/** Buffers that live while the collector is measured. */
const LIVING = 4096
const bench = 'sharing'

const options = { bufferSize: BYTES, capacity: 1024, onExhausted: 'throw' }
const pool = new BufferPool({ ...options, shared: true })

/** A buffer's way out of this thread and back into it, as each side has it. */
const journeys = {
  ticket: () => {
    const guard = pool.acquire()
    guard.bytes[0] = 1
    pool.adopt(guard.transfer().token).dispose()
  },
  copied: () => void structuredClone(new Uint8Array(BYTES)),
  transferred: () => {
    const { buffer } = new Uint8Array(BYTES)
    structuredClone(buffer, { transfer: [buffer] })
  },
}

/** Nanoseconds of garbage collection a journey, and of all of it. */
async function collected(journey) {
  let ms = 0
  const observer = new PerformanceObserver((list) => {
    for (const { startTime, duration } of list.getEntries()) if (startTime >= from) ms += duration
  })
  for (let i = 0; i < JOURNEYS; i++) journey()
  globalThis.gc()
  await new Promise(setImmediate)
  observer.observe({ entryTypes: ['gc'] })
  const from = performance.now()
  for (let i = 0; i < 10 * JOURNEYS; i++) journey()
  const total = performance.now() - from
  // Entries are delivered late.
  await new Promise((resolve) => setTimeout(resolve, 10))
  return { gcNs: (ms * 1e6) / (10 * JOURNEYS), totalNs: (total * 1e6) / (10 * JOURNEYS) }
}

/** What lives while it is measured how long the collector takes: so many buffers of each kind, each looked at once. */
const living = {
  none: () => [],
  shared: () => alive(new BufferPool({ ...options, capacity: LIVING, shared: true })),
  private: () => alive(new BufferPool({ ...options, capacity: LIVING })),
  buffers: () => Array.from({ length: LIVING }, () => Buffer.alloc(BYTES)),
}

function alive(one) {
  const guards = [one, ...one.acquireMany(LIVING)]
  for (let i = 1; i <= LIVING; i++) guards[i].bytes[0] = 1
  return guards
}

/** Microseconds of a scavenge and of a whole mark-sweep, the median of many. */
async function collections(make) {
  const kept = make()
  for (let i = 0; i < 4; i++) globalThis.gc()
  const took = { minor: [], major: [] }
  for (let i = 0; i < 60; i++) {
    for (const type of ['minor', 'major']) {
      // Something young for each, always as much.
      const young = Array.from({ length: 1000 }, (_, at) => ({ at }))
      const from = process.hrtime.bigint()
      globalThis.gc({ type })
      if (i >= 10) took[type].push(Number(process.hrtime.bigint() - from) / 1000)
      assert.equal(young.length, 1000)
    }
  }
  assert.ok(kept.length === 0 || kept.length >= LIVING)
  return { minorUs: median(took.minor), majorUs: median(took.major) }
}

// What journeys leave to the collector is measured in processes of their own, which run this file with what to measure.
const [what, side] = process.argv.slice(2)
if (what !== undefined) {
  const measured =
    what === 'heap'
      ? heapBytes(journeys[side], JOURNEYS)
      : what === 'living'
        ? await collections(living[side])
        : await collected(journeys[side])
  console.log(JSON.stringify(measured))
  process.exit()
}
const alone = (flags, ...args) =>
  JSON.parse(
    execFileSync(process.execPath, [...flags, fileURLToPath(import.meta.url), ...args], { encoding: 'utf8' }),
  )

const privately = new BufferPool(options)

function checkZeroed() {
  for (const one of [pool, privately]) {
    const guards = one.acquireMany(64)
    for (const { bytes } of guards) {
      assert.equal(bytes.length, BYTES)
      assert.ok(bytes.every((byte) => byte === 0))
      bytes.fill(0xa5)
    }
    guards.dispose()
    assert.equal(one.audit().ok, true)
  }
}

for (const [name, burst, goals] of [
  ['acquire + write + release, one thread', 1, { gate: { atLeast: 1 / 1.3 }, aim: { atLeast: 1 / 1.1 } }],
  ['bursts of 256, which cross into native, one thread', 256, {}],
]) {
  await compare({
    bench,
    name,
    baseline: 'a private pool',
    ours: cycle(pool, burst),
    theirs: cycle(privately, burst),
    check: checkZeroed,
    perCall: burst,
    ...goals,
  })
}

const channel = new BufferChannel(pool)
const uncopied = new BufferChannel(pool, { copyUpTo: 0 })

async function startWorker(others) {
  const workerData = { pool: pool.share(), channel: channel.share(), uncopied: uncopied.share(), others }
  const worker = new Worker(new URL('./support/sharing-side.mjs', import.meta.url), { workerData })
  await once(worker, 'message')
  return worker
}

const payload = Uint8Array.from({ length: BYTES }, (_, i) => (i * 7) & 255)
const reused = new Uint8Array(BYTES)
let stamp = 0

/** What the sender does with each buffer, wherever it lies: a packet's bytes, and a number that is new. */
function write(bytes) {
  bytes.set(payload)
  bytes[1] = ++stamp
}

const writeOurs = (guard) => {
  write(guard.bytes)
  sent = (sent + sumOf(guard.bytes)) | 0
}

let sent = 0
function written(bytes) {
  write(bytes)
  sent = (sent + sumOf(bytes)) | 0
  return bytes
}

/** How `count` buffers are handed over: posted in one message, or sent and let go at once. */
const ways = {
  channel: (_worker, count) => sendAll(channel, count),
  uncopied: (_worker, count) => sendAll(uncopied, count),
  ticket(worker, count) {
    if (count === 1) {
      const guard = pool.acquire()
      writeOurs(guard)
      worker.postMessage(guard.transfer().token)
      return
    }
    const guards = pool.acquireMany(count)
    for (let i = 0; i < count; i++) writeOurs(guards[i])
    worker.postMessage(guards.transfer().token)
  },
  // The clone is the copy: it may be written again as soon as it is posted. In a batch each has bytes of its own.
  copied(worker, count) {
    if (count === 1) worker.postMessage(written(reused))
    else worker.postMessage(own.slice(0, count).map(written))
  },
  transferred(worker, count) {
    const all = Array.from({ length: count }, () => written(new Uint8Array(BYTES)).buffer)
    worker.postMessage(count === 1 ? all[0] : all, all)
  },
}
const own = Array.from({ length: BATCH }, () => new Uint8Array(BYTES))

function sendAll(through, count) {
  for (let i = 0; i < count; i++) {
    const guard = pool.acquire()
    writeOurs(guard)
    guard.length = BYTES
    assert.ok(through.send(guard))
  }
  if (count > 1) through.flush()
}

/** Nanoseconds a buffer, from the first byte written to the answer to the last; the answer is checked. */
async function handOver(worker, way, { round, batch, rounds }) {
  const from = performance.now()
  for (let i = 0; i < rounds; i++) {
    sent = 0
    worker.postMessage(round)
    for (let posted = 0; posted < round; posted += batch) way(worker, batch)
    const [sum] = await once(worker, 'message')
    assert.equal(sum, sent, 'the other thread saw other bytes')
  }
  return ((performance.now() - from) * 1e6) / (round * rounds)
}

const worker = await startWorker(false)
const shapes = [
  ['one by one', { round: ROUND, batch: 1, rounds: ROUNDS }, { gate: { atLeast: 1.5 } }],
  [`in batches of ${BATCH}`, { round: ROUND, batch: BATCH, rounds: ROUNDS }, { gate: { atLeast: 1.5 } }],
  ['one, and its answer, at a time', { round: 1, batch: 1, rounds: 1000 }, { aim: { atLeast: 1 } }],
]
for (const [ours, by] of [
  ['channel', 'a channel'],
  ['uncopied', 'a channel that never copies'],
  ['ticket', 'tickets'],
]) {
  for (const [name, shape, goals] of shapes) {
    for (const [baseline, way] of [
      ['posting a Uint8Array, which is copied', ways.copied],
      ['transferring an ArrayBuffer', ways.transferred],
    ]) {
      const samples = await pairs(
        () => handOver(worker, way, shape),
        () => handOver(worker, ways[ours], shape),
      )
      const row = { bench, case: `${BYTES} B to another thread by ${by}, ${name}`, baseline }
      emit({ ...row, ...summarise(samples), unit: 'ns', ...(ours === 'channel' ? goals : {}) })
    }
  }
}

const workers = [worker]
for (const threads of [1, 2, 4]) {
  while (workers.length < threads) workers.push(await startWorker(true))
  for (const burst of [1, 64]) {
    const measured = async (side) => {
      const gate = new Int32Array(new SharedArrayBuffer(4))
      gate[0] = threads
      const answers = workers.map((one) => once(one, 'message'))
      for (const one of workers) one.postMessage({ gate, side, burst, rounds: 100_000 / burst })
      const each = (await Promise.all(answers)).map(([ns]) => ns)
      return each.reduce((sum, ns) => sum + ns, 0) / threads
    }
    const samples = await pairs(
      () => measured('theirs'),
      () => measured('ours'),
      5,
    )
    const name = `acquire + write + release, bursts of ${burst}, in each of ${threads} thread${threads > 1 ? 's' : ''}`
    emit({ bench, case: name, baseline: 'a private pool in each', ...summarise(samples), unit: 'ns' })
  }
}
await Promise.all(workers.map((one) => one.terminate()))
assert.equal(pool.audit().ok, true)
assert.equal(pool.metrics().pool.expired, 0)

const ourLives = []
const lives = { none: [], private: [], buffers: [] }
for (let pair = 0; pair < 5; pair++) {
  ourLives.push(alone(['--expose-gc'], 'living', 'shared'))
  for (const name of Object.keys(lives)) lives[name].push(alone(['--expose-gc'], 'living', name))
}
for (const [name, baseline] of [
  ['none', 'none'],
  ['private', 'of a private pool'],
  ['buffers', 'of Buffer.alloc'],
]) {
  for (const [key, kind] of [
    ['minorUs', 'a scavenge'],
    ['majorUs', 'a mark-sweep'],
  ]) {
    const samples = ourLives.map((ours, i) => ({ ours: ours[key], theirs: lives[name][i][key] }))
    const row = { bench, case: `${kind} while ${LIVING} buffers of a shared pool live`, baseline }
    emit({ ...row, ...summarise(samples), unit: 'µs' })
  }
}

const heap = alone(NO_GC, 'heap', 'ticket')
const cost = alone(['--expose-gc'], 'gc', 'ticket')
for (const [name, baseline] of [
  ['copied', 'structuredClone of a Uint8Array'],
  ['transferred', 'structuredClone that transfers an ArrayBuffer'],
]) {
  const theirs = alone(NO_GC, 'heap', name)
  const row = { bench, case: 'heap a journey, bytes outside the heap not counted', baseline }
  emit({ ...row, ratio: theirs / heap, ours: heap, theirs, unit: 'B' })
  const { gcNs, totalNs } = alone(['--expose-gc'], 'gc', name)
  const goes = { bench, baseline, unit: 'ns' }
  emit({
    ...goes,
    case: 'garbage collection a journey',
    ratio: gcNs / cost.gcNs,
    ours: cost.gcNs,
    theirs: gcNs,
  })
  const both = { ratio: totalNs / cost.totalNs, ours: cost.totalNs, theirs: totalNs }
  emit({ ...goes, case: 'a journey within one thread, collection included', ...both })
}
pool.close()
privately.close()
