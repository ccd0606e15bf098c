// Sends every packet back to where it came from. Nothing is copied: the slot that a packet was received into is the
// one that it is sent from.
//
//   node examples/echo.mjs [--port 7007] [--packets N]
//
// It ends after N packets, or at Ctrl-C.

import { parseArgs } from 'node:util'
import { UdpSocket } from 'wraith-transport'

const { values } = parseArgs({ options: { port: { type: 'string' }, packets: { type: 'string' } } })
const wanted = values.packets === undefined ? Number.POSITIVE_INFINITY : Number(values.packets)

const socket = await UdpSocket.bind({ address: '127.0.0.1', port: Number(values.port ?? 7007) })
console.log(`listening on port ${socket.address().port}`)

// 'drain' follows a sendOwned() that returned false, once everything that waited has been sent.
socket.on('drain', () => {
  socket.resume()
  finishWhenDone()
})

let taken = 0
socket.consume((batch) => {
  for (let i = 0; i < batch.length && taken < wanted; i++) {
    const peer = batch.peer(i)
    const guard = batch.take(i)
    taken++
    // The guard is the socket's from here on. `false`: the kernel's send buffer is full and the packet waits in a
    // queue of 1024. Reading stops, so that at most the rest of this batch joins it.
    if (!socket.sendOwned(guard, peer)) socket.pause()
  }
  finishWhenDone()
})

function finishWhenDone() {
  if (taken === wanted && socket.metrics().txQueued === 0) finish()
}

function finish() {
  const { txPackets, txErrors, icmpErrors } = socket.metrics()
  console.log(
    `${txPackets} of ${taken} packets sent back, ${txErrors} send errors, ${icmpErrors} ICMP refusals`,
  )
  socket.close()
  process.off('SIGINT', finish)
}
process.once('SIGINT', finish)
