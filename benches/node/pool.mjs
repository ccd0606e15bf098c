// BufferPool against allocating with Buffer. Ours always zeroes what it takes back; allocUnsafe never zeroes anything.

import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { do_not_optimize } from 'mitata'
import { BufferPool } from '../../dist/index.js'
import { compare, emit, heapBytes, NO_GC } from './support/ab.mjs'

const BYTES = 1500
const LIVE = 8
const BURST = 256
const bench = 'pool'
const major = Number(process.versions.node.split('.')[0])

const pool = new BufferPool({ bufferSize: BYTES, capacity: 1024, onExhausted: 'throw' })

/** One call replaces the oldest of `LIVE` buffers, as a handler does that keeps the last few packets. */
function steady(take, giveBack) {
  const live = Array.from({ length: LIVE }, take)
  let next = 0
  return () => {
    giveBack(live[next])
    live[next] = take()
    next = (next + 1) % LIVE
  }
}

function takeOurs() {
  const guard = pool.acquire()
  guard.bytes[0] = 1
  return guard
}
const giveBackOurs = (guard) => guard.dispose()

const taker = (allocate) => () => {
  const bytes = allocate(BYTES)
  bytes[0] = 1
  return bytes
}
const takeAlloc = taker(Buffer.alloc)
const takeUnsafe = taker(Buffer.allocUnsafe)
const drop = do_not_optimize

// What one call leaves on the heap is counted in a process of its own, which runs this file with the side's name.
const HEAP_SIDES = {
  ours: () => heapBytes(steady(takeOurs, giveBackOurs), 1_000_000),
  // Fewer, as the memory outside the heap would start a collection.
  theirs: () => heapBytes(steady(takeAlloc, drop), 20_000),
}
const heapSide = process.argv[2]
if (heapSide !== undefined) {
  console.log(HEAP_SIDES[heapSide]())
  process.exit()
}
const heapBytesOf = (side) =>
  Number(
    execFileSync(process.execPath, [...NO_GC, fileURLToPath(import.meta.url), side], { encoding: 'utf8' }),
  )

function checkZeroed() {
  const guards = Array.from({ length: pool.available }, () => pool.acquire())
  for (const guard of guards) {
    assert.equal(guard.bytes.length, BYTES)
    assert.ok(
      guard.bytes.every((byte) => byte === 0),
      'an acquired buffer must be zeroed',
    )
    guard.bytes.fill(0xa5)
  }
  for (const guard of guards) guard.dispose()
  const again = pool.acquire()
  assert.ok(
    again.bytes.every((byte) => byte === 0),
    'a released buffer must come back zeroed',
  )
  again.dispose()
  assert.equal(pool.audit().ok, true)
  assert.ok(
    takeAlloc()
      .subarray(1)
      .every((byte) => byte === 0),
  )
  assert.equal(takeUnsafe().length, BYTES)
}

await compare({
  bench,
  name: `acquire + zero ${BYTES} + release, ${LIVE} live`,
  baseline: `Buffer.alloc(${BYTES})`,
  ours: steady(takeOurs, giveBackOurs),
  theirs: steady(takeAlloc, drop),
  check: checkZeroed,
  gate: { atLeast: 8 },
  aim: { atLeast: 10 },
})

await compare({
  bench,
  name: `acquire + zero ${BYTES} + release, ${LIVE} live`,
  baseline: `Buffer.allocUnsafe(${BYTES}), never zeroed`,
  ours: steady(takeOurs, giveBackOurs),
  theirs: steady(takeUnsafe, drop),
  check: checkZeroed,
  gate: { atLeast: major >= 24 ? 1.2 : 2.5 },
  aim: { atLeast: major >= 24 ? 1.5 : 3 },
})

/** Takes `BURST` buffers and only then gives them all back. */
function burst(take, giveBack) {
  const taken = new Array(BURST)
  return () => {
    for (let i = 0; i < BURST; i++) taken[i] = take()
    for (let i = 0; i < BURST; i++) giveBack(taken[i])
  }
}

for (const [baseline, take] of [
  [`Buffer.alloc(${BYTES})`, takeAlloc],
  [`Buffer.allocUnsafe(${BYTES}), never zeroed`, takeUnsafe],
]) {
  await compare({
    bench,
    name: `burst: take ${BURST}, return ${BURST}`,
    baseline,
    ours: burst(takeOurs, giveBackOurs),
    theirs: burst(take, drop),
    check: checkZeroed,
    perCall: BURST,
    aim: { atLeast: 1 },
  })
}

await compare({
  bench,
  name: `burst: acquireMany(${BURST}), return all`,
  baseline: `Buffer.allocUnsafe(${BYTES}), never zeroed`,
  ours: () => {
    const guards = pool.acquireMany(BURST)
    for (const guard of guards) guard.bytes[0] = 1
    guards[Symbol.dispose]()
  },
  theirs: burst(takeUnsafe, drop),
  check: checkZeroed,
  perCall: BURST,
  aim: { atLeast: 1 },
})

const ours = heapBytesOf('ours')
const theirs = heapBytesOf('theirs')
emit({
  bench,
  case: 'heap a pair of acquire and release',
  baseline: `Buffer.alloc(${BYTES}), bytes outside the heap not counted`,
  ratio: theirs / ours,
  ours,
  theirs,
  unit: 'B',
  gate: { atMost: 40, of: 'ours' },
})

pool.close()
