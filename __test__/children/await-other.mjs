// Nothing but the call that waits, and then the promise of a closed pool, keeps this process alive.
import { Worker } from 'node:worker_threads'
import { BufferPool } from 'wraith-transport'

const dist = import.meta.resolve('wraith-transport')
const pool = new BufferPool({ bufferSize: 64, capacity: 2, shared: true, onExhausted: 'throw' })
const gate = new Int32Array(new SharedArrayBuffer(4))
const worker = new Worker(
  `
  const { workerData: { token, gate }, parentPort } = require('node:worker_threads')
  import(${JSON.stringify(dist)}).then(async ({ BufferPool }) => {
    const pool = BufferPool.attach(token)
    const guards = pool.acquireMany(2)
    parentPort.postMessage('held')
    for (const guard of guards) {
      await Atomics.waitAsync(gate, 0, 0).value
      Atomics.store(gate, 0, 0)
      guard.dispose()
    }
    setInterval(() => {}, 1000)
  })`,
  { eval: true, workerData: { token: pool.share(), gate } },
)
await new Promise((resolve) => worker.once('message', resolve))
worker.unref()
const release = () => {
  Atomics.store(gate, 0, 1)
  Atomics.notify(gate, 0)
}
setTimeout(release, 20).unref()
const guard = await pool.acquireAsync()
const bytes = guard.bytes.length
guard.dispose()
pool.close()
setTimeout(release, 20).unref()
await pool.closed
console.log(JSON.stringify({ bytes, closed: pool.audit().free === 2 }))
