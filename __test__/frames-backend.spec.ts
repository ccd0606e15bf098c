import { describe, expect, test } from 'vitest'
import { simdBackend, simdBackends } from 'wraith-transport'

import { childResult } from './support/child.ts'
import { expectRefusal } from './support/errors.ts'

interface Said {
  readonly backend: { readonly active: string; readonly available: string[]; readonly forcedBy?: string }
  readonly digests: string[]
  readonly ok: number[]
}

interface Refused {
  readonly refused: { readonly code: string; readonly option: string; readonly message: string }
  readonly again: unknown
  readonly named: number
}

const run = <T>(WRAITH_SIMD: string) => childResult<T>('frames-backend.mjs', { env: { WRAITH_SIMD } })
const { available } = simdBackend()

describe('without WRAITH_SIMD', () => {
  test('the fastest is used, and nothing is said to have forced it', async () => {
    const { backend } = await run<Said>('')
    expect(backend).toEqual({ active: available.at(-1), available: [...available] })
  })

  test('there is what the architecture always has, in order', () => {
    const always: Record<string, string[]> = { x64: ['scalar', 'sse2'], arm64: ['scalar', 'neon'] }
    expect(available).toEqual(expect.arrayContaining(always[process.arch] ?? ['scalar']))
    expect(available).toEqual(simdBackends.filter((name) => available.includes(name)))
    expect(Object.isFrozen(simdBackend()) && Object.isFrozen(available)).toBe(true)
    expect(simdBackend()).toBe(simdBackend())
  })
})

describe('WRAITH_SIMD', () => {
  test.each([...available])('%s is used, is reported, and gives the same columns', async (name) => {
    const { backend, digests, ok } = await run<Said>(name)
    expect(backend).toEqual({ active: name, available: [...available], forcedBy: 'WRAITH_SIMD' })
    expect(ok).toEqual([300, 300])
    const scalar = await run<Said>('scalar')
    expect(digests).toEqual(scalar.digests)
  })

  const absent = simdBackends.filter((name) => !available.includes(name))
  test.each([
    ...['avx9000', 'AVX2', ' '].map((name) => [name, 'WRAITH_ERR_OUT_OF_RANGE'] as const),
    ...absent.map((name) => [name, 'WRAITH_ERR_UNSUPPORTED'] as const),
  ])('%j is refused with %s at each use, but for a call that names a backend', async (name, code) => {
    const { refused, again, named } = await run<Refused>(name)
    expectRefusal({ name: 'WraithError', ...refused } as never, {
      code,
      option: 'WRAITH_SIMD',
      given: name,
      allowed: available.join(', '),
    })
    expect(again).toEqual(refused)
    expect(named).toBe(300)
  })
})
