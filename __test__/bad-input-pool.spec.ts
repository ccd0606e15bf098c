import { describe, expect, test } from 'vitest'
import { BufferPool, type BufferPoolOptions, type WraithErrorCode } from 'wraith-transport'

import { childResult } from './support/child.ts'
import { expectOneThingToDo, expectRefusal, thrownBy } from './support/errors.ts'
import { expectAudit, makePool } from './support/pools.ts'

const TYPE = 'WRAITH_ERR_INVALID_ARG_TYPE'
const RANGE = 'WRAITH_ERR_OUT_OF_RANGE'

/** Values of every other type, with how messages show them. */
const notNumbers: [unknown, string][] = [
  [null, 'null'],
  ['64', '"64"'],
  ['x'.repeat(100), `"${'x'.repeat(61)}..."`],
  [64n, '64n'],
  [true, 'true'],
  [Symbol('size'), 'Symbol(size)'],
  [{}, 'an object'],
  [Object.create(null), 'an object'],
  [[64], 'an array of 1'],
  [new Uint8Array(2), 'an instance of Uint8Array'],
  [new Date(0), 'an instance of Date'],
  [Math.max, 'function max'],
  [() => 1, 'function (anonymous)'],
]
const notBooleans: [unknown, string][] = [
  [null, 'null'],
  [0, '0'],
  [1, '1'],
  ['true', '"true"'],
  [{}, 'an object'],
]
const notStrings: [unknown, string][] = [
  [null, 'null'],
  [0, '0'],
  [true, 'true'],
  [{}, 'an object'],
]
/** Numbers that no size or count can be. */
const notCounts: [number, string][] = [
  [-1, '-1'],
  [0.5, '0.5'],
  [1.0000001, '1.0000001'],
  [Number.NaN, 'NaN'],
  [Number.POSITIVE_INFINITY, 'Infinity'],
  [Number.NEGATIVE_INFINITY, '-Infinity'],
  [2 ** 32 + 1, '4294967297'],
  [Number.MAX_SAFE_INTEGER, '9007199254740991'],
]

interface Row {
  readonly option: keyof BufferPoolOptions
  readonly given: unknown
  readonly shown: string
  readonly code: WraithErrorCode
  readonly allowed: string
}

const rows: Row[] = []
const add = (
  option: Row['option'],
  code: WraithErrorCode,
  allowed: string,
  values: readonly (readonly [unknown, string])[],
) => {
  for (const [given, shown] of values) rows.push({ option, given, shown, code, allowed })
}

const sizes = 'a whole number from 1 to 16777216'
add('bufferSize', TYPE, sizes, notNumbers)
add('bufferSize', RANGE, sizes, [...notCounts, [0, '0'], [16_777_217, '16777217']])
const counts = 'a whole number from 1 to 1048576'
add('capacity', TYPE, counts, notNumbers)
add('capacity', RANGE, counts, [...notCounts, [0, '0'], [1_048_577, '1048577']])
const fallbacks = 'a whole number from 0 to 1048576'
add('maxFallback', TYPE, fallbacks, notNumbers)
add('maxFallback', RANGE, fallbacks, [...notCounts, [1_048_577, '1048577']])
add('mlock', TYPE, 'true or false', notBooleans)
add('hugePages', TYPE, 'true or false', notBooleans)
add('onExhausted', TYPE, "one of 'allocate', 'throw'", notStrings)
add('onExhausted', RANGE, "one of 'allocate', 'throw'", [
  ['', '""'],
  ['wait', '"wait"'],
  ['Throw', '"Throw"'],
])
const levels = "one of 'off', 'count', 'sampled', 'stack'"
add('leakDetection', TYPE, levels, notStrings)
add('leakDetection', RANGE, levels, [
  ['', '""'],
  ['all', '"all"'],
  ['STACK', '"STACK"'],
])

describe('new BufferPool', () => {
  test.each(rows)('refuses $option: $shown', ({ option, given, shown, code, allowed }) => {
    const error = thrownBy(() => new BufferPool({ bufferSize: 64, capacity: 2, [option]: given }))
    expectRefusal(error, { code, option, given: shown, allowed })
  })

  test.each([
    [null, 'null'],
    [2048, '2048'],
    ['2048', '"2048"'],
    [true, 'true'],
    [[], 'an array of 0'],
    [() => ({}), 'function (anonymous)'],
  ])('refuses %s instead of an object of options', (given, shown) => {
    const error = thrownBy(() => new BufferPool(given as never))
    expectRefusal(error, { code: TYPE, option: 'BufferPool options', given: shown, allowed: 'an object' })
  })

  test.each([
    ['buffersize', 'bufferSize'],
    ['bufferSise', 'bufferSize'],
    ['capasity', 'capacity'],
    ['onExausted', 'onExhausted'],
    ['maxFallbacks', 'maxFallback'],
    ['mLock', 'mlock'],
    ['hugePage', 'hugePages'],
    ['leakDetecton', 'leakDetection'],
  ])('refuses %s and asks whether %s was meant', (name, meant) => {
    const error = thrownBy(() => new BufferPool({ [name]: 1 } as never))
    expectRefusal(error, {
      code: 'WRAITH_ERR_UNKNOWN_OPTION',
      option: name,
      given: JSON.stringify(name),
      allowed: /it has bufferSize, capacity, onExhausted, maxFallback, mlock, hugePages, leakDetection/,
    })
    expect(error.message).toMatch(new RegExp(`Did you mean ${meant}\\?$`))
  })

  test.each(['size', 'zeroed', '', '__proto__x', 'constructor'])('refuses %j, which is like none', (name) => {
    const error = thrownBy(() => new BufferPool({ [name]: undefined } as never))
    expectRefusal(error, { code: 'WRAITH_ERR_UNKNOWN_OPTION', option: name })
    expect(error.message).toMatch(/Remove the option\.$/)
  })

  test.each([
    [16 * 1024 * 1024, 256],
    [16 * 1024 * 1024, 1_048_576],
    [4096, 1_048_576],
    [65_535, 65_537 + 1],
    // Less than 4 GiB of buffers, but more with each of them rounded up to 64 bytes.
    [4033, 1_048_576],
  ])('refuses %i bytes × %i: more than 4 GiB', (bufferSize, capacity) => {
    const error = thrownBy(() => new BufferPool({ bufferSize, capacity }))
    expectRefusal(error, { code: RANGE, option: 'capacity', given: String(capacity) })
    expect(error.message).toMatch(/4294967295|4 GiB/)
  })

  test('keeps its limits when options are read twice: each is read once', () => {
    let reads = 0
    const pool = new BufferPool({
      get bufferSize() {
        return ++reads === 1 ? 64 : 1e9
      },
      capacity: 1,
    })
    expect([pool.bufferSize, reads]).toEqual([64, 1])
    pool.close()
  })

  test('that cannot have the memory is refused, and the process lives', async () => {
    const seen = await childResult<{ message: string; code: string; option: string; lent: boolean }>(
      'no-memory.mjs',
    )
    expect(seen).toMatchObject({ code: 'WRAITH_ERR_NO_MEMORY', option: 'capacity', lent: true })
    expect(seen.message).toContain('4294963200')
    expect(seen.message).toMatch(/Ask for a smaller capacity or bufferSize\.$/)
    expectOneThingToDo(seen.message)
  })

  test.each(['loud', '1', 'STACK'])('refuses WRAITH_LEAK=%s of the environment', async (level) => {
    const seen = await childResult<Record<string, string>>('leak-level.mjs', { env: { WRAITH_LEAK: level } })
    expect(seen).toMatchObject({ code: RANGE, option: 'WRAITH_LEAK' })
    expect(seen['message']).toContain(JSON.stringify(level))
    expect(seen['message']).toContain(levels)
  })
})

describe('acquireMany', () => {
  test.each([...notNumbers, [undefined, 'undefined'] as const])('refuses %s', (given, shown) => {
    const pool = makePool({ capacity: 4, maxFallback: 3 })
    const error = thrownBy(() => pool.acquireMany(given as never))
    expectRefusal(error, { code: TYPE, option: 'count', given: shown, allowed: 'a whole number from 0 to 7' })
    expect(expectAudit(pool).lent).toBe(0)
  })

  test.each([...notCounts, [8, '8'] as const])('refuses %d', (given, shown) => {
    const pool = makePool({ capacity: 4, maxFallback: 3 })
    const error = thrownBy(() => pool.acquireMany(given))
    expectRefusal(error, {
      code: RANGE,
      option: 'count',
      given: shown,
      allowed: 'a whole number from 0 to 7',
    })
    expect(pool.metrics().acquires).toBe(0)
  })

  test("counts no fallback in with onExhausted: 'throw'", () => {
    const pool = makePool({ capacity: 4, maxFallback: 3, onExhausted: 'throw' })
    const error = thrownBy(() => pool.acquireMany(5))
    expectRefusal(error, { code: RANGE, option: 'count', given: '5', allowed: 'from 0 to 4' })
  })
})

describe('guard.length', () => {
  const allowed = 'a whole number from 0 to 64'

  test.each([...notNumbers, [undefined, 'undefined'] as const])('refuses %s', (given, shown) => {
    const guard = makePool({ bufferSize: 64, capacity: 1 }).acquire()
    guard.length = 3
    const error = thrownBy(() => {
      guard.length = given as never
    })
    expectRefusal(error, { code: TYPE, option: 'length', given: shown, allowed })
    expect(guard.length).toBe(3)
    guard.dispose()
  })

  test.each([...notCounts, [65, '65'] as const])('refuses %d', (given, shown) => {
    const guards = makePool({ bufferSize: 64, capacity: 1, maxFallback: 1 }).acquireMany(2)
    for (const guard of guards) {
      const error = thrownBy(() => {
        guard.length = given
      })
      expectRefusal(error, { code: RANGE, option: 'length', given: shown, allowed })
      expect(guard.length).toBe(0)
    }
    guards.dispose()
  })
})

describe('release', () => {
  const impostors: [unknown, string][] = [
    [undefined, 'undefined'],
    [null, 'null'],
    [0, '0'],
    ['guard', '"guard"'],
    [{}, 'an object'],
    [Buffer.alloc(8), 'an instance of Buffer'],
    [{ bytes: Buffer.alloc(8), dispose() {} }, 'an object'],
    [new Proxy({}, {}), 'an object'],
  ]

  test.each(impostors)('refuses %s, which is no guard', (given, shown) => {
    const pool = makePool({ capacity: 1 })
    const error = thrownBy(() => pool.release(given as never))
    expectRefusal(error, {
      code: TYPE,
      option: 'guard',
      given: shown,
      allowed: 'a guard that acquire() returned',
    })
  })

  test('refuses an object with the prototype of a guard, and the array of acquireMany', () => {
    const pool = makePool({ capacity: 2 })
    const guards = pool.acquireMany(2)
    const forged = Object.create(Object.getPrototypeOf(guards[0]) as object) as never
    expect(thrownBy(() => pool.release(forged)).code).toBe(TYPE)
    expect(thrownBy(() => pool.release(guards as never)).code).toBe(TYPE)
    guards.dispose()
  })

  test('refuses a guard of another pool, which stays good', () => {
    const [one, other] = [makePool({ capacity: 1 }), makePool({ capacity: 1 })]
    const guard = one.acquire()
    const error = thrownBy(() => other.release(guard))
    expectRefusal(error, { code: 'WRAITH_ERR_FOREIGN_BUFFER', option: 'guard' })
    one.release(guard)
    expect([one.available, other.available]).toEqual([1, 1])
  })

  test('refuses a guard that was disposed of', () => {
    const pool = makePool({ capacity: 1 })
    const guard = pool.acquire()
    guard.dispose()
    expectRefusal(
      thrownBy(() => pool.release(guard)),
      { code: 'WRAITH_ERR_STALE_BUFFER' },
    )
  })
})

describe.each(['on', 'once', 'off'] as const)('%s', (method) => {
  test.each([
    [undefined, 'undefined'],
    ['drain', '"drain"'],
    ['Leak', '"Leak"'],
    [Symbol('leak'), 'Symbol(leak)'],
    ['error', '"error"'],
  ])('refuses the event %s', (event, shown) => {
    const pool = makePool({ capacity: 1 })
    const error = thrownBy(() => pool[method](event as never, () => {}))
    const allowed = "one of 'pressure', 'exhaustion', 'leak'"
    expectRefusal(error, { code: TYPE, option: 'event', given: shown, allowed })
  })

  test.each([[undefined], [null], ['f'], [{}]])('refuses %s as a listener', (listener) => {
    const pool = makePool({ capacity: 1 })
    const error = thrownBy(() => pool[method]('leak', listener as never))
    expectRefusal(error, { code: TYPE, option: 'listener', allowed: 'a function' })
  })
})
