import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { vethTest } from '../support/veth.js'
import { expectStaleViewsEmpty } from '../support/xdp-stale-view.js'
import { mostUnseen, xdpEndingNames, xdpSuccession } from '../support/xdp-succession.js'

const scripts = new URL('../../scripts/lib/runtimes.mjs', import.meta.url).href
const { majors, nodeOf } = (await import(scripts)) as {
  majors: readonly number[]
  nodeOf(major: number): string
}
const seconds = 60
const rounds = 35 * xdpEndingNames.length

describe.each(majors)('on Node.js %d', (major) => {
  const node = nodeOf(major)

  test('views of frames that the kernel rewrites are empty: nothing crashes, nothing is seen', async () => {
    expect(existsSync(node), `${node}: run node scripts/setup.mjs --runtimes`).toBe(true)
    await expectStaleViewsEmpty(seconds, major >= 22 ? 'zero-copy' : 'copied', node)
  })

  vethTest(
    `${rounds} workers that are terminated with the lease lose neither the queue nor a slot`,
    {},
    async (pair) => {
      const result = await xdpSuccession(pair, xdpEndingNames, rounds, { node })
      const { rxPackets, rxDropped, rxAbandoned, arrived, unseen, seen, ...others } = result
      expect(rxPackets + rxDropped).toBe(arrived)
      expect(others).toEqual({ workers: rounds, again: 0, descriptorsGrown: 0, exits: [1] })
      expect(seen).toBeGreaterThanOrEqual(rounds)
      expect(rxAbandoned).toBeGreaterThanOrEqual(unseen)
      expect(unseen).toBeLessThanOrEqual(
        35 * xdpEndingNames.reduce((most, ending) => most + mostUnseen(ending), 0),
      )
    },
  )
})
