import { expect, test } from 'vitest'
import { endingNames, expectedOf, succession } from './support/udp-succession.js'

test.each(endingNames)(
  'a successor goes on where a worker %s: no packet is lost but those of the batch that died, and the port stays taken',
  async (ending) => {
    const result = await succession(ending, 5)
    expect(result).toMatchObject(expectedOf(ending, 5))
    expect(result.descriptorsGrown).toBe(0)
  },
)
