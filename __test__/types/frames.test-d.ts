// Compiled by scripts/test.mjs with the whole project, never run.
import {
  type Batch,
  type Bytes,
  buildFrame,
  type EtherType,
  type Frame,
  FrameColumns,
  type FrameError,
  type FrameFields,
  FrameFlag,
  type FrameProblem,
  FrameStatus,
  type FrameStatusName,
  FrameType,
  type frameStatusNames,
  type IpProtocol,
  PacketColumns,
  PacketFlag,
  type PacketProblem,
  PacketStatus,
  type PacketStatusName,
  type ParseOptions,
  type packetStatusNames,
  parseFrame,
  parseFrames,
  parsePackets,
  type SimdBackend,
  type SimdBackendName,
  simdBackend,
  simdBackends,
  type WraithError,
} from 'wraith-transport'

import { type Equal, expectTrue } from './equal.ts'

declare const batch: Batch
declare const bytes: Uint8Array
const offsets = Uint32Array.of(0)
const lengths = Uint32Array.of(28)
const options: ParseOptions = { backend: 'avx2' }

const frames = new FrameColumns(64)
expectTrue<Equal<ReturnType<typeof parseFrames>, FrameColumns>>()
parseFrames(batch)
parseFrames(batch, frames)
parseFrames(batch, undefined, options)
parseFrames(bytes, offsets, lengths)
parseFrames(bytes, offsets, lengths, frames, options)
// @ts-expect-error: columns of packets do not hold frames
parseFrames(batch, new PacketColumns(1))
// @ts-expect-error: bytes come with places
parseFrames(bytes)
// @ts-expect-error: places are typed arrays
parseFrames(bytes, [0], [28])
// @ts-expect-error: no such backend
parseFrames(batch, frames, { backend: 'mmx' })

const packets: PacketColumns = parsePackets(batch, new PacketColumns(64), options)
parsePackets(bytes, offsets, lengths, packets)
// @ts-expect-error: columns of frames do not hold packets
parsePackets(batch, frames)

expectTrue<Equal<typeof frames.offsets, BigUint64Array>>()
expectTrue<Equal<typeof frames.sequences, Uint32Array>>()
expectTrue<Equal<typeof packets.sources, Uint32Array>>()
expectTrue<Equal<typeof packets.statuses, Uint8Array>>()
const offset: number = frames.offset(0)
const address: string | undefined = packets.sourceAddress(0) ?? packets.destinationAddress(0)
const frameProblem: FrameProblem | undefined = frames.explain(0)
const packetProblem: PacketProblem | undefined = packets.explain(0)
// @ts-expect-error: the number of rows is the parse's to say
frames.length = 1
// @ts-expect-error: so is how many are good
packets.ok = 1

expectTrue<Equal<FrameProblem['status'], FrameStatusName>>()
expectTrue<Equal<PacketProblem['status'], PacketStatusName>>()
expectTrue<Equal<FrameStatusName, (typeof frameStatusNames)[number]>>()
expectTrue<Equal<PacketStatusName, (typeof packetStatusNames)[number]>>()
const status: FrameStatus = FrameStatus.Truncated
const packetStatus: PacketStatus = PacketStatus.NotIp
const flags: number = FrameFlag.Syn | FrameFlag.Fin | PacketFlag.Vlan
const ether: EtherType = 0x0800
const protocol: IpProtocol = 17
// @ts-expect-error: types begin at 1
const type: FrameType = 0

const fields: FrameFields = { type: FrameType.Data }
expectTrue<Equal<typeof built, Bytes>>()
const built = buildFrame(fields)
const into: Uint8Array = buildFrame({ type: FrameType.Ack, stream: 16, payload: bytes }, bytes)
const frame: Frame = parseFrame(into)
buildFrame(frame)
// @ts-expect-error: a frame has a type
buildFrame({ stream: 16 })
const isWraith = (error: FrameError): WraithError => error

const simd: SimdBackend = simdBackend()
const names: readonly SimdBackendName[] = [simd.active, ...simd.available, ...simdBackends]
const forced: 'WRAITH_SIMD' | undefined = simd.forcedBy

export {
  address,
  built,
  ether,
  flags,
  forced,
  frameProblem,
  isWraith,
  names,
  offset,
  packetProblem,
  packetStatus,
  protocol,
  status,
  type,
}
