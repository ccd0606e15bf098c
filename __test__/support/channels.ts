import type { BufferPool, ChannelBatch, PooledBuffer } from 'wraith-transport'

import { makePool } from './pools.ts'

/** A small shared pool that is audited when the test ends. */
export const shared = (options = {}): BufferPool =>
  makePool({ bufferSize: 64, capacity: 64, shared: true, onExhausted: 'throw', ...options })

/** A buffer with a text in it. */
export function filled(pool: BufferPool, text: string): PooledBuffer {
  const guard = pool.acquire()
  guard.length = guard.bytes.write(text)
  return guard
}

/** What the buffers of a batch hold. */
export const texts = (batch: ChannelBatch | undefined) =>
  Array.from({ length: batch?.length ?? 0 }, (_, i) => (batch as ChannelBatch).bytes(i).toString())
