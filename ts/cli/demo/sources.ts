import dgram from 'node:dgram'
import { once } from 'node:events'
import { UdpSocket } from '../../../index.js'
import type { Side } from './messages.js'

/** A bound socket that hands each datagram to a handler. */
export interface Source {
  port: number
  recvBufferSize: number
  /** Datagrams that the kernel dropped, as far as the library knows. */
  dropped(): number | undefined
  /** How many times the library called with packets; `undefined` for one that calls for each. */
  batches(): number | undefined
  close(): void
}

/** What both sides run for each packet. The bytes are theirs until it returns. */
export type Handle = (bytes: Uint8Array) => void

const LOOPBACK = '127.0.0.1'

export function open(side: Side, recvBufferSize: number | undefined, handle: Handle): Promise<Source> {
  return side === 'dgram' ? openDgram(recvBufferSize, handle) : openWraith(recvBufferSize, handle)
}

async function openDgram(recvBufferSize: number | undefined, handle: Handle): Promise<Source> {
  const socket = dgram.createSocket({ type: 'udp4', ...(recvBufferSize !== undefined && { recvBufferSize }) })
  socket.on('message', (bytes) => handle(bytes))
  socket.bind({ address: LOOPBACK, port: 0 })
  await once(socket, 'listening')
  return {
    port: socket.address().port,
    recvBufferSize: socket.getRecvBufferSize(),
    dropped: () => undefined,
    batches: () => undefined,
    close: () => socket.close(),
  }
}

async function openWraith(recvBufferSize: number | undefined, handle: Handle): Promise<Source> {
  const socket = await UdpSocket.bind({
    address: LOOPBACK,
    port: 0,
    ...(recvBufferSize !== undefined && { recvBufferSize }),
  })
  socket.consume((batch) => {
    for (let i = 0; i < batch.length; i++) handle(batch.bytes(i))
  })
  return {
    port: socket.address().port,
    recvBufferSize: socket.getRecvBufferSize(),
    dropped: () => socket.metrics().rxDroppedByKernel,
    batches: () => socket.metrics().rxBatches,
    close: () => socket.close(),
  }
}
