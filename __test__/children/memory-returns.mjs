// Makes and forgets pools of 32 MiB, closed and not, with guards out and not. Needs --expose-gc.
import { BufferPool } from 'wraith-transport'

const MIB = 1024 * 1024
const ROUNDS = 48
const resident = () => process.memoryUsage.rss() / MIB

function makeAndForget(round) {
  const pool = new BufferPool({ bufferSize: MIB, capacity: 32, leakDetection: 'off' })
  const guard = pool.acquire()
  guard.bytes.fill(round)
  if (round % 2 === 0) guard.dispose()
  if (round % 3 === 0) pool.close()
  highest = Math.max(highest, resident() - before)
}

/** A view outlives its pool's close(), and everything else of the pool. */
function keepView() {
  const pool = new BufferPool({ bufferSize: 64, capacity: 2, leakDetection: 'off' })
  const { bytes } = pool.acquire()
  bytes.fill(7)
  pool.close()
  return bytes
}

const kept = keepView()
const before = resident()
let highest = 0
let most = 0
for (let round = 0; round < ROUNDS; round++) {
  makeAndForget(round)
  for (let turn = 0; turn < 3; turn++) {
    globalThis.gc()
    await new Promise(setImmediate)
  }
  most = Math.max(most, resident() - before)
}
console.log(
  JSON.stringify({
    madeMiB: ROUNDS * 32,
    highestMiB: highest,
    mostMiB: most,
    kept: kept.every((byte) => byte === 7),
  }),
)
