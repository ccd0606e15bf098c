// Interleaved A/B measurement: theirs, ours, ours, theirs, … so that what else the machine does hits both alike.
// The answer is the median of the pairs' ratios with its confidence interval; absolute times are for orientation.

import { cpus } from 'node:os'
import { measure } from 'mitata'
import { median, medianInterval } from './statistics.mjs'

const PAIRS = 9
const BLOCK_NS = 120e6

/** One line of output for one case; the runner (scripts/bench.mjs) reads it. */
export function emit(row) {
  const machine = { runtime: `node ${process.versions.node}`, cpu: cpus()[0]?.model ?? 'unknown' }
  console.log(JSON.stringify({ ...row, ...machine }))
}

const gcNow = () => globalThis.gc?.()

/** Mean nanoseconds of one call, garbage collection included: what is thrown away has to be paid for. */
async function blockNs(operation) {
  gcNow()
  const options = {
    min_cpu_time: BLOCK_NS,
    warmup_samples: 1,
    batch_samples: 1024,
    inner_gc: false,
    gc: false,
  }
  const { avg } = await measure(operation, options)
  return avg
}

/** The pairs' samples of any two measurements that return a number. Odd pairs swap the order. */
export async function pairs(theirs, ours, count = PAIRS) {
  const samples = []
  for (let pair = -1; pair < count; pair++) {
    const sample = { theirs: 0, ours: 0 }
    for (const side of pair % 2 === 0 ? ['theirs', 'ours'] : ['ours', 'theirs']) {
      sample[side] = await (side === 'ours' ? ours() : theirs())
    }
    // The pair numbered -1 warms both sides up.
    if (pair >= 0) samples.push(sample)
  }
  return samples
}

/** Turns pairs into a row. `ratio` is theirs / ours, or ours / theirs when `higherIsBetter`: above 1 we are ahead. */
export function summarise(samples, { higherIsBetter = false } = {}) {
  const ratios = samples.map(({ theirs, ours }) => (higherIsBetter ? ours / theirs : theirs / ours))
  return {
    ratio: median(ratios),
    interval: medianInterval(ratios),
    ours: median(samples.map((sample) => sample.ours)),
    oursInterval: medianInterval(samples.map((sample) => sample.ours)),
    theirs: median(samples.map((sample) => sample.theirs)),
    pairs: samples.length,
  }
}

/**
 * Times two operations against each other and prints a row.
 *
 * `check` is called first and throws unless both give the right answer. `perCall` is how many units of work one call
 * does. `gate` and `aim` are `{ atLeast }` or `{ atMost }` on the ratio: a gate decides the runner's exit code, an aim
 * is only reported.
 */
export async function compare({ bench, name, baseline, ours, theirs, check, perCall = 1, gate, aim }) {
  check()
  const nsPerUnit = async (operation) => (await blockNs(operation)) / perCall
  const samples = await pairs(
    () => nsPerUnit(theirs),
    () => nsPerUnit(ours),
  )
  emit({ bench, case: name, baseline, ...summarise(samples), unit: 'ns', gate, aim })
}

/** Flags for a process in which `heapBytes` is exact: a young generation that is not collected while it fills. */
export const NO_GC = ['--expose-gc', '--max-semi-space-size=256', '--min-semi-space-size=256']

/**
 * Bytes of JavaScript heap that one of `calls` calls leaves behind, in a process started with `NO_GC`. The calls
 * together must leave less than 200 MB behind.
 */
export function heapBytes(operation, calls) {
  // Twice: the first time also compiles.
  let growth = 0
  for (let round = 0; round < 2; round++) {
    gcNow()
    const before = process.memoryUsage().heapUsed
    for (let i = 0; i < calls; i++) operation()
    growth = process.memoryUsage().heapUsed - before
  }
  return growth / calls
}
