// AF_XDP from JavaScript over a veth pair: CPU time a frame beside Rust alone, a bare loop over the rings and node:dgram; ways to read and send; loss. Needs root.
// Copy mode: nothing here is zero-copy in the kernel, whatever the views are.
//
// The generator (crates/wraith-transport/examples/xdp_generate.rs) has a CPU to itself, and what is measured the other. The kernel runs the
// receiving end of the pair on the generator's: the interrupt, the filter's program and the copy into the UMEM, or for
// node:dgram the stack up to the socket's queue. So a figure is of the receiving process alone: its system calls, its native code and its
// JavaScript, with the engine's helper threads.
//
// drain: frames come while nobody reads; then they are read, and the CPU time of that is taken. stream: frames come while they are read.

import { emit, pairs, summarise } from './support/ab.mjs'
import { median } from './support/statistics.mjs'
import { insideNamespace, Link } from './support/xdp-link.mjs'

const bench = 'xdp'
const SMALL = 64
const LARGE = 1472
/** So many batches of one frame: the UMEM's windows are renamed as often. */
const RENAMES = 7
const NO_GC = ['--max-semi-space-size=512', '--min-semi-space-size=512']
const zeroCopy = 'transfer' in ArrayBuffer.prototype

const link = new Link(await insideNamespace())
const say = (text) => console.log(text)
const each = (answers) => median(answers.map(({ ns, frames }) => ns / frames))
const READING = { nothing: 'nothing', fields: 'fields', columns: 'columns' }

async function drained(how, size, { options = {}, flags = [], rounds = 9, ...more } = {}) {
  const side = await link.side({ side: 'xdp', how, size, ...options }, flags)
  return link.drain(side, { size, reading: READING[how] ?? 'bytes', rounds, ...more })
}
const drain = async (...wanted) => each(await drained(...wanted))

async function rust(size, ...options) {
  const side = await link.rustSide(...options)
  return each(await link.drain(side, { size, reading: 'bytes', rounds: 15 }))
}

async function streamed(name, size, count, { how = 'bytes', options = {}, ...traffic }) {
  const side = await link.side({ side: name, how, size, ...options })
  const reading = name === 'dgram' ? 'payload' : 'bytes'
  const answer = await link.stream(side, { size, reading, count, ...traffic })
  await side.end()
  return answer
}
const perFrame = ({ ns, frames }) => ns / frames

/** Every byte of what comes, once, before anything is timed. */
for (const size of [SMALL, LARGE]) await drained('check', size, { rounds: 1, warm: 0 })

const row = (name, baseline, samples, goals = {}) =>
  emit({ bench, case: name, baseline, ...summarise(samples), unit: 'ns', ...goals })

// a. What reading costs, and how much of it is not JavaScript's.
for (const [size, how] of [
  [SMALL, 'view'],
  [SMALL, 'bytes'],
  [LARGE, 'bytes'],
]) {
  const samples = await pairs(
    () => rust(size),
    () => drain(how, size),
  )
  const name = `drain, ${size} B, 32 bytes of each by ${how === 'view' ? 'batch.view' : 'bytes(i)'}, CPU a frame`
  row(
    name,
    'XdpSocket in Rust, the same bytes',
    samples,
    size === SMALL ? { gate: { atMost: 150, of: 'ours' } } : {},
  )
}
row(
  'drain, 64 B, 32 bytes of each in Rust by XdpSocket, CPU a frame',
  'a bare loop over the rings',
  await pairs(
    () => rust(SMALL, '--bare'),
    () => rust(SMALL),
  ),
  { aim: { atMost: 40, of: 'ours' } },
)

// b. Against node:dgram behind the same interface.
for (const [size, count] of [
  [SMALL, 1_000_000],
  [LARGE, 500_000],
]) {
  const last = {}
  const samples = await pairs(
    async () => {
      last.theirs = await streamed('dgram', size, count, {})
      return perFrame(last.theirs)
    },
    async () => {
      last.ours = await streamed('xdp', size, count, {})
      return perFrame(last.ours)
    },
  )
  row(`stream at full rate, ${size} B, CPU a frame received`, 'node:dgram', samples, {
    gate: { atLeast: 4 },
  })
  const { mpps, frames, batches, emptyPolls } = last.ours
  say(
    `${size} B at full rate, ${mpps} Mpps: ${(frames / batches).toFixed(1)} frames a batch, ${(emptyPolls / batches).toFixed(2)} empty looks a batch; ` +
      `lost ${count - frames} of ${count}, node:dgram ${count - last.theirs.frames}`,
  )
}
for (const [name, rate, count, batch] of [
  ['stream of 100,000 a second, 64 B, CPU a frame', 100_000, 100_000, 64],
  ['stream of 20,000 a second one by one, 64 B, CPU a frame', 20_000, 20_000, 1],
]) {
  let last
  const traffic = { rate, batch, warm: 20_000 }
  const samples = await pairs(
    async () => perFrame(await streamed('dgram', SMALL, count, traffic)),
    async () => {
      last = await streamed('xdp', SMALL, count, traffic)
      return perFrame(last)
    },
  )
  row(name, 'node:dgram', samples)
  say(`${name}: ${(last.frames / last.batches).toFixed(1)} frames a batch`)
}

// c. Ways to read and send.
if (zeroCopy) {
  for (const size of [SMALL, LARGE]) {
    const samples = await pairs(
      () => drain('bytes', size, { options: { views: 'copied' } }),
      () => drain('bytes', size, { options: { views: 'zero-copy' } }),
    )
    row(`drain, ${size} B, bytes(i), views 'zero-copy', CPU a frame`, "views 'copied'", samples)
  }
}
row(
  'drain, 64 B, parsePackets and five columns, CPU a frame',
  'six fields by batch.view',
  await pairs(
    () => drain('fields', SMALL),
    () => drain('columns', SMALL),
  ),
)
for (const [how, name] of [
  ['copy', 'copy(i)'],
  ['take', 'take(i), read and disposed of'],
]) {
  const samples = await pairs(
    () => drain('bytes', SMALL),
    () => drain(how, SMALL, { rounds: 5 }),
  )
  row(`drain, 64 B, ${name}, CPU a frame`, 'bytes(i)', samples)
}
{
  const traffic = { rate: 100_000, warm: 20_000 }
  const whole = (answer) => {
    if (answer.left !== answer.frames) throw new Error(`${answer.left} of ${answer.frames} were sent back`)
    return perFrame(answer)
  }
  const samples = await pairs(
    async () =>
      whole(await streamed('dgram', SMALL, 20_000, { ...traffic, rate: 50_000, options: { echo: true } })),
    async () => whole(await streamed('xdp', SMALL, 100_000, { ...traffic, how: 'reflect' })),
  )
  row(
    'read and sent back, send(batch), 64 B, CPU a frame',
    'node:dgram, a send for each message (half the rate)',
    samples,
  )
}
{
  const sends = async (name) => {
    const side = await link.side({ side: name, how: 'nothing', size: SMALL })
    await side.ask('send 32000')
    const { ns, frames } = await side.ask('send 128000')
    await side.end()
    return ns / frames
  }
  const samples = await pairs(
    () => sends('dgram'),
    () => sends('xdp'),
  )
  row('acquired, written and sent, 64 guards a call, 64 B, CPU a frame', 'node:dgram', samples)
}

// d. What a look costs that finds nothing, what is left to the collector, and what renaming leaves behind.
{
  const side = await link.side({ side: 'xdp', how: 'look', size: SMALL })
  const looks = []
  for (let i = 0; i < 9; i++) looks.push(await side.ask('look 200000'))
  await side.end()
  emit({
    bench,
    case: 'tryReceive() that finds nothing',
    ours: median(looks.map(({ ns, times }) => ns / times)),
    unit: 'ns',
  })
}
for (const how of ['view', 'bytes']) {
  const answers = await drained(how, SMALL, { options: { heap: true }, flags: NO_GC })
  const ours = median(answers.map(({ heapBytes, frames }) => heapBytes / frames))
  emit({ bench, case: `heap a frame, 64 B, ${how === 'view' ? 'batch.view' : 'bytes(i)'}`, ours, unit: 'B' })
}
for (const how of ['view', 'bytes', 'copy']) {
  const answers = await drained(how, SMALL, { rounds: 15 })
  const [ns, frames] = ['gcMs', 'frames'].map((what) => answers.reduce((sum, one) => sum + one[what], 0))
  emit({ bench, case: `collecting garbage, 64 B, ${how}, a frame`, ours: (ns * 1e6) / frames, unit: 'ns' })
}
if (zeroCopy) {
  const once = (views) => ({ options: { batchSize: 1, views }, rounds: RENAMES })
  let last
  const samples = await pairs(
    async () => each(await drained('bytes', SMALL, once('copied'))),
    async () => {
      last = await drained('bytes', SMALL, once('zero-copy'))
      return each(last)
    },
  )
  row('a batch of one frame, looked at and renamed, CPU a batch', "views 'copied'", samples)
  const batches = last.reduce((sum, one) => sum + one.batches, 0)
  const [first, end] = [last[0].memory, last.at(-1).memory]
  const grown = Math.max(end.rss - first.rss, end.external - first.external) / 2 ** 20
  const gcNs = (last.reduce((sum, { gcMs }) => sum + gcMs, 0) * 1e6) / batches
  emit({
    bench,
    case: `memory that grew over ${batches} renamed batches`,
    ours: grown,
    unit: 'MiB',
    gate: { atMost: 16, of: 'ours' },
  })
  emit({ bench, case: 'collecting garbage, a renamed batch', ours: gcNs, unit: 'ns' })
}

// e. Loss. `stream` asserts that every frame was received or dropped for a reason, or lost on the link before it came to the interface.
for (const [name, rate] of [
  ['at 1 Mpps', 1_000_000],
  ['at full rate', 0],
]) {
  const COUNT = 1_500_000
  const runs = []
  for (let i = 0; i < 7; i++) runs.push(await streamed('xdp', SMALL, COUNT, { rate }))
  const lost = median(runs.map(({ dropped }) => (dropped / COUNT) * 1e6))
  const whole = runs.filter(({ dropped }) => dropped === 0).length
  emit({ bench, case: `1.5 million ${name}, 64 B, defaults: lost of a million`, ours: lost, unit: 'frames' })
  say(`1.5 million ${name}: none lost in ${whole} of ${runs.length} runs`)
  for (const { mpps, frames, dropped, drops, lostOnLink, batches } of runs) {
    const reasons = drops.map((drop) => `${drop.reason} ${drop.frames}`).join(', ')
    say(
      `  sent ${COUNT} at ${mpps} Mpps = received ${frames} + dropped ${dropped} + lost on the link ${lostOnLink}; ` +
        `${(frames / batches).toFixed(1)} a batch${reasons === '' ? '' : `; since it was opened: ${reasons}`}`,
    )
  }
}
await link.close()
