// A thread loses a guard but keeps a part of its bytes: nobody else may get them while it lives. Needs --expose-gc.
import { Worker } from 'node:worker_threads'
import { BufferPool } from 'wraith-transport'

const dist = import.meta.resolve('wraith-transport')
const pool = new BufferPool({ bufferSize: 64, capacity: 8, shared: true, onExhausted: 'throw' })
const worker = new Worker(
  `
  const { workerData: token, parentPort } = require('node:worker_threads')
  process.on('warning', () => {})
  import(${JSON.stringify(dist)}).then(async ({ BufferPool }) => {
    const pool = BufferPool.attach(token)
    const lose = () => pool.acquire().bytes.fill(0xaa).subarray(8, 16)
    const alias = lose()
    while (pool.metrics().leaked === 0) {
      gc()
      await new Promise(setImmediate)
    }
    parentPort.postMessage(pool.metrics().leaked)
    parentPort.once('message', () => {
      parentPort.postMessage(alias.every((byte) => byte === 0xaa))
      parentPort.close()
    })
  })`,
  { eval: true, workerData: pool.share() },
)
const message = () => new Promise((resolve) => worker.once('message', resolve))
const leaked = await message()
const { quarantined, elsewhere } = pool.audit()
const guards = []
for (let guard = pool.tryAcquire(); guard !== undefined; guard = pool.tryAcquire()) guards.push(guard)
for (const guard of guards) guard.bytes.fill(0xbb)
const ended = new Promise((resolve) => worker.once('exit', resolve))
const answer = message()
worker.postMessage('look')
const intact = (await answer) && guards.length === 7
await ended
for (const guard of guards) guard.dispose()
const after = pool.audit()
const free = after.free + after.cached
console.log(JSON.stringify({ leaked, quarantined, elsewhere, intact, after: after.quarantined, free }))
