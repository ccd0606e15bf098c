// Writes every packet to a file: two bytes of length (big-endian), then the packet.
//
//   node examples/capture-to-file.mjs FILE [--port 9000] [--packets N]
//
// It ends after N packets, or at Ctrl-C. A packet's slot is written to the file from where it lies and goes home when
// the write is done, not before. When the disk is slower than the network, the pool runs out, reading pauses, and
// packets wait in the kernel's buffer: memory is bounded by the pool.

import { open } from 'node:fs/promises'
import { parseArgs } from 'node:util'
import { UdpSocket } from 'wraith-transport'

const { values, positionals } = parseArgs({
  options: { port: { type: 'string' }, packets: { type: 'string' } },
  allowPositionals: true,
})
const wanted = values.packets === undefined ? Number.POSITIVE_INFINITY : Number(values.packets)
const [name] = positionals
if (name === undefined) {
  console.error('usage: node examples/capture-to-file.mjs FILE [--port 9000] [--packets N]')
  process.exit(2)
}

const file = await open(name, 'w')
const socket = await UdpSocket.bind({
  address: '127.0.0.1',
  port: Number(values.port ?? 9000),
  capacity: 4096,
})
const writes = new Set()
let [packets, position, failure] = [0, 0, undefined]

const stop = () => socket.stop()
process.once('SIGINT', stop)
console.log(`listening on port ${socket.address().port}`)

for await (const batch of socket) {
  for (let i = 0; i < batch.length && packets < wanted; i++) {
    const guard = batch.take(i)
    const header = Buffer.alloc(2)
    header.writeUInt16BE(guard.length)
    const buffers = [header, guard.data]
    const write = guard
      .disposeAfter(file.writev(buffers, position))
      .catch((error) => {
        failure ??= error
        stop()
      })
      .finally(() => writes.delete(write))
    writes.add(write)
    packets++
    position += buffers[0].length + buffers[1].length
  }
  if (packets === wanted) break
}

// Leaving the loop stops reading; the guards of writes under way are still good.
process.off('SIGINT', stop)
await Promise.all(writes)
await file.close()
const { rxDroppedByKernel, rxStarved } = socket.metrics()
await socket.close()
await socket.pool.closed
if (failure !== undefined) throw failure
console.log(
  `${packets} packets, ${position} bytes written, ${rxDroppedByKernel} dropped by the kernel, starved ${rxStarved} times`,
)
