import { XdpSocket } from '../../../../index.js'
import type { SocketDrops } from '../drops.js'
import { linkDrops } from '../kernel-drops.js'
import type { OpenReceiver } from '../messages.js'
import type { Handle, Source } from '../sources.js'

/** Ethernet, IPv4, UDP: a filter's port rules select no frames with tags or options, and the demo sends no IPv6. */
const UDP_AT = 14 + 20
const UDP_LENGTH_AT = UDP_AT + 4
const UDP_BYTES = 8

/** The datagrams of a port before the kernel's stack sees them, with the defaults of `XdpSocket`. */
export async function openXdp({ link, port }: OpenReceiver, handle: Handle): Promise<Source> {
  if (link === undefined) throw new Error('AF_XDP needs an interface')
  const socket = await XdpSocket.open(link, { filter: { udpPorts: [port] } })
  socket.consume((batch) => {
    const { view, offsets } = batch
    for (let i = 0; i < batch.length; i++) {
      const frame = offsets[i] as number
      const length = view.getUint16(frame + UDP_LENGTH_AT) - UDP_BYTES
      handle(new Uint8Array(view.buffer, view.byteOffset + frame + UDP_AT + UDP_BYTES, length))
    }
  })
  return {
    port,
    recvBufferSize: 0,
    about: String(socket.info()),
    drops: () => dropsOf(socket),
    // A veth counts a frame that the program sent to a full socket as received and dropped.
    droppedByProc: () => linkDrops(link).received,
    batches: () => socket.metrics().rxBatches,
    close: () => socket.close(),
  }
}

function dropsOf(socket: XdpSocket): SocketDrops {
  const { drops } = socket.metrics()
  const of = (reason: string): number => drops.find((each) => each.reason === reason)?.frames ?? 0
  return { fillRingEmpty: of('fillRingEmpty'), rxRingFull: of('rxRingFull') }
}
