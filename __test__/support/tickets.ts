import type { BufferPool, PooledBuffer } from 'wraith-transport'
import { makePool } from './pools.ts'

/** A small pool whose guards can travel. */
export const shared = (options = {}): BufferPool =>
  makePool({ bufferSize: 64, capacity: 8, shared: true, onExhausted: 'throw', ...options })

/** Fills a guard with text and gives it that length. */
export function write(guard: PooledBuffer, text: string): PooledBuffer {
  guard.length = guard.bytes.write(text)
  return guard
}
