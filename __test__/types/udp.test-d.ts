// Compiled by scripts/test.mjs with the whole project, never run.
import {
  type AbortSignalLike,
  type Batch,
  type BatchHandler,
  BufferPool,
  type Peer,
  type PooledBuffer,
  type SocketBufferInfo,
  type UdpAttachOptions,
  type UdpInfo,
  type UdpMetrics,
  UdpSocket,
  type UdpSocketOptions,
  type UdpSocketToken,
  type WraithError,
} from 'wraith-transport'

import { type Equal, expectTrue } from './equal.ts'

const signal: AbortSignalLike = new AbortController().signal
const options: UdpSocketOptions = {
  port: 8125,
  address: '::1',
  type: 'udp6',
  ipv6Only: true,
  reuseAddr: true,
  reusePort: true,
  recvBufferSize: 1,
  sendBufferSize: 1,
  signal,
  fd: 3,
  pool: new BufferPool(),
  batchSize: 64,
  timestamps: true,
  onTruncated: 'drop',
  backend: 'recvmsg',
}
expectTrue<Equal<ReturnType<typeof UdpSocket.bind>, Promise<UdpSocket>>>()
const socket = await UdpSocket.bind(options)
await UdpSocket.bind()
// @ts-expect-error sockets are bound, not constructed
new UdpSocket({})
// @ts-expect-error none of the two families
await UdpSocket.bind({ type: 'udp5' })
// @ts-expect-error no such option
await UdpSocket.bind({ host: '127.0.0.1' })

const handler: BatchHandler = async (batch: Batch) => {
  for (let i = 0; i < batch.length; i++) {
    const bytes: Buffer = batch.bytes(i)
    const { address, family, port }: Peer = batch.peer(i)
    expectTrue<Equal<typeof family, 'IPv4' | 'IPv6'>>()
    const kept: PooledBuffer = batch.take(i)
    const copied: Buffer = batch.copy(i)
    void [bytes, address, port, kept, copied, batch.truncated(i) satisfies boolean]
  }
  const columns: [Uint32Array, Uint32Array, Uint8Array, BigUint64Array, Float64Array, DataView] = [
    batch.offsets,
    batch.lengths,
    batch.flags,
    batch.timestamps,
    batch.timestampsMs,
    batch.view,
  ]
  void columns
}
socket.consume(handler).stop()
socket.consume(() => {}).pause()
// @ts-expect-error a handler is needed
socket.consume()
expectTrue<Equal<ReturnType<typeof socket.tryReceive>, Batch | undefined>>()
for await (const batch of socket) expectTrue<Equal<typeof batch, Batch>>()

const peer = socket.address()
const sent: boolean =
  socket.send('text') && socket.send(new Uint8Array(1), peer) && socket.send(Buffer.alloc(1), 8125, '::1')
const owned: boolean = socket.sendOwned(socket.pool.acquire(), peer)
const segmented: boolean =
  socket.sendSegments(Buffer.alloc(3000), 1472) && socket.sendSegments('text', 2, peer)
// @ts-expect-error how long each is has to be said
socket.sendSegments(Buffer.alloc(3000))
// @ts-expect-error an address without a port
socket.send('text', '127.0.0.1')
// @ts-expect-error bytes are no guard
socket.sendOwned(Buffer.alloc(1))
// @ts-expect-error a peer is frozen
peer.port = 1

socket.on('error', (error) => expectTrue<Equal<typeof error, WraithError>>()).once('drain', () => {})
// @ts-expect-error packets come in batches, not as events
socket.on('message', () => {})

const token: UdpSocketToken = socket.share()
const receiving: UdpAttachOptions = { signal, pool: new BufferPool(), batchSize: 1, onTruncated: 'keep' }
expectTrue<Equal<ReturnType<typeof UdpSocket.attach>, UdpSocket>>()
UdpSocket.attach(token, receiving)
UdpSocket.attach({ kind: 'wraith-transport/udp', id: '0' })
// @ts-expect-error the token of a pool
UdpSocket.attach(new BufferPool({ shared: true }).share())
// @ts-expect-error a shared socket is bound already
UdpSocket.attach(token, { port: 1 })

const metrics: UdpMetrics = socket.metrics()
const info: UdpInfo = socket.info()
const size: SocketBufferInfo = info.recvBuffer
expectTrue<Equal<ReturnType<typeof socket.close>, Promise<void>>>()
{
  await using _scope = socket
}

void [sent, owned, segmented, metrics, size]
