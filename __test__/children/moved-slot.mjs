// User code takes the memory of one of eight buffers away, in the way and at the moment that the arguments name.
import {
  isMainThread,
  MessageChannel,
  parentPort,
  receiveMessageOnPort,
  Worker,
  workerData,
} from 'node:worker_threads'
import { BufferPool } from 'wraith-transport'

const CAPACITY = 8
const { port1, port2 } = new MessageChannel()
const ways = {
  'ArrayBuffer#transfer': (memory) => memory.transfer(),
  structuredClone: (memory) => structuredClone(memory, { transfer: [memory] }),
  postMessage: (memory) => {
    port1.postMessage(memory, [memory])
    return receiveMessageOnPort(port2).message
  },
  "a byte stream's reader": async (memory) => {
    const stream = new ReadableStream({
      type: 'bytes',
      pull({ byobRequest }) {
        byobRequest.respond(1)
      },
    })
    const { value } = await stream.getReader({ mode: 'byob' }).read(new Uint8Array(memory))
    return value.buffer
  },
}

/** The memory that was taken, or a copy, and whether the buffer is empty now. */
async function take(way, view) {
  let taken
  try {
    taken = await ways[way](view.buffer)
  } catch {}
  return { taken, moved: view.byteLength === 0 }
}

const textOf = (memory) => Buffer.from(memory ?? []).toString('latin1', 0, 10)

if (!isMainThread) {
  const { token, way } = workerData
  const pool = BufferPool.attach(token)
  const guard = pool.acquire()
  guard.bytes.write('taken away')
  const { taken, moved } = await take(way, guard.bytes)
  parentPort.postMessage({ moved, taken: moved ? taken : undefined }, moved ? [taken] : [])
  globalThis.kept = [pool, guard]
} else {
  const [way, moment] = process.argv.slice(2)
  const codes = []
  process.on('warning', ({ code }) => codes.push(code))
  const pool = new BufferPool({ bufferSize: 64, capacity: CAPACITY, shared: true, onExhausted: 'throw' })
  let result
  let stale
  if (moment === 'before the thread ends') {
    const worker = new Worker(new URL(import.meta.url), { workerData: { token: pool.share(), way } })
    const ended = new Promise((resolve) => worker.once('exit', resolve))
    result = await new Promise((resolve) => worker.once('message', resolve))
    await ended
  } else {
    const guard = pool.acquire()
    const view = guard.bytes
    view.write('taken away')
    if (moment === 'after dispose') guard.dispose()
    result = await take(way, view)
    if (moment === 'before transfer') {
      try {
        guard.transfer().cancel()
      } catch (error) {
        stale = error.code
      }
    } else guard.dispose()
  }
  const guards = []
  for (let guard = pool.tryAcquire(); guard !== undefined; guard = pool.tryAcquire()) guards.push(guard)
  const whole = guards.filter(({ bytes }) => bytes.length === 64 && bytes.every((byte) => byte === 0)).length
  // Somebody else writes into every buffer that there is: what was taken away is not one of them.
  for (const { bytes } of guards) bytes.fill(0xee)
  const text = textOf(result.taken)
  const { quarantined, ok } = pool.audit()
  for (const guard of guards) guard.dispose()
  pool.close()
  await pool.closed
  await new Promise(setImmediate)
  const twice = new Uint8Array(result.taken ?? 0).includes(0xee)
  console.log(JSON.stringify({ moved: result.moved, codes, quarantined, whole, twice, stale, text, ok }))
}
port1.close()
