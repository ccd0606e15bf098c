import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { endingNames, expectedOf, slabBytes, succession } from '../support/udp-succession.js'

const scripts = new URL('../../scripts/lib/runtimes.mjs', import.meta.url).href
const { majors, nodeOf } = (await import(scripts)) as {
  majors: readonly number[]
  nodeOf(major: number): string
}
const often = new Set<string>(['is terminated inside its handler', 'throws in its handler'])

describe.each(majors)('on Node.js %d', (major) => {
  test.each(endingNames.map((ending) => [ending, often.has(ending) ? 200 : 30] as const))(
    'the reader of a shared socket %s, %d times in a row: every packet is accounted for, nothing is left behind',
    async (ending, rounds) => {
      const node = nodeOf(major)
      expect(existsSync(node), `${node}: run node scripts/setup.mjs --runtimes`).toBe(true)
      const result = await succession(ending, rounds, node)
      expect(result).toMatchObject(expectedOf(ending, rounds))
      expect(result.descriptorsGrown).toBe(0)
      expect(result.bytesGrown).toBeLessThan(10 * slabBytes)
    },
  )
})
