// Ends in the way that the first argument names, with guards, fallback guards, promises and a socket's batch out.
import { BufferPool, UdpSocket } from 'wraith-transport'

const pool = new BufferPool({ bufferSize: 1500, capacity: 16 })
const guards = pool.acquireMany(20)
for (const guard of guards) guard.bytes.fill(1)
const never = new Promise(() => {})
guards[3].disposeAfter(never).catch(() => {})
const other = new BufferPool({ capacity: 256 })
const socket = await UdpSocket.bind({ address: '127.0.0.1', pool: other })
const batch = new Promise((resolve) => {
  socket.consume((rows) => {
    resolve(rows)
    return new Promise(() => {})
  })
})
socket.send('x', socket.address().port)
await batch
globalThis.held = [pool, guards, never, socket, batch]
console.log('ready')
const [how] = process.argv.slice(2)
if (how === 'exit') process.exit(0)
if (how === 'throw') throw new Error('thrown on purpose')
if (how === 'reallyExit') process.reallyExit(0)
// Otherwise: nothing is left to do but the socket.
socket.unref()
