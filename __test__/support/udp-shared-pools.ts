import { expect } from 'vitest'
import { BufferPool, type PooledBuffer } from 'wraith-transport'

export const sharedPool = (capacity = 64, bufferSize = 2048): BufferPool =>
  new BufferPool({ shared: true, capacity, bufferSize })

/** Every slot of a pool of which nothing is out, read to its last byte. */
export function expectZeros(pool: BufferPool): void {
  const guards: PooledBuffer[] = []
  for (let guard = pool.tryAcquire(); guard !== undefined; guard = pool.tryAcquire()) {
    expect(guard.bytes.every((byte) => byte === 0)).toBe(true)
    guards.push(guard)
  }
  expect(guards).toHaveLength(pool.capacity)
  for (const guard of guards) guard.dispose()
}
