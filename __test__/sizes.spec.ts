import { describe, expect, test } from 'vitest'
import { BufferPool, bufferSizes, recommendPoolSize } from 'wraith-transport'

import { expectRefusal, thrownBy } from './support/errors.ts'

test("bufferSizes are the guide's, and cannot be changed", () => {
  expect(bufferSizes).toEqual({
    mtu: 1500,
    jumbo: 9000,
    umemFrame: 2048,
    fileChunk: 262_144,
    maxFrame: 9000,
    udpPayload: 1472,
  })
  expect(Object.isFrozen(bufferSizes)).toBe(true)
})

describe('recommendPoolSize', () => {
  test.each([
    // The guide's table: low, medium, high and very high rates.
    [0, 0, 64],
    [999, 1, 64],
    [1000, 1, 256],
    [9999, 1, 256],
    [10_000, 1, 1024],
    [99_999, 1, 1024],
    [100_000, 1, 1024],
    [100_001, 1, 4096],
    [1_000_000, 1, 4096],
    // The guide's formula, where it asks for more: packets a second × milliseconds / 1000 × 2.
    [100_000, 50, 10_000],
    [100_000, 100, 20_000],
    [500, 100, 100],
    [500, 33, 64],
    [1000, 128.4, 257],
    [1e9, 1e6, 2e12],
  ])('for %d packets a second of %d ms each is %d', (packetsPerSecond, processingMs, size) => {
    expect(recommendPoolSize({ packetsPerSecond, processingMs })).toBe(size)
  })

  test('gives a capacity that a pool takes', () => {
    const capacity = recommendPoolSize({ packetsPerSecond: 5000, processingMs: 10 })
    const pool = new BufferPool({ bufferSize: 64, capacity })
    expect(pool.capacity).toBe(256)
    pool.close()
  })

  const good = { packetsPerSecond: 1000, processingMs: 1 }
  describe.each(['packetsPerSecond', 'processingMs'] as const)('%s', (option) => {
    const most = option === 'packetsPerSecond' ? '1000000000' : '1000000'
    test.each([
      [undefined, 'undefined'],
      [null, 'null'],
      ['1000', '"1000"'],
      [1000n, '1000n'],
      [true, 'true'],
      [{}, 'an object'],
    ])('refuses %s, which is no number', (value, given) => {
      const error = thrownBy(() => recommendPoolSize({ ...good, [option]: value as never }))
      const allowed = `a number from 0 to ${most}`
      expectRefusal(error, { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option, given, allowed })
    })

    test.each([Number.NaN, -1, -0.001, Number.POSITIVE_INFINITY, 1e10])('refuses %d', (value) => {
      const error = thrownBy(() => recommendPoolSize({ ...good, [option]: value }))
      const allowed = `a number from 0 to ${most}`
      expectRefusal(error, { code: 'WRAITH_ERR_OUT_OF_RANGE', option, given: String(value), allowed })
    })
  })

  test.each([undefined, null, 5, 'x', []])('refuses %s instead of an object', (value) => {
    const error = thrownBy(() => recommendPoolSize(value as never))
    expectRefusal(error, {
      code: 'WRAITH_ERR_INVALID_ARG_TYPE',
      option: 'recommendPoolSize options',
      allowed: 'an object',
    })
  })

  test('suggests the name that was meant', () => {
    const error = thrownBy(() => recommendPoolSize({ ...good, packetPerSecond: 1 } as never))
    expectRefusal(error, {
      code: 'WRAITH_ERR_UNKNOWN_OPTION',
      option: 'packetPerSecond',
      allowed: /Did you mean packetsPerSecond\?$/,
    })
  })
})
