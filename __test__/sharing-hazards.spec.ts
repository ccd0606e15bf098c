import { describe, expect, test } from 'vitest'

import { childResult } from './support/child.ts'
import { debugMode } from './support/pools.ts'

const major = Number(process.versions.node.split('.')[0])

interface Seen {
  readonly moved: boolean
  readonly codes: readonly string[]
  readonly quarantined: number
  /** Buffers that were whole and zeroed afterwards. */
  readonly whole: number
  readonly twice: boolean
  readonly stale?: string
  readonly text: string
  readonly ok: boolean
}

const ways = ['ArrayBuffer#transfer', 'structuredClone', 'postMessage', "a byte stream's reader"]
const moments = ['while a guard has it', 'after dispose', 'before transfer', 'before the thread ends']

/** Whether user code can take the memory of a shared pool's buffer away like this. */
function canMove(way: string): boolean {
  // In debug mode a view lies on memory of its own, which is the user's to move; the pool does not see it.
  if (debugMode) return false
  // Node.js 20 has no transfer(), and there memory of addons is copied where it would be moved.
  return major >= 22 || way === "a byte stream's reader"
}

describe.each(ways)('memory that user code takes away by %s', (way) => {
  test.each(moments)('%s is out of use for good, and nothing else is', async (moment) => {
    const seen = await childResult<Seen>('moved-slot.mjs', { args: [way, moment] })
    const lost = canMove(way) ? 1 : 0
    expect(seen).toMatchObject({ quarantined: lost, whole: 8 - lost, twice: false, ok: true })
    if (!debugMode) expect(seen.moved).toBe(lost === 1)
    if (lost === 1 && moment !== 'before the thread ends')
      expect(seen.codes).toEqual(['WRAITH_WARN_DETACHED'])
    else expect(seen.codes).toEqual([])
    expect(seen.stale).toBe(
      lost === 1 && moment === 'before transfer' ? 'WRAITH_ERR_STALE_BUFFER' : undefined,
    )
    // What was moved is still there, and nobody else has it.
    if (lost === 1) expect(seen.text).toBe(moment === 'after dispose' ? '\0'.repeat(10) : 'taken away')
  })
})

test('a leaked guard of a shared pool is quarantined as long as its thread lives, and then comes home', async () => {
  const seen = await childResult('leak-shared.mjs', { execArgv: ['--expose-gc'] })
  expect(seen).toEqual({ leaked: 1, quarantined: 1, elsewhere: 0, intact: true, after: 0, free: 8 })
})

test('a transfer() that user code has replaced can lose buffers, and never show one to two', async () => {
  const seen = await childResult<Seen & { wrong: number }>('patched-transfer.mjs')
  expect(seen).toMatchObject({ wrong: 0, ok: true })
})
