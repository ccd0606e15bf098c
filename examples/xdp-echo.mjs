// A UDP echo below the kernel's stack: each frame is turned round where it lies and sent back.
//
//   node examples/xdp-echo.mjs INTERFACE [--port 7] [--packets N]
//
// It ends after N packets, or at Ctrl-C, and says what was received, sent and dropped. Needs CAP_NET_ADMIN, CAP_NET_RAW and
// CAP_BPF. Everything but UDP to that port goes on to the kernel as if it were not there.

import { parseArgs } from 'node:util'
import { XdpSocket } from 'wraith-transport'

const { values, positionals } = parseArgs({
  options: { port: { type: 'string' }, packets: { type: 'string' } },
  allowPositionals: true,
})
const port = Number(values.port ?? 7)
const wanted = values.packets === undefined ? Number.POSITIVE_INFINITY : Number(values.packets)
const [name] = positionals
if (name === undefined) {
  console.error('usage: node examples/xdp-echo.mjs INTERFACE [--port 7] [--packets N]')
  process.exit(2)
}

// The filter takes untagged IPv4 without options and IPv6 without extension headers only, so headers have fixed places.
const IPV4 = { sourceAt: 26, addressBytes: 4, udpAt: 34 }
const IPV6 = { sourceAt: 22, addressBytes: 16, udpAt: 54 }
const scratch = Buffer.alloc(16)

function swap(frame, at, bytes) {
  frame.copy(scratch, 0, at, at + bytes)
  frame.copy(frame, at, at + bytes, at + 2 * bytes)
  scratch.copy(frame, at + bytes, 0, bytes)
}

/** Over the addresses, which lie right before the UDP header, and the datagram (RFC 768, RFC 8200). */
function checksum(frame, { sourceAt, udpAt }) {
  const length = frame.readUInt16BE(udpAt + 4)
  const end = udpAt + length
  frame.writeUInt16BE(0, udpAt + 6)
  let sum = 17 + length
  for (let at = sourceAt; at < end - 1; at += 2) sum += frame.readUInt16BE(at)
  if (length % 2 === 1) sum += frame[end - 1] << 8
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16)
  return ~sum & 0xffff || 0xffff
}

/** Exchanges sender and receiver. A sender on this very machine may have left its checksum to a card that is not there. */
function turnRound(frame) {
  const places = frame.readUInt16BE(12) === 0x0800 ? IPV4 : IPV6
  const { sourceAt, addressBytes, udpAt } = places
  swap(frame, 0, 6)
  swap(frame, sourceAt, addressBytes)
  swap(frame, udpAt, 2)
  if (udpAt + frame.readUInt16BE(udpAt + 4) <= frame.length) {
    frame.writeUInt16BE(checksum(frame, places), udpAt + 6)
  }
}

const xdp = await XdpSocket.open(name, { filter: { udpPorts: [port] } })
let [received, sent] = [0, 0]
process.once('SIGINT', () => xdp.close())

xdp.consume((batch) => {
  for (let i = 0; i < batch.length; i++) turnRound(batch.bytes(i))
  received += batch.length
  // What there is no room for goes back to the kernel's ring with the batch: dropped, and counted here.
  sent += xdp.send(batch)
  if (received >= wanted) xdp.close()
})
console.log(`listening on ${xdp.info()}`)

await xdp.closed
const { drops } = xdp.metrics()
console.log(`${received} received, ${sent} sent back`)
for (const { reason, frames, remedy } of drops) console.log(`${frames} dropped, ${reason}: ${remedy}`)
