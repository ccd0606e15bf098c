// One thread decodes UTF-8 from views that it kept of a slot, while another one, which has the slot now, rewrites it.
// With plain shared memory Node.js 20 and 22 end with a segmentation fault within seconds. Argument: seconds.
import { isMainThread, MessageChannel, receiveMessageOnPort, Worker, workerData } from 'node:worker_threads'
import { BufferPool } from 'wraith-transport'

const SIZE = 4096
/** How often a pattern is written while the other thread decodes. */
const REWRITES = 3000
const patterns = ['\u{1F600}'.repeat(SIZE / 4), 'a'.repeat(SIZE), 'é'.repeat(SIZE / 2)].map((text) =>
  Buffer.from(text),
)

/** The next message, waited for without an event loop: the thread never rests. */
function next(port) {
  for (;;) {
    const come = receiveMessageOnPort(port)
    if (come !== undefined) return come.message
  }
}

if (isMainThread) {
  const pool = new BufferPool({ shared: true, capacity: 2, bufferSize: SIZE })
  const { port1: port, port2 } = new MessageChannel()
  const writer = new Worker(new URL(import.meta.url), {
    workerData: { token: pool.share(), port: port2 },
    transferList: [port2],
  })
  await new Promise((resolve, reject) => writer.on('message', resolve).on('error', reject))
  const end = Date.now() + Number(process.argv[2]) * 1000
  let [journeys, decodes, shown, wrong] = [0, 0, 0, 0]
  let guard = pool.acquire()
  guard.length = SIZE
  while (Date.now() < end) {
    const { bytes, data } = guard
    const stale = [
      bytes,
      data,
      bytes.subarray(1, 100),
      Buffer.from(bytes.buffer, 64),
      new Uint8Array(bytes.buffer),
    ]
    port.postMessage(guard.transfer().token)
    let come
    do {
      for (const view of stale) {
        decodes++
        if (Buffer.prototype.toString.call(view, 'utf8') !== '' || view.byteLength !== 0) shown++
      }
      come = receiveMessageOnPort(port)
    } while (come === undefined)
    guard = pool.adopt(come.message)
    journeys++
    const text = guard.bytes.toString('utf8')
    if (guard.length !== SIZE || text !== patterns[(REWRITES - 1) % 3].toString('utf8')) wrong++
  }
  guard.dispose()
  port.postMessage(null)
  await new Promise((resolve) => writer.on('exit', resolve))
  console.log(
    JSON.stringify({ journeys, decodes, shown, wrong, free: pool.audit().free, audit: pool.audit() }),
  )
  port.close()
} else {
  const { parentPort } = await import('node:worker_threads')
  const pool = BufferPool.attach(workerData.token)
  parentPort.postMessage('ready')
  for (;;) {
    const token = next(workerData.port)
    if (token === null) break
    const guard = pool.adopt(token)
    for (let i = 0; i < REWRITES; i++) guard.bytes.set(patterns[i % 3])
    guard.length = SIZE
    workerData.port.postMessage(guard.transfer().token)
  }
  workerData.port.close()
}
