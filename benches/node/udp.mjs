// Draining a filled receive buffer, JavaScript reading each packet: UdpSocket against node:dgram, and against the same
// recvmmsg loop in Rust alone. Every measurement runs in a fresh process; sides take turns.

import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { emit, pairs, summarise } from './support/ab.mjs'

const bench = 'udp'
const SIDE = fileURLToPath(new URL('./support/udp-side.mjs', import.meta.url))
const ROOT = fileURLToPath(new URL('../..', import.meta.url))
const run = promisify(execFile)
/** As many as the stock receive buffer holds, with room to spare. */
const FILL = { 64: 480, 1472: 160 }
const ROUNDS = { 64: 300, 1472: 600 }
const LIMIT_MS = 120_000
/** A young generation in which nothing is collected while heap bytes are counted. */
const NO_GC = ['--max-semi-space-size=512', '--min-semi-space-size=512']

async function side(options, flags = []) {
  const { stdout } = await run(process.execPath, ['--expose-gc', ...flags, SIDE, JSON.stringify(options)], {
    timeout: LIMIT_MS,
  })
  return JSON.parse(stdout)
}

async function rust(size) {
  const { stdout } = await run(
    'cargo',
    [
      'run',
      '--release',
      '--quiet',
      '--package',
      'wraith-transport',
      '--example',
      'udp_drain',
      '--',
      '--json',
    ].concat(['--size', String(size), '--rounds', '51', '--buffer', '212992', '--read', '32']),
    { cwd: ROOT, timeout: 15 * 60_000 },
  )
  return JSON.parse(stdout)
}

const drain = (name, size) => ({ side: name, sizes: [size], packets: FILL[size], rounds: ROUNDS[size] })

for (const size of [64, 1472]) {
  const samples = await pairs(
    async () => (await side(drain('dgram', size))).nsPerPacket,
    async () => (await side(drain('wraith', size))).nsPerPacket,
  )
  emit({
    bench,
    case: `drain, ${size} B, CPU a packet`,
    baseline: 'node:dgram',
    ...summarise(samples),
    unit: 'ns',
    gate: { atLeast: 3 },
    aim: { atLeast: 4 },
  })
}

for (const size of [64, 1472]) {
  const samples = await pairs(
    async () => (await rust(size)).bareNs,
    // The Rust program gives the median of its rounds as well.
    async () => (await side(drain('wraith', size))).medianNsPerPacket,
  )
  emit({
    bench,
    case: `drain, ${size} B, CPU a packet`,
    baseline: 'a bare recvmmsg loop in Rust, without JavaScript',
    ...summarise(samples),
    unit: 'ns',
    gate: { atLeast: 1 / 1.3 },
    aim: { atLeast: 1 / 1.15 },
  })
}

/** So many that code which the engine compiles meanwhile, which is heap too, counts for little, and so few that dgram's memory outside of the heap starts no collection. */
const HEAP_ROUNDS = 200
const MIXED = [64, 90, 128, 200, 333, 512, 700, 1000]
const heapCases = [
  { name: 'equal sizes, bytes(i)', sizes: [200], atMost: 0.05 },
  { name: 'mixed sizes, view and columns', sizes: MIXED, columns: true, atMost: 0.05 },
  { name: 'mixed sizes, bytes(i)', sizes: MIXED, atMost: 0.35 },
  // Hardly any view can be used twice.
  { name: '512 sizes, bytes(i)', sizes: Array.from({ length: 512 }, (_, i) => 64 + i) },
]
for (const { name, sizes, columns = false, atMost } of heapCases) {
  const options = { sizes, packets: 250, rounds: HEAP_ROUNDS, peers: true, heap: true, columns }
  const theirs = await side({ ...options, side: 'dgram' }, NO_GC)
  const ours = await side({ ...options, side: 'wraith' }, NO_GC)
  if (theirs.gcs > 0 || ours.gcs > 0) throw new Error('the collector ran while heap bytes were counted')
  emit({
    bench,
    case: `heap a packet with peer(i), ${name}`,
    baseline: 'node:dgram',
    ratio: ours.heapBytesPerPacket / theirs.heapBytesPerPacket,
    ours: ours.heapBytesPerPacket,
    theirs: theirs.heapBytesPerPacket,
    unit: 'B',
    ...(atMost === undefined ? {} : { gate: { atMost } }),
  })
}

{
  const options = { sizes: MIXED, packets: 250, rounds: 1200, peers: true }
  const samples = await pairs(
    async () => (await side({ ...options, side: 'dgram' })).gcMs,
    async () => (await side({ ...options, side: 'wraith' })).gcMs,
  )
  const { ours, theirs, pairs: count } = summarise(samples)
  emit({
    bench,
    case: 'garbage collection, 300,000 packets of mixed sizes with peer(i)',
    baseline: 'node:dgram',
    ratio: ours / theirs,
    ours,
    theirs,
    pairs: count,
    unit: 'ms',
    gate: { atMost: 0.2 },
  })
}
