// The object that acquires is the receiver of a frame of the recorded stack, and holds the guard: nothing else does.
// Needs --expose-gc.
import { BufferPool } from 'wraith-transport'

const pool = new BufferPool({ bufferSize: 64, capacity: 4, leakDetection: 'stack' })
const reports = []
pool.on('leak', (report) => reports.push(report))

class Session {
  open() {
    this.guard = pool.acquire() // the session acquires here
    return this
  }
}

function forget() {
  for (let i = 0; i < 3; i++) new Session().open()
}

forget()
for (let turn = 0; turn < 200 && reports.length < 3; turn++) {
  globalThis.gc()
  await new Promise(setImmediate)
}
console.log(JSON.stringify({ stacks: reports.map(({ stack }) => stack), leaked: pool.metrics().leaked }))
