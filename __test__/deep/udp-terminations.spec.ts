import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { situations, slabBytes, terminations } from '../support/udp-workers.js'

const scripts = new URL('../../scripts/lib/runtimes.mjs', import.meta.url).href
const { majors, nodeOf } = (await import(scripts)) as {
  majors: readonly number[]
  nodeOf(major: number): string
}
const often = 'inside its handler'

describe.each(majors)('on Node.js %d', (major) => {
  const node = nodeOf(major)

  test('300 workers that are terminated inside their handlers leave nothing behind', async () => {
    expect(existsSync(node), `${node}: run node scripts/setup.mjs --runtimes`).toBe(true)
    const { rounds, grownBytes, slabs, exits } = await terminations(often, 300, node)
    expect(rounds).toBe(300)
    expect(exits).toEqual([1])
    expect(slabs).toBe(0)
    expect(grownBytes).toBeLessThan(10 * slabBytes)
  })

  test.each(situations.filter((situation) => situation !== often))(
    'so do 30 that are terminated %s',
    async (situation) => {
      const { rounds, grownBytes, slabs, exits } = await terminations(situation, 30, node)
      expect(rounds).toBe(30)
      expect(exits).toEqual([1])
      expect(slabs).toBe(0)
      expect(grownBytes).toBeLessThan(10 * slabBytes)
    },
  )
})
