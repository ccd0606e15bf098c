// Ends the process in the middle of everything that workers can do with a shared pool. Argument: after how many ms.
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { BufferPool, UdpSocket } from 'wraith-transport'

if (isMainThread) {
  const pool = new BufferPool({ shared: true, capacity: 32, bufferSize: 512 })
  const workers = Array.from(
    { length: 3 },
    () => new Worker(new URL(import.meta.url), { workerData: pool.share() }),
  )
  for (const worker of workers) worker.on('message', (ticket) => pool.adopt(ticket).dispose())
  const held = [pool.acquire(), pool.acquire()]
  setTimeout(() => {
    held[0].bytes.fill(1)
    process.exit(7)
  }, Number(process.argv[2]))
} else {
  const pool = BufferPool.attach(workerData, { onExhausted: 'throw' })
  const socket = await UdpSocket.bind({ address: '127.0.0.1', pool, batchSize: 4 })
  socket.consume((batch) => {
    for (let i = 0; i < batch.length; i++) batch.bytes(i).fill(1)
    socket.send('x', socket.address())
  })
  socket.send('x', socket.address())
  for (;;) {
    const guard = await pool.acquireAsync()
    guard.bytes.fill(1)
    parentPort.postMessage(guard.transfer())
    await new Promise(setImmediate)
  }
}
