export type { AbortSignalLike } from './ts/abort.js'
export type { BufferLike, Bytes } from './ts/bytes.js'
export type { ChannelBatch } from './ts/channel/batch.js'
export { BufferChannel, type ChannelMetrics, type ChannelOptions } from './ts/channel/channel.js'
export type { ChannelHandler } from './ts/channel/inbox.js'
export type { ChannelToken } from './ts/channel/token.js'
export { WraithError, type WraithErrorCode, type WraithErrorDetails } from './ts/errors.js'
export { type ParseOptions, type SimdBackend, simdBackend } from './ts/frames/backend.js'
export { buildFrame, type Frame, FrameError, type FrameFields, parseFrame } from './ts/frames/frame.js'
export { FrameColumns, type FrameProblem } from './ts/frames/frame-columns.js'
export {
  EtherType,
  FrameFlag,
  FrameStatus,
  type FrameStatusName,
  FrameType,
  frameStatusNames,
  IpProtocol,
  PacketFlag,
  PacketStatus,
  type PacketStatusName,
  packetStatusNames,
  type SimdBackendName,
  simdBackends,
} from './ts/frames/names.js'
export { PacketColumns, type PacketProblem } from './ts/frames/packet-columns.js'
export { parseFrames, parsePackets } from './ts/frames/parse.js'
export { BufferPool } from './ts/pool/buffer-pool.js'
export type { PooledBuffer, PooledBuffers } from './ts/pool/guard.js'
export type { LeakDetection, LeakReport } from './ts/pool/leaks.js'
export type { BufferTicket } from './ts/pool/ticket.js'
export type {
  AcquireOptions,
  AttachOptions,
  BufferPoolAudit,
  BufferPoolInfo,
  BufferPoolMetrics,
  BufferPoolOptions,
  ExerciseOptions,
  ExerciseResult,
  Granted,
  HolderInfo,
  IsolateMetrics,
  PoolToken,
  SharedPoolMetrics,
  ThresholdEvent,
} from './ts/pool/types.js'
export type { Batch } from './ts/receive/batch.js'
export type { BatchHandler } from './ts/receive/reader.js'
export { bufferSizes, type PoolSizeQuery, recommendPoolSize } from './ts/sizes.js'
export type { Peer } from './ts/udp/peers.js'
export { UdpSocket } from './ts/udp/socket.js'
export type { UdpSocketToken } from './ts/udp/token.js'
export type {
  SocketBufferInfo,
  UdpAttachOptions,
  UdpInfo,
  UdpMetrics,
  UdpSocketOptions,
} from './ts/udp/types.js'
export { type XdpSendOptions, XdpSocket } from './ts/xdp/socket.js'
export type {
  XdpAttachOptions,
  XdpBusyPoll,
  XdpInfo,
  XdpQueuesOptions,
  XdpSocketOptions,
} from './ts/xdp/socket-types.js'
export type { XdpSocketToken } from './ts/xdp/token.js'
export type {
  XdpAddresses,
  XdpCapability,
  XdpCounters,
  XdpDrops,
  XdpFilter,
  XdpFilterRules,
  XdpFinding,
  XdpMatch,
  XdpMetrics,
  XdpPorts,
  XdpProbe,
  XdpQueueMetrics,
  XdpVerdict,
} from './ts/xdp/types.js'
