// Compiled by scripts/test.mjs with the whole project, never run.
import {
  type AbortSignalLike,
  type Batch,
  type BatchHandler,
  BufferPool,
  type PooledBuffer,
  parsePackets,
  type WraithError,
  type XdpAttachOptions,
  type XdpBusyPoll,
  type XdpCounters,
  type XdpDrops,
  type XdpFilter,
  type XdpInfo,
  type XdpMetrics,
  type XdpProbe,
  type XdpQueueMetrics,
  type XdpQueuesOptions,
  type XdpSendOptions,
  XdpSocket,
  type XdpSocketOptions,
  type XdpSocketToken,
  type XdpVerdict,
} from 'wraith-transport'

import { type Equal, expectTrue } from './equal.ts'

const signal: AbortSignalLike = new AbortController().signal
const busyPoll: XdpBusyPoll = { usecs: 20, budget: 64 }
const queues: XdpQueuesOptions = {
  filter: { udpPorts: [6343] },
  queues: Object.freeze([0, 1]),
  mode: 'copy',
  memoryBudget: 2 ** 28,
  frames: 4096,
  frameSize: 2048,
  headroom: 64,
  txFrames: 256,
  rxRing: 4096,
  txRing: 0,
  batchSize: 64,
  busyPoll,
  promiscuous: true,
  hugePages: true,
  ticketTimeout: 0,
  signal,
}
const attach: XdpAttachOptions = { signal, views: 'copied' }

expectTrue<Equal<ReturnType<typeof XdpSocket.open>, Promise<XdpSocket>>>()
const xdp = await XdpSocket.open('eth0', { ...queues, ...attach })
const options: XdpSocketOptions = { filter: 'none', umem: xdp, views: 'zero-copy' }
await XdpSocket.open('eth1', options)
// @ts-expect-error the filter has to be said
await XdpSocket.open('eth0', {})
// @ts-expect-error the filter has to be said
await XdpSocket.open('eth0')
// @ts-expect-error sockets are opened, not constructed
new XdpSocket()
// @ts-expect-error none of the two sizes
await XdpSocket.open('eth0', { filter: 'all', frameSize: 1500 })
// @ts-expect-error none of the modes
await XdpSocket.open('eth0', { filter: 'all', mode: 'native' })
// @ts-expect-error no such option
await XdpSocket.open('eth0', { filter: 'all', port: 5 })
// @ts-expect-error microseconds have to be said
const poll: XdpBusyPoll = { budget: 1 }

const tokens: readonly XdpSocketToken[] = await XdpSocket.openQueues('eth0', queues)
// @ts-expect-error each thread chooses its views when it attaches
await XdpSocket.openQueues('eth0', { filter: 'all', views: 'copied' })
// @ts-expect-error each queue has a UMEM of its own
await XdpSocket.openQueues('eth0', { filter: 'all', umem: xdp })
const other: XdpSocket = XdpSocket.attach(tokens[0] as XdpSocketToken, attach)
XdpSocket.attach(other.share())
// @ts-expect-error a name is no token
XdpSocket.attach('eth0')

const handler: BatchHandler = (batch: Batch) => {
  const columns: [Uint32Array, Uint32Array, Uint32Array, DataView] = [
    batch.queues,
    batch.offsets,
    batch.lengths,
    batch.view,
  ]
  const kept: PooledBuffer = batch.take(0)
  expectTrue<Equal<ReturnType<typeof xdp.send>, number>>()
  xdp.send(kept)
  xdp.send(Object.freeze([kept]), { queue: 1 })
  const some: XdpSendOptions = { queue: 0, rows: Object.freeze([0, 1]) }
  other.send(batch, some)
  parsePackets(batch)
  void columns
}
// @ts-expect-error bytes are sent in guards
xdp.send(Buffer.alloc(60))
// @ts-expect-error no such option
xdp.send([], { port: 1 })

expectTrue<Equal<ReturnType<typeof xdp.consume>, XdpSocket>>()
xdp.consume(handler).pause().resume().stop().ref().unref().setFilter('all')
const received: Batch | undefined = xdp.tryReceive()
const frames: number = xdp.busyLoop(() => false, 5)
for await (const batch of xdp) expectTrue<Equal<typeof batch, Batch>>()

xdp
  .on('error', (error) => expectTrue<Equal<typeof error, WraithError>>())
  .once('drain', () => {})
  .off('close', () => {})
// @ts-expect-error no such event
xdp.on('message', () => {})
// @ts-expect-error a listener of 'drain' is given nothing
xdp.on('drain', (count: number) => count)

expectTrue<Equal<typeof xdp.pool, BufferPool>>()
// @ts-expect-error the pool is the UMEM
xdp.pool = new BufferPool()

const info: XdpInfo = xdp.info()
expectTrue<Equal<typeof info.attach, 'native' | 'generic' | 'no program'>>()
expectTrue<Equal<typeof info.views, 'zero-copy' | 'copied'>>()
expectTrue<Equal<typeof info.driver, string | undefined>>()
expectTrue<Equal<typeof info.queues, readonly number[]>>()
// @ts-expect-error it is frozen
info.txRing = 5

const metrics: XdpMetrics = xdp.metrics()
const [queue] = metrics.queues
const counters: XdpCounters = metrics
if (queue !== undefined) {
  expectTrue<Equal<typeof queue, XdpQueueMetrics>>()
  counters satisfies Omit<typeof queue, 'queue'>
}
const [drops] = metrics.drops
if (drops !== undefined) {
  expectTrue<Equal<typeof drops, XdpDrops>>()
  expectTrue<Equal<typeof drops.reason, 'fillRingEmpty' | 'rxRingFull' | 'tooLong'>>()
}

const filter: XdpFilter = { all: true, except: { tcpPorts: [443] } }
const verdict: XdpVerdict = XdpSocket.testFilter(filter, new Uint8Array(60))
const probe: XdpProbe = XdpSocket.probe('eth0')

{
  await using first = xdp
  using second = other
  void [first, second]
}
expectTrue<Equal<ReturnType<typeof xdp.close>, Promise<void>>>()
expectTrue<Equal<typeof xdp.closed, Promise<void>>>()

void [poll, received, frames, verdict, probe]
