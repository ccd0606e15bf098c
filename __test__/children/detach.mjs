// User code tries to take the memory under a pool away, in the way that the first argument names, while guards are out.
import { MessageChannel } from 'node:worker_threads'
import { BufferPool, UdpSocket } from 'wraith-transport'

const CAPACITY = 64
const ways = {
  structuredClone: (memory) => structuredClone(memory, { transfer: [memory] }),
  transfer: (memory) => memory.transfer(),
  postMessage: (memory) => {
    const { port1, port2 } = new MessageChannel()
    port1.postMessage(memory, [memory])
    port1.close()
    port2.close()
  },
}
const codes = []
process.on('warning', ({ code }) => codes.push(code))

const pool = new BufferPool({ bufferSize: 100, capacity: CAPACITY, onExhausted: 'throw' })
const socket = await UdpSocket.bind({ address: '127.0.0.1', pool })
const [before, other] = pool.acquireMany(2)
before.bytes.fill(1)
other.bytes.fill(2)

let refused
let taken
try {
  taken = ways[process.argv[2]](before.bytes.buffer)
} catch (error) {
  refused = error.name
}
const detached = before.bytes.byteLength === 0

// The pool goes on: guards that are out can end, and every buffer is whole and zeroed.
if (!detached) before.bytes.fill(3)
before.dispose()
other.dispose()
let whole = 0
for (let round = 0; round < 3; round++) {
  const guards = pool.acquireMany(CAPACITY)
  for (const { bytes } of guards) {
    if (bytes.byteLength === 100 && bytes.every((byte) => byte === 0)) whole++
    bytes.fill(0xff)
  }
  guards.dispose()
}

// And a socket goes on receiving into it and sending from it.
const received = new Promise((resolve) => {
  const texts = []
  socket.consume((batch) => {
    for (let i = 0; i < batch.length; i++) texts.push(batch.copy(i).toString())
    if (texts.length === 2) resolve(texts)
  })
})
socket.send('sent', socket.address().port)
const own = pool.acquire()
own.length = own.bytes.write('owned')
socket.sendOwned(own, socket.address())
const texts = await received
await socket.close()
const audit = pool.audit()
pool.close()
await pool.closed
await new Promise(setImmediate)
const result = { refused, detached, whole, texts, codes, ok: audit.ok, free: audit.free + audit.cached }
console.log(JSON.stringify(result))
// What was taken is still there at exit.
globalThis.kept = taken
