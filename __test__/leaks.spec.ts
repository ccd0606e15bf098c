import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import type { BufferPoolAudit, BufferPoolMetrics, HolderInfo, LeakReport } from 'wraith-transport'

import { childPath, childResult } from './support/child.ts'
import { makePool } from './support/pools.ts'

interface Seen {
  readonly level: string
  readonly expected: number
  readonly reports: readonly LeakReport[]
  readonly warnings: readonly { name: string; code: string; message: string }[]
  readonly dump: readonly HolderInfo[]
  readonly got: number
  readonly lentSlots: number
  readonly metrics: Partial<BufferPoolMetrics>
  readonly ok: boolean
  readonly closed: boolean
}

const execArgv = ['--expose-gc']

/** `file:line` of the line of a child that has this comment. */
function lineOf(child: string, comment: string): string {
  const lines = readFileSync(childPath(child), 'utf8').split('\n')
  return `${child}:${1 + lines.findIndex((line) => line.endsWith(`// ${comment}`))}`
}

const acquired = lineOf('leaks.mjs', 'this line loses a guard')

/** What holds at every level that looks for leaks: three guards were lost, and their slots are out of use. */
function expectQuarantined(seen: Seen): void {
  expect(seen.metrics).toEqual({ available: 5, leaked: 3, quarantined: 3, lent: 0, releases: 5 })
  expect(seen.dump.map(({ state }) => state)).toEqual(['quarantined', 'quarantined', 'quarantined'])
  expect([seen.got, seen.lentSlots]).toEqual([5, 5])
  expect(seen).toMatchObject({ ok: true, closed: true })
}

describe.each([
  ['the option', (level: string) => ({ args: [level, '--listen'] })],
  ['WRAITH_LEAK', (level: string) => ({ args: [], env: { WRAITH_LEAK: level } })],
])('asked for by %s', (_how, options) => {
  const run = (level: string) => childResult<Seen>('leaks.mjs', { execArgv, ...options(level) })

  test("'off' sees nothing: the slots stay lent", async () => {
    const seen = await childResult<Seen>('leaks.mjs', { execArgv, args: ['off', '--listen'] })
    expect(seen).toMatchObject({ level: 'off', reports: [], warnings: [], ok: true, got: 5, closed: false })
    expect(seen.metrics).toEqual({ available: 5, leaked: 0, quarantined: 0, lent: 3, releases: 5 })
    expect(seen.dump.map(({ state, notes }) => [state, notes])).toEqual([
      ['lent', ['note 1']],
      ['lent', ['note 2']],
      ['lent', ['note 3']],
    ])
  })

  test("'count' counts and quarantines, without a stack", async () => {
    const seen = await run('count')
    expect(seen.level).toBe('count')
    expectQuarantined(seen)
    for (const { stack } of seen.reports) expect(stack).toBeUndefined()
    for (const { message } of seen.warnings) expect(message).toContain('set WRAITH_LEAK=stack to see where')
  })

  test("'sampled' knows the line of the first acquire", async () => {
    const seen = await run('sampled')
    expect(seen.level).toBe('sampled')
    expectQuarantined(seen)
    const first = seen.reports[0]?.stack ?? seen.warnings[0]?.message
    expect(first).toContain(acquired)
  })

  test("'stack' knows the line of each acquire", async () => {
    const seen = await run('stack')
    expect(seen.level).toBe('stack')
    expectQuarantined(seen)
    expect(seen.reports.length + seen.warnings.length).toBe(3)
    for (const { stack } of seen.reports) expect(stack).toContain(acquired)
    for (const { message } of seen.warnings) {
      // The line is the user's own, and not one of this package.
      expect(message).toMatch(/acquired at (?:.*[/ (])?loseOne.*leaks\.mjs:\d+/)
      expect(message).toContain(acquired)
    }
  })
})

test("a report has slot, age, notes and a running count, and is a 'leak' event", async () => {
  const seen = await childResult<Seen>('leaks.mjs', { execArgv, args: ['stack', '--listen'] })
  expect(seen.warnings).toEqual([])
  expect(seen.reports.map(({ notes, leaked }) => ({ notes, leaked }))).toEqual([
    { notes: ['note 1'], leaked: 1 },
    { notes: ['note 2'], leaked: 2 },
    { notes: ['note 3'], leaked: 3 },
  ])
  expect(seen.reports.map(({ slot }) => slot).sort()).toEqual(seen.dump.map(({ slot }) => slot))
  expect(new Set(seen.reports.map(({ slot }) => slot)).size).toBe(3)
  for (const { ageMs } of seen.reports) expect(ageMs).toBeGreaterThanOrEqual(0)
})

test('without a listener each lost guard is a warning with a code and a running count', async () => {
  const seen = await childResult<Seen>('leaks.mjs', { execArgv, args: ['stack'] })
  expect(seen.reports).toEqual([])
  expect(seen.warnings.map(({ name, code }) => `${name} ${code}`)).toEqual(
    new Array(3).fill('WraithWarning WRAITH_WARN_LEAK'),
  )
  expect(seen.warnings.map(({ message }) => /\((\d) so far\)/.exec(message)?.[1])).toEqual(['1', '2', '3'])
})

test('the option goes before the environment', async () => {
  const env = { WRAITH_LEAK: 'off' }
  expect(await childResult<Seen>('leaks.mjs', { execArgv, args: ['count'], env })).toMatchObject({
    level: 'count',
    metrics: { leaked: 3 },
  })
})

test.each([
  ['', 'sampled'],
  ['off', 'off'],
  ['stack', 'stack'],
])('WRAITH_LEAK=%s gives pools the level %s', async (level, wanted) => {
  const env = { WRAITH_LEAK: level }
  expect(await childResult('leak-level.mjs', { env })).toEqual({ level: wanted })
})

test('a guard that only the receiver of a recorded frame holds is seen to be lost', async () => {
  const seen = await childResult<{ stacks: string[]; leaked: number }>('leak-receiver.mjs', { execArgv })
  expect(seen.leaked).toBe(3)
  const line = lineOf('leak-receiver.mjs', 'the session acquires here')
  expect(seen.stacks).toHaveLength(3)
  for (const stack of seen.stacks) expect(stack).toContain(line)
})

test('a lost buffer of the heap is counted, frees its place, and keeps nothing from closing', async () => {
  const seen = await childResult<{
    before: BufferPoolMetrics
    after: BufferPoolMetrics
    full: boolean
    pooled: number
    audit: BufferPoolAudit
  }>('leak-fallback.mjs', { execArgv })
  expect(seen.before).toMatchObject({ fallbackLive: 3, fallbackAllocations: 3, leaked: 0, releases: 0 })
  expect(seen.full).toBe(true)
  expect(seen.after).toMatchObject({ fallbackLive: 0, leaked: 3, releases: 0, quarantined: 0, lent: 1 })
  expect(seen.pooled).toBe(3)
  expect(seen.audit).toMatchObject({ ok: true, free: 1, quarantined: 0 })
})

test('a slot whose guard was lost is never handed out again, since a subarray may be left of it', async () => {
  const seen = await childResult('leak-aliases.mjs', { execArgv })
  expect(seen).toMatchObject({
    leakedAfterAlias: 1,
    quarantined: 1,
    // A view that is kept keeps its buffer: nothing is lost while it can be used.
    leakedAfterView: 1,
    lent: 2,
    intact: true,
    ok: true,
  })
})

test('what a leak listener throws is an uncaught exception, and every slot is accounted for', async () => {
  const seen = await childResult('leak-listener.mjs', { execArgv })
  expect(seen).toEqual({
    uncaught: ['thrown by the listener', 'thrown by the listener'],
    heard: 2,
    // A closed pool waits for what is out; what is lost does not come.
    closed: true,
    ok: true,
    problems: [],
    quarantined: 2,
    free: 2,
    lent: 0,
  })
})

describe('dump()', () => {
  test('of a pool at rest is empty', () => {
    const pool = makePool({ capacity: 4 })
    pool.acquireMany(3).dispose()
    expect(pool.dump()).toEqual([])
    expect(Object.isFrozen(pool.dump())).toBe(true)
  })

  test('names who holds each buffer: slot, state, age, notes, and where it was acquired', () => {
    const pool = makePool({ capacity: 4, leakDetection: 'stack' })
    const guards = pool.acquireMany(2)
    guards[0]?.touch('request 7').touch({ step: 2 })
    const dump = pool.dump()
    expect(dump).toHaveLength(2)
    expect(dump.map(({ state }) => state)).toEqual(['lent', 'lent'])
    expect(dump.map(({ notes }) => notes)).toContainEqual(['request 7', { step: 2 }])
    for (const { ageMs, stack } of dump) {
      expect(ageMs).toBeGreaterThanOrEqual(0)
      expect(stack).toContain('leaks.spec.ts')
    }
    guards.dispose()
  })

  test('has no stack at the levels that record none', () => {
    const pool = makePool({ capacity: 1, leakDetection: 'count' })
    const guard = pool.acquire()
    expect(pool.dump()[0]).not.toHaveProperty('stack')
    guard.dispose()
  })

  test('keeps the latest 16 notes of a holder, and none of the one before', () => {
    const pool = makePool({ capacity: 1, onExhausted: 'throw' })
    const first = pool.acquire().touch('of the holder before')
    first.dispose()
    const guard = pool.acquire()
    expect(pool.dump()[0]?.notes).toEqual([])
    for (let i = 0; i < 20; i++) guard.touch(i)
    expect(pool.dump()[0]?.notes).toEqual(Array.from({ length: 16 }, (_, i) => i + 4))
    guard.dispose()
  })

  test('grows older with its holder', () => {
    const pool = makePool({ capacity: 1, leakDetection: 'stack' })
    const guard = pool.acquire()
    const ages = [pool.dump()[0]?.ageMs ?? -1, pool.dump()[0]?.ageMs ?? -1]
    expect(ages[1]).toBeGreaterThanOrEqual(ages[0] as number)
    guard.dispose()
  })
})
