import { describe, expect } from 'vitest'
import { vethTest } from '../support/veth.js'
import { mostUnseen, xdpEndingNames, xdpSuccession } from '../support/xdp-succession.js'

describe('a successor goes on where a worker was terminated', () => {
  for (const ending of xdpEndingNames) {
    vethTest(
      `${ending}: every frame that arrives is received by one of them or counted`,
      {},
      async (pair) => {
        const result = await xdpSuccession(pair, [ending], 8)
        const { rxPackets, rxDropped, rxAbandoned, arrived, unseen, ...others } = result
        expect(rxPackets + rxDropped).toBe(arrived)
        expect(others).toMatchObject({ workers: 8, again: 0, descriptorsGrown: 0, exits: [1] })
        expect(unseen).toBeLessThanOrEqual(8 * mostUnseen(ending))
        expect(rxAbandoned).toBeGreaterThanOrEqual(unseen)
        expect(others.seen).toBeGreaterThan(0)
      },
    )
  }
})
