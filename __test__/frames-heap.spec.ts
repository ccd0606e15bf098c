import { expect, test } from 'vitest'

import { childResult } from './support/child.ts'

interface Growth {
  readonly bytes: number
  readonly collections: number
}

test('parsing into columns of one’s own leaves no garbage a call, however many rows', async () => {
  const execArgv = ['--expose-gc', '--max-semi-space-size=256', '--min-semi-space-size=256']
  // Debug mode copies each batch.
  const env = { WRAITH_DEBUG: '' }
  const { rows, ...growth } = await childResult<
    Record<'frames' | 'packets' | 'batch', Growth> & { rows: number }
  >('frames-heap.mjs', { execArgv, env })
  expect(rows).toBe(64)
  // Not one object of the smallest size, 16 bytes, is left behind by each call.
  for (const [what, { bytes, collections }] of Object.entries(growth)) {
    expect({ what, collections, little: bytes < 16, bytes }).toEqual({
      what,
      collections: 0,
      little: true,
      bytes,
    })
  }
})
