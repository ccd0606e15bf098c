import { existsSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { situations, terminations } from '../support/udp-workers.js'

const scripts = new URL('../../scripts/lib/runtimes.mjs', import.meta.url).href
const { majors, nodeOf } = (await import(scripts)) as {
  majors: readonly number[]
  nodeOf(major: number): string
}
const often = 'inside its handler'
const slab = 16 * 1024 * 1024

describe.each(majors)('on Node.js %d', (major) => {
  const node = nodeOf(major)

  test('300 workers that are terminated inside their handlers leave nothing behind', async () => {
    expect(existsSync(node), `${node}: run node scripts/setup.mjs --runtimes`).toBe(true)
    const { rounds, grownBytes, exits } = await terminations(often, 300, node)
    expect(rounds).toBe(300)
    expect(exits).toEqual([1])
    expect(grownBytes).toBeLessThan(10 * slab)
  })

  test.each(situations.filter((situation) => situation !== often))(
    'so do 30 that are terminated %s',
    async (situation) => {
      const { rounds, grownBytes, exits } = await terminations(situation, 30, node)
      expect(rounds).toBe(30)
      expect(exits).toEqual([1])
      expect(grownBytes).toBeLessThan(10 * slab)
    },
  )
})
