import type { Work } from './tally.js'

/** One line of the table: a load and what is done with each packet. */
export interface Row {
  /** Packets a second; `undefined`: as fast as the sender can. */
  rate: number | undefined
  work: Work
  /** Asked of the kernel for both sides; `undefined` leaves the machine's default. */
  recvBufferSize: number | undefined
  /** Other work holds the receiver's thread for {@link HOLD} at a time, so that packets wait for it. */
  held: boolean
  durationMs: number
}

/** Packets wait for a held receiver `heldMs` of every `everyMs` milliseconds. */
export const HOLD = { heldMs: 20, everyMs: 21 } as const
/** 200 packets in {@link HOLD.heldMs}: the stock receive buffer of Linux holds 277 of them. */
const HELD_RATE = 10_000

export interface Plan {
  rows: readonly Row[]
  /** How often each row runs: dgram, wraith, dgram, wraith, … */
  rounds: number
  warmUpMs: number
  /** Between warm-up and measurement. */
  restMs: number
  /** How long a receiver without packets is watched, once a side. */
  idleMs: number
  calibrateMs: number
}

export const DEFAULT_SECONDS = 30
export const MOST_SECONDS = 600
/** Warm-up rate: enough packets to have the handler compiled before the measurement. */
export const WARM_UP_RATE = 100_000
/** More than a Node process can send. */
const MOST_RATE = 2_000_000
const LEAST_LIMIT = 1 << 16
const MOST_LIMIT = 1 << 23

/** Measured share of each load; full rate gets the most because its rare events (drops, collections) need it. */
const LOADS = [
  { rate: 1_000, weight: 0.7 },
  { rate: 10_000, weight: 0.8 },
  { rate: undefined, weight: 1 },
] as const
const WORKS: readonly Work[] = ['count', 'parse']
/** Starting a process, opening a socket, waiting for the end marks: what a run costs besides its own time. */
const RUN_OVERHEAD_MS = 170
const ONCE_MS = 1_200
const LEAST_MS = 100

/**
 * Divides `seconds` over the rows.
 * @param largeBuffer a receive buffer above the default that this machine grants, or `undefined`
 */
export function planFor(seconds: number, largeBuffer: number | undefined): Plan {
  const long = seconds >= 25
  const rounds = long ? Math.min(7, Math.max(2, Math.round(seconds / 15))) : 1
  const warmUpMs = long ? 200 : 80
  const restMs = long ? 30 : 15
  const idleMs = long ? 400 : 100
  const weighted: Array<Omit<Row, 'durationMs'> & { weight: number }> = []
  for (const work of WORKS) {
    for (const { rate, weight } of LOADS)
      weighted.push({ rate, work, recvBufferSize: undefined, held: false, weight })
  }
  const extra = { work: 'count', weight: 0.7 } as const
  if (largeBuffer !== undefined) {
    weighted.push({ ...extra, rate: undefined, recvBufferSize: largeBuffer, held: false })
  }
  weighted.push({ ...extra, rate: HELD_RATE, recvBufferSize: undefined, held: true })
  // Rows of the same work stand together in the table.
  weighted.sort((a, b) => WORKS.indexOf(a.work) - WORKS.indexOf(b.work))
  const runs = weighted.length * 2 * rounds
  const left =
    seconds * 1000 - ONCE_MS - 2 * (idleMs + warmUpMs) - runs * (RUN_OVERHEAD_MS + warmUpMs + restMs)
  const weights = weighted.reduce((total, each) => total + each.weight, 0)
  const unit = left / (weights * 2 * rounds)
  return {
    rows: weighted.map(({ weight, ...row }) => ({
      ...row,
      durationMs: Math.max(LEAST_MS, Math.round(unit * weight)),
    })),
    rounds,
    warmUpMs,
    restMs,
    idleMs,
    calibrateMs: long ? 150 : 50,
  }
}

/** Bounds a run by count as well as by time. */
export function packetLimit(row: Row): number {
  const most = ((row.rate ?? MOST_RATE) * row.durationMs) / 1000
  return Math.min(MOST_LIMIT, Math.max(LEAST_LIMIT, Math.ceil(most)))
}

/** Latency is taken from about this many packets of a run. */
const LATENCY_SAMPLES = 4096

/** The power of two of {@link TallyOptions.latencyEvery} for `row`. */
export function latencyEvery(row: Row): number {
  const expected = ((row.rate ?? 200_000) * row.durationMs) / 1000
  return 2 ** Math.max(0, Math.ceil(Math.log2(expected / LATENCY_SAMPLES)))
}

/** Nine characters at most. */
export function loadName(row: Row): string {
  if (row.held) return `${(row.rate ?? 0) / 1000}k held`
  if (row.rate !== undefined) return `${row.rate / 1000}k/s`
  return row.recvBufferSize === undefined ? 'full' : 'full, big'
}

export function workName(row: Row): string {
  return row.work === 'count' ? 'count bytes' : 'parse StatsD'
}
