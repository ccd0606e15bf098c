import { fromNative } from '../errors.js'
import type { NativeAllFigures, NativeSlots } from '../native.js'
import type { Fallback } from './fallback.js'
import type { Sharing } from './sharing.js'
import type { Slots } from './slots.js'
import type { BufferPoolAudit, BufferPoolMetrics, HolderInfo } from './types.js'

/** What a report is made from. */
export interface Reported {
  readonly slots: Slots
  readonly native: NativeSlots
  readonly fallback: Fallback
  readonly sharing: Sharing | undefined
  readonly exhaustions: number
  readonly waits: number
  readonly waiting: number
}

/** Counters and gauges as they are now. */
export function metricsOf(from: Reported): BufferPoolMetrics {
  const { slots, fallback, sharing, exhaustions, waits, waiting } = from
  sharing?.publish()
  const figures = sharing === undefined ? undefined : fromNative(() => sharing.native.figures())
  const { native: table, lent } = slots.audit()
  const { allocated, live, leaked } = fallback
  const { capacity, bufferSize, available } = slots
  const acquires = slots.taken + exhaustions
  const shared = figures === undefined ? { cachedElsewhere: 0 } : sharedMetrics(figures, slots.cached)
  return Object.freeze({
    capacity,
    bufferSize,
    available,
    lent,
    heldBySources: table.lent + table.posted + table.op,
    quarantined: table.quarantined,
    utilization: 1 - available / capacity,
    acquires,
    releases: slots.taken - lent - slots.leaked - slots.moved + allocated - live - leaked,
    exhaustions,
    exhaustionRate: acquires === 0 ? 0 : exhaustions / acquires,
    fallbackAllocations: allocated,
    fallbackLive: live,
    leaked: slots.leaked + leaked,
    waits,
    waiting,
    ...shared,
  })
}

/** Buffers that rest in the magazines of other isolates, as they said last. */
export function cachedElsewhere({ isolates }: NativeAllFigures, here: number): number {
  return Math.max(
    0,
    isolates.reduce((sum, { cached }) => sum + cached, -here),
  )
}

function sharedMetrics(figures: NativeAllFigures, here: number) {
  const { isolates, ended, ...tickets } = figures
  const all = [...isolates, ended]
  const sum = (of: (one: NativeAllFigures['ended']) => number) =>
    all.reduce((total, one) => total + of(one), 0)
  return {
    cachedElsewhere: cachedElsewhere(figures, here),
    pool: Object.freeze({
      acquires: sum((one) => one.acquires),
      exhaustions: sum((one) => one.exhaustions),
      waits: sum((one) => one.waits),
      waiting: sum((one) => one.waiting),
      fallbackAllocations: sum((one) => one.fallbackAllocations),
      fallbackLive: sum((one) => one.fallbackLive),
      leaked: sum((one) => one.leaked),
      ...tickets,
    }),
    isolates: Object.freeze(isolates.map((one) => Object.freeze(one))),
  }
}

/** Every slot by state. */
export function auditOf({ slots }: Reported): BufferPoolAudit {
  const { native: table, cached, lent } = slots.audit()
  const problems = [...table.problems]
  const own = table.own ?? table.cached
  if (cached + lent !== own) {
    problems.push(`the table has ${own} slots of this isolate, but ${cached} are cached and ${lent} lent`)
  }
  return Object.freeze({
    capacity: table.capacity,
    free: table.free,
    cached,
    lent,
    elsewhere: table.cached - own,
    batched: table.lent,
    posted: table.posted,
    op: table.op,
    transit: table.transit,
    retiring: table.retiring,
    quarantined: table.quarantined,
    ok: problems.length === 0,
    problems: Object.freeze(problems),
  })
}

/** Who holds the buffers that are not at home. */
export function holdersOf({ slots, native }: Reported): readonly HolderInfo[] {
  const states = fromNative(() => native.holders())
  const holders: HolderInfo[] = []
  for (const [slot, state] of states.entries()) {
    if (slots.isLent(slot)) {
      const { stack, ageMs, notes } = slots.holders.describe(slot)
      holders.push(
        Object.freeze({ slot, state: 'lent', ageMs, notes, ...(stack === undefined ? {} : { stack }) }),
      )
    } else if (state !== 'free' && state !== 'cached') {
      holders.push(Object.freeze({ slot, state: state === 'lent' ? 'batched' : state }))
    }
  }
  return Object.freeze(holders)
}
