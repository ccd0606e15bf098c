// Ends while workers acquire, hand over and wait.
import { Worker } from 'node:worker_threads'
import { BufferPool } from 'wraith-transport'

const dist = import.meta.resolve('wraith-transport')
const pool = new BufferPool({ bufferSize: 64, capacity: 16, shared: true })
const workers = Array.from(
  { length: 3 },
  () =>
    new Worker(
      `
      const { workerData: token, parentPort } = require('node:worker_threads')
      import(${JSON.stringify(dist)}).then(async ({ BufferPool }) => {
        const pool = BufferPool.attach(token)
        for (;;) {
          const guards = await Promise.all(Array.from({ length: 3 }, () => pool.acquireAsync()))
          parentPort.postMessage(guards.pop().transfer().token)
          for (const guard of guards) guard.dispose()
          await new Promise(setImmediate)
        }
      })`,
      { eval: true, workerData: pool.share() },
    ),
)
let adopted = 0
const done = new Promise((resolve) => {
  for (const worker of workers) {
    worker.on('message', (token) => {
      pool.adopt(token).dispose()
      if (++adopted === 300) resolve()
    })
  }
})
await done
console.log(JSON.stringify({ ok: true }))
const kept = pool.tryAcquire()
switch (process.argv[2]) {
  case 'exit':
    process.exit(0)
    break
  case 'crash':
    process.reallyExit(0)
    break
  default:
    for (const worker of workers) await worker.terminate()
}
globalThis.kept = kept
