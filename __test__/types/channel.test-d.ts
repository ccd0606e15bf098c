// Compiled by scripts/test.mjs with the whole project, never run. An expected error that does not come is an error.
import {
  BufferChannel,
  BufferPool,
  type Bytes,
  type ChannelBatch,
  type ChannelHandler,
  type ChannelMetrics,
  type ChannelOptions,
  type ChannelToken,
  type PooledBuffer,
} from 'wraith-transport'

import { type Equal, expectTrue } from './equal.ts'

const pool = new BufferPool({ shared: true })
const options = { capacity: 64, copyUpTo: 0 } as const satisfies ChannelOptions
const channel = new BufferChannel(pool, options)
// @ts-expect-error a pool is needed
new BufferChannel()
// @ts-expect-error no such option
new BufferChannel(pool, { capacty: 64 })

expectTrue<Equal<ReturnType<typeof channel.share>, ChannelToken>>()
const token: ChannelToken = structuredClone(channel.share())
expectTrue<Equal<ReturnType<typeof BufferChannel.attach>, BufferChannel>>()
BufferChannel.attach(token, pool, options)
// @ts-expect-error a pool's token
BufferChannel.attach(pool.share(), pool)

const sent: boolean = channel.send(pool.acquire())
const many: number = channel.sendMany(pool.acquireMany(4))
channel.sendMany([pool.acquire()])
// @ts-expect-error bytes are no guard
channel.send(new Uint8Array(4))

const handler: ChannelHandler = async (batch) => {
  expectTrue<Equal<typeof batch, ChannelBatch>>()
  expectTrue<Equal<ReturnType<typeof batch.bytes>, Bytes>>()
  const kept: PooledBuffer = batch.take(0)
  kept.dispose()
  // @ts-expect-error read-only
  batch.length = 0
}
expectTrue<Equal<ReturnType<typeof channel.consume>, BufferChannel>>()
channel.consume(handler).stop()
const one: ChannelBatch | undefined = channel.tryReceive()
for await (const batch of channel) batch.copy(0).toString()
expectTrue<Equal<ReturnType<typeof channel.metrics>, ChannelMetrics>>()
using scoped: BufferChannel = channel.ref().unref()
export type Used = [typeof sent, typeof many, typeof one, typeof scoped]
