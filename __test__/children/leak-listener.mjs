// Two guards are lost at once, the listener throws at each, and the pool is closed before: every slot is accounted for
// all the same, and `closed` resolves. Needs --expose-gc.
import { BufferPool } from 'wraith-transport'

const uncaught = []
process.on('uncaughtException', ({ message }) => uncaught.push(message))
const pool = new BufferPool({ bufferSize: 64, capacity: 4, leakDetection: 'count' })
let heard = 0
pool.on('leak', () => {
  heard++
  throw new Error('thrown by the listener')
})

function lose() {
  pool.acquireMany(2)
}

lose()
pool.close()
let closed = false
pool.closed.then(() => {
  closed = true
})
for (let turn = 0; turn < 200 && !(heard === 2 && closed); turn++) {
  globalThis.gc()
  await new Promise(setImmediate)
}
const { ok, problems, quarantined, free, lent } = pool.audit()
console.log(JSON.stringify({ uncaught, heard, closed, ok, problems, quarantined, free, lent }))
