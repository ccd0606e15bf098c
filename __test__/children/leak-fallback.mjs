// Loses guards of the heap, with the pool's own buffer out. Needs --expose-gc.
import { BufferPool } from 'wraith-transport'

const pool = new BufferPool({ bufferSize: 64, capacity: 1, maxFallback: 3 })
const held = pool.acquire()

function lose() {
  for (let i = 0; i < 3; i++) pool.acquire().touch('of the heap')
}

lose()
const before = pool.metrics()
let full = false
try {
  pool.acquire()
} catch ({ code }) {
  full = code === 'WRAITH_ERR_POOL_EXHAUSTED'
}
for (let turn = 0; turn < 200 && pool.metrics().fallbackLive > 0; turn++) {
  globalThis.gc()
  await new Promise(setImmediate)
}
const after = pool.metrics()
const again = pool.acquireMany(3)
again.dispose()
pool.close()
held.dispose()
await pool.closed
console.log(JSON.stringify({ before, after, full, pooled: again.length, audit: pool.audit() }))
