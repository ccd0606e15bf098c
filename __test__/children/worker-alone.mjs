// Only workers load the addon: the main thread never does. They make pools, hold guards, and end in several ways.
import { Worker } from 'node:worker_threads'

const program = `
  import { parentPort, workerData } from 'node:worker_threads'
  import { BufferPool } from ${JSON.stringify(import.meta.resolve('wraith-transport'))}
  const pools = Array.from({ length: 4 }, () => new BufferPool({ bufferSize: 1500, capacity: 64 }))
  const guards = pools.flatMap((pool) => [...pool.acquireMany(70)])
  for (const guard of guards) guard.bytes.fill(workerData.round & 255)
  const whole = guards.every(({ bytes }) => bytes[0] === (workerData.round & 255))
  parentPort.postMessage({ whole, ok: pools.every((pool) => pool.audit().ok) })
  if (workerData.how === 'exit') process.exit(0)
  if (workerData.how === 'spin') for (;;) pools[0].metrics()
  if (workerData.how === 'wait') setInterval(() => {}, 1000)
  if (workerData.how === 'dispose') for (const guard of guards) guard.dispose()
`
const url = new URL(`data:text/javascript,${encodeURIComponent(program)}`)
const seen = { ended: 0, whole: 0, ok: 0 }
for (let round = 0; round < 5; round++) {
  await Promise.all(
    ['exit', 'spin', 'wait', 'dispose', 'end'].map(
      (how) =>
        new Promise((resolve, reject) => {
          const worker = new Worker(url, { workerData: { how, round } })
          worker.on('error', reject)
          worker.on('message', ({ whole, ok }) => {
            seen.whole += Number(whole)
            seen.ok += Number(ok)
            if (how === 'spin' || how === 'wait') worker.terminate()
          })
          worker.on('exit', () => {
            seen.ended++
            resolve()
          })
        }),
    ),
  )
}
const loaded = process.report.getReport().sharedObjects.filter((file) => file.endsWith('.node')).length
console.log(JSON.stringify({ ...seen, loaded }))
