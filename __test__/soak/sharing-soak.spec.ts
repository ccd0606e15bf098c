import { expect, test } from 'vitest'

import { childResult } from '../support/child.ts'

const seconds = Number(process.env['WRAITH_SOAK_SECONDS'] ?? 600)
const MB = 1024 * 1024

interface Soaked {
  readonly audits: number
  readonly problems: readonly object[]
  readonly wrong: number
  readonly steps: readonly number[]
  readonly home: boolean
  readonly dirty: number
  readonly transferred: number
  readonly adopted: number
  /** Buffers that came through the channel. */
  readonly received: number
  /** Packets that sockets received into the pool. */
  readonly packets: number
  /** Threads that were terminated, and replaced. */
  readonly terminated: number
  readonly memory: readonly number[]
}

test(
  `8 threads, one of which dies now and then, use one pool in every way for ${seconds} seconds, and each second everything adds up`,
  async () => {
    const args = [String(seconds)]
    const result = await childResult<Soaked>('sharing-soak.mjs', { args, limitMs: (seconds + 120) * 1000 })
    const { audits, problems, wrong, steps, home, dirty, transferred, adopted, memory } = result
    const { received, packets, terminated } = result
    expect(audits).toBeGreaterThan(seconds / 4)
    expect({ problems, wrong, home, dirty }).toEqual({
      problems: [],
      wrong: 0,
      home: true,
      dirty: 0,
    })
    expect(steps).toHaveLength(8)
    expect(Math.min(...steps)).toBeGreaterThan(1000)
    expect(adopted).toBeGreaterThan(transferred / 2)
    expect(Math.min(received, packets)).toBeGreaterThan(1000)
    expect(terminated).toBeGreaterThan(seconds / 16)
    // The heaps of eight threads fill at first; from the middle on the peak does not grow.
    const middle = memory.slice(Math.floor(memory.length / 4), Math.floor(memory.length / 2))
    const later = memory.slice(Math.floor((3 * memory.length) / 4))
    expect(Math.max(...later)).toBeLessThan(Math.max(...middle) + 200 * MB)
  },
  (seconds + 150) * 1000,
)
