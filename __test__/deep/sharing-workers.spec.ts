import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { BufferPoolAudit } from 'wraith-transport'
import { childResult, runChild } from '../support/child.js'

const scripts = new URL('../../scripts/lib/runtimes.mjs', import.meta.url).href
const { majors, nodeOf } = (await import(scripts)) as {
  majors: readonly number[]
  nodeOf(major: number): string
}
const limitMs = 300_000
const seconds = 60
const rounds = 1000
const capacity = 64

interface Decoded {
  /** How often the slot went to the other thread and came back. */
  readonly journeys: number
  /** How often a view of it was decoded while the other thread had it. */
  readonly decodes: number
  /** Views that still showed a byte then. */
  readonly shown: number
  /** How often the slot did not hold what the other thread had written last. */
  readonly wrong: number
  readonly audit: BufferPoolAudit
}

interface Terminated {
  /** Those that at least one worker was terminated in. */
  readonly situations: string[]
  /** The different exit codes: 0 is that of a worker that had not begun. */
  readonly exits: number[]
  /** Buffers that were received from the channel. */
  readonly received: number
  readonly audit: BufferPoolAudit
  /** Bytes other than 0 in the buffers that were acquired afterwards. */
  readonly dirty: number
  /** How many of those were the pool's. */
  readonly pooled: number
}

describe.each(majors)('on Node.js %d', (major) => {
  const node = nodeOf(major)

  test('views of a slot that another thread rewrites are empty: nothing crashes, nothing is seen', async () => {
    expect(existsSync(node), `${node}: run node scripts/setup.mjs --runtimes`).toBe(true)
    const options = { node, limitMs, args: [String(seconds)] }
    const { journeys, decodes, shown, wrong, audit } = await childResult<Decoded>(
      'sharing-stale-view.mjs',
      options,
    )
    expect({ shown, wrong }).toEqual({ shown: 0, wrong: 0 })
    expect(journeys).toBeGreaterThan(100)
    expect(decodes).toBeGreaterThan(100_000)
    expect(audit).toMatchObject({ ok: true, capacity: 2, free: 2 })
  })

  test(`${rounds} workers that are terminated at random points lose nothing and leave no byte behind`, async () => {
    const options = { node, limitMs, args: [String(rounds), String(major)] }
    const { situations, exits, received, audit, dirty, pooled } = await childResult<Terminated>(
      'sharing-terminations.mjs',
      options,
    )
    expect(situations).toHaveLength(10)
    expect(received).toBeGreaterThan(0)
    expect(exits).toContain(1)
    expect(exits.filter((code) => code !== 0 && code !== 1)).toEqual([])
    const { free, cached, ...others } = audit
    expect(free + cached).toBe(capacity)
    expect(others).toEqual({
      ...{ capacity, lent: 0, elsewhere: 0, batched: 0, posted: 0, op: 0, transit: 0, retiring: 0 },
      ...{ quarantined: 0, ok: true, problems: [] },
    })
    expect({ dirty, pooled }).toEqual({ dirty: 0, pooled: capacity })
  })

  test('process.exit() in the middle of it all ends the process with its code', async () => {
    for (let ms = 0; ms < 200; ms += 5) {
      const { code, signal, stderr } = await runChild('sharing-exit.mjs', { node, args: [String(ms)] })
      expect({ ms, code, signal, stderr }).toEqual({ ms, code: 7, signal: null, stderr: expect.any(String) })
    }
  })
})
