// Decodes UTF-8 from views of frames whose batches have ended, while a worker sends frames without a pause that the kernel writes into
// the very same memory. With plain memory Node.js 20 and 22 end with a segmentation fault within seconds. Runs in a network namespace of
// its own, and makes a wire there. Arguments: seconds, views.
import { execFileSync } from 'node:child_process'
import { isMainThread, Worker, workerData } from 'node:worker_threads'
import { XdpSocket } from 'wraith-transport'

const SIZE = 1400
const patterns = ['\u{1F600}'.repeat(SIZE / 4), 'a'.repeat(SIZE), 'é'.repeat(SIZE / 2)].map((text) =>
  Buffer.from(text),
)
/** To everybody, with an EtherType for experiments, so that no stack answers. */
const HEADER = Buffer.from('ffffffffffff02000000000188b5', 'hex')
const FILTER = { etherTypes: [0x88b5] }
/** Stale views that are kept and decoded. */
const KEPT = 64

if (isMainThread) {
  const [seconds, views] = [Number(process.argv[2]), process.argv[3]]
  const ip = (command) => execFileSync('ip', command.split(' '))
  ip('link add stale0 type veth peer name stale1')
  for (const end of ['stale0', 'stale1']) ip(`link set ${end} up`)
  const xdp = await XdpSocket.open('stale0', { filter: FILTER, frames: 64, txFrames: 0, txRing: 0, views })
  const stop = new Int32Array(new SharedArrayBuffer(4))
  const sender = new Worker(new URL(import.meta.url), { workerData: stop })
  await new Promise((resolve, reject) => sender.on('message', resolve).on('error', reject))
  const end = Date.now() + seconds * 1000
  let [batches, frames, decodes, shown, wrong] = [0, 0, 0, 0, 0]
  let stale = []
  while (Date.now() < end) {
    for (const view of stale) {
      decodes++
      if (Buffer.prototype.toString.call(view, 'utf8') !== '' || view.byteLength !== 0) shown++
    }
    const batch = xdp.tryReceive()
    // The kernel writes frames while this one turns.
    if (batch === undefined) continue
    batches++
    for (let i = 0; i < batch.length; i++) {
      const bytes = batch.bytes(i)
      const payload = bytes.subarray(HEADER.length)
      if (!patterns.some((pattern) => pattern.equals(payload))) wrong++
      frames++
      stale.push(payload, bytes, Buffer.from(bytes.buffer, bytes.byteOffset), new Uint8Array(bytes.buffer))
    }
    // Taking a frame, and ending the batch, empty what was made before.
    if (batches % 2 === 0) batch.take(0).dispose()
    batch.dispose()
    stale = views === 'copied' ? [] : stale.slice(-KEPT)
  }
  Atomics.store(stop, 0, 1)
  await new Promise((resolve) => sender.on('exit', resolve))
  await xdp.close()
  console.log(JSON.stringify({ batches, frames, decodes, shown, wrong, audit: xdp.pool.audit() }))
} else {
  const { parentPort } = await import('node:worker_threads')
  const xdp = await XdpSocket.open('stale1', { filter: 'none', frames: 256 })
  const { pool } = xdp
  parentPort.postMessage('ready')
  for (let n = 0; Atomics.load(workerData, 0) === 0; n++) {
    const guards = []
    for (
      let guard = pool.tryAcquire();
      guard !== undefined && guards.length < 64;
      guard = pool.tryAcquire()
    ) {
      guard.bytes.set(HEADER)
      guard.bytes.set(patterns[(n + guards.length) % 3], HEADER.length)
      guard.length = HEADER.length + SIZE
      guards.push(guard)
    }
    xdp.send(guards)
    for (const guard of guards) guard.dispose()
    await new Promise(setImmediate)
  }
  await xdp.close()
}
