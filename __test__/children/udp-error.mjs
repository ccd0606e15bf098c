// Provokes one error of a socket in a process whose system calls were tampered with, and prints it.
import { BufferPool, UdpSocket, WraithError } from 'wraith-transport'

const pool = new BufferPool({ bufferSize: 64, capacity: 2048, onExhausted: 'throw' })
const socket = await UdpSocket.bind({ address: '127.0.0.1', pool })

const ways = {
  receive: () => socket.tryReceive(),
  send: () => socket.send('x', socket.address().port),
  // The queue behind a send buffer that is never writable is bounded: it is full before the pool is empty.
  queue: () => {
    for (;;) {
      const guard = pool.acquire()
      guard.length = 1
      try {
        socket.sendOwned(guard, socket.address())
      } catch (error) {
        guard.dispose()
        throw error
      }
    }
  },
}
let thrown
try {
  ways[process.argv[2]]()
} catch (error) {
  thrown = error
}
await socket.close()
const { available, lent } = pool.metrics()
const { code, option, errno, syscall, message } = thrown ?? {}
console.log(
  JSON.stringify({
    ...{ code, option, errno, syscall, message },
    wraith: thrown instanceof WraithError,
    home: available === 2048 && lent === 0 && pool.audit().ok,
  }),
)
