// Loses guards at the level that the first argument, or WRAITH_LEAK, asks for, and says what the pool made of it.
// Needs --expose-gc.
import { BufferPool } from 'wraith-transport'

const [level] = process.argv.slice(2)
const CAPACITY = 8
const warnings = []
process.on('warning', ({ name, code, message }) => warnings.push({ name, code, message }))

const pool = new BufferPool({
  bufferSize: 64,
  capacity: CAPACITY,
  onExhausted: 'throw',
  ...(level === undefined ? {} : { leakDetection: level }),
})
const reports = []
if (process.argv.includes('--listen')) pool.on('leak', (report) => reports.push(report))

function loseOne(note) {
  pool.acquire().touch(note) // this line loses a guard
}

/** Turns of the event loop with a collection in each, until it has happened or will not. */
export async function collect(until) {
  for (let turn = 0; turn < 200 && !until(); turn++) {
    globalThis.gc()
    await new Promise(setImmediate)
  }
}

// One at a time, so that each would come back from the magazine if it could.
const expected = level === 'off' ? 0 : 3
for (let lost = 1; lost <= 3; lost++) {
  loseOne(`note ${lost}`)
  await collect(() => level !== 'off' && pool.metrics().leaked === lost)
}
const dump = pool.dump()

// What is left must never be a slot that was lost.
const left = []
for (let guard = pool.tryAcquire(); guard !== undefined; guard = pool.tryAcquire()) left.push(guard)
const lentSlots = pool.dump().filter(({ state }) => state === 'lent').length
for (const guard of left) guard.dispose()
const { available, leaked, quarantined, lent, releases } = pool.metrics()
const audit = pool.audit()
pool.close()
let closed = false
pool.closed.then(() => {
  closed = true
})
await new Promise(setImmediate)
console.log(
  JSON.stringify({
    level: pool.info().leakDetection,
    expected,
    reports,
    warnings,
    dump,
    got: left.length,
    lentSlots,
    metrics: { available, leaked, quarantined, lent, releases },
    ok: audit.ok,
    problems: audit.problems,
    closed,
  }),
)
