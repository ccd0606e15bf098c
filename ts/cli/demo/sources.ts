import dgram from 'node:dgram'
import { once } from 'node:events'
import { UdpSocket } from '../../../index.js'
import type { SocketDrops } from './drops.js'
import { kernelDrops } from './kernel-drops.js'
import type { OpenReceiver } from './messages.js'
import { openXdp } from './xdp/source.js'

/** A bound socket that hands each datagram to a handler. */
export interface Source {
  port: number
  /** 0 for a socket that has none. */
  recvBufferSize: number
  /** What there is to be said about it. */
  about?: string
  /** Datagrams that the kernel dropped, as far as the library knows. */
  drops(): SocketDrops | undefined
  /** How many those are by another counter, in `/proc/net`. */
  droppedByProc(): number | undefined
  /** How many times the library called with packets; `undefined` for one that calls for each. */
  batches(): number | undefined
  close(): Promise<void>
}

/** What all sides run for each packet. The bytes are theirs until it returns. */
export type Handle = (bytes: Uint8Array) => void

export function open(request: OpenReceiver, handle: Handle): Promise<Source> {
  switch (request.side) {
    case 'dgram':
      return openDgram(request, handle)
    case 'wraith':
      return openWraith(request, handle)
    case 'xdp':
      return openXdp(request, handle)
  }
}

async function openDgram({ host, port, recvBufferSize }: OpenReceiver, handle: Handle): Promise<Source> {
  const socket = dgram.createSocket({ type: 'udp4', ...(recvBufferSize !== undefined && { recvBufferSize }) })
  socket.on('message', (bytes) => handle(bytes))
  socket.bind({ address: host, port })
  await once(socket, 'listening')
  const bound = socket.address().port
  return {
    port: bound,
    recvBufferSize: socket.getRecvBufferSize(),
    drops: () => undefined,
    droppedByProc: () => kernelDrops(bound),
    batches: () => undefined,
    close: () => new Promise((resolve) => socket.close(resolve)),
  }
}

async function openWraith({ host, port, recvBufferSize }: OpenReceiver, handle: Handle): Promise<Source> {
  const socket = await UdpSocket.bind({
    address: host,
    port,
    ...(recvBufferSize !== undefined && { recvBufferSize }),
  })
  socket.consume((batch) => {
    for (let i = 0; i < batch.length; i++) handle(batch.bytes(i))
  })
  const bound = socket.address().port
  return {
    port: bound,
    recvBufferSize: socket.getRecvBufferSize(),
    drops: () => ({ receiveBuffer: socket.metrics().rxDroppedByKernel }),
    droppedByProc: () => kernelDrops(bound),
    batches: () => socket.metrics().rxBatches,
    close: () => socket.close(),
  }
}
