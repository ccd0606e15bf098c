// The other thread of the benchmark of shared pools: takes buffers that are handed over and says what was in them, or takes and
// gives back buffers of its own.

import { parentPort, workerData } from 'node:worker_threads'
import { BufferChannel, BufferPool } from '../../../dist/index.js'
import { cycle, sumOf, TICKET_DIGITS } from './sharing-work.mjs'

const pool = BufferPool.attach(workerData.pool, { onExhausted: 'throw' })
const alone = new BufferPool({ bufferSize: pool.bufferSize, capacity: 256 })
let [sum, seen, expected] = [0, 0, 0]

function take(bytes) {
  sum = (sum + sumOf(bytes)) | 0
  seen++
}

const adopted = (guard) => {
  take(guard.bytes)
  guard.dispose()
}

function takeAll(message) {
  if (typeof message === 'string') {
    if (message.length === TICKET_DIGITS) adopted(pool.adopt(message))
    else for (const guard of [...pool.adoptMany(message)]) adopted(guard)
  } else if (message instanceof ArrayBuffer) take(new Uint8Array(message))
  else if (Array.isArray(message)) for (const one of message) takeAll(one)
  else take(message)
}

/** All that was expected has come, in one way or the other. */
function answer() {
  if (expected === 0 || seen < expected) return
  parentPort.postMessage(sum)
  sum = seen = expected = 0
}

/** Buffers of a pool taken and given back, as soon as all threads are there. */
function work({ gate, side, burst, rounds }) {
  const once = cycle(side === 'ours' ? pool : alone, burst)
  for (let i = 0; i < 2000; i++) once()
  Atomics.add(gate, 0, -1)
  while (Atomics.load(gate, 0) > 0);
  const from = performance.now()
  for (let i = 0; i < rounds; i++) once()
  return ((performance.now() - from) * 1e6) / (rounds * burst)
}

parentPort.on('message', (message) => {
  if (message?.gate !== undefined) parentPort.postMessage(work(message))
  else if (typeof message === 'number') expected = message
  else takeAll(message)
  answer()
})
const receive = (batch) => {
  for (let i = 0; i < batch.length; i++) take(batch.bytes(i))
  answer()
}
// One thread receives.
if (!workerData.others) {
  BufferChannel.attach(workerData.channel, pool).consume(receive)
  BufferChannel.attach(workerData.uncopied, pool, { copyUpTo: 0 }).consume(receive)
}
parentPort.postMessage('ready')
