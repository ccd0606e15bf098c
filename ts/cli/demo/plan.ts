import type { Lengths } from './datagrams.js'
import { SIDES, type Side, WIRE_SIDES } from './messages.js'
import { sum } from './statistics.js'
import type { Work } from './tally.js'

/** One line of the table: a load and what is done with each packet. */
export interface Row {
  /** Packets a second; `undefined`: as fast as the sender can. */
  rate: number | undefined
  work: Work
  /** Asked of the kernel for both sides; `undefined` leaves the machine's default. */
  recvBufferSize: number | undefined
  /** So many datagrams leave together; 1: each by itself. */
  burst: number
  durationMs: number
}

/** Datagrams of a burst, sent with one call: half of what the kernel allows. */
export const BURST = 32

export interface Plan {
  rows: readonly Row[]
  sides: readonly Side[]
  /** How often each row runs: dgram, wraith, dgram, wraith, … */
  rounds: number
  warmUpMs: number
  /** Between warm-up and measurement. */
  restMs: number
  calibrateMs: number
}

export const DEFAULT_SECONDS = 30
export const DEFAULT_XDP_SECONDS = 45
export const MOST_SECONDS = 600
/** Warm-up rate: enough packets to have the handler compiled before the measurement. */
export const WARM_UP_RATE = 100_000
/** More than a Node process can send, burst by burst. */
const MOST_RATE = 4_000_000
const LEAST_LIMIT = 1 << 16
const MOST_LIMIT = 1 << 23

interface Load {
  rate: number | undefined
  burst: number
  work: Work
  weight: number
  large?: true
}

/**
 * The rows, and their share of the measured time. Full rate gets the most because its rare events (drops, collections)
 * need it. From 100k/s on bursts, because one Node process that makes a call for each datagram cannot keep a receiver busy;
 * the last row with "count" shows that.
 */
const LOADS: readonly Load[] = [
  { work: 'count', rate: 1_000, burst: 1, weight: 0.8 },
  { work: 'count', rate: 10_000, burst: 1, weight: 0.8 },
  { work: 'count', rate: 100_000, burst: BURST, weight: 0.8 },
  { work: 'count', rate: undefined, burst: BURST, weight: 1 },
  { work: 'count', rate: undefined, burst: BURST, weight: 0.8, large: true },
  { work: 'count', rate: undefined, burst: 1, weight: 0.8 },
  { work: 'parse', rate: 1_000, burst: 1, weight: 0.8 },
  { work: 'parse', rate: 10_000, burst: 1, weight: 0.8 },
  { work: 'parse', rate: undefined, burst: BURST, weight: 1 },
]
/** The loads of the demo with AF_XDP. */
const WIRE_LOADS = LOADS.filter(({ rate, burst, large }) => !large && (rate !== undefined || burst > 1))
const LEAST_MS = 100

interface Costs {
  /** Starting a process, opening a socket, waiting for the end marks: what a run costs besides its own time. */
  runMs: number
  onceMs: number
  /** From so many seconds on each row runs twice or more: once in so many. */
  longFrom: number
  roundSeconds: number
}

const COSTS: Costs = { runMs: 170, onceMs: 1_200, longFrom: 25, roundSeconds: 15 }
const WIRE_COSTS: Costs = { runMs: 260, onceMs: 2_000, longFrom: 35, roundSeconds: 22 }

/**
 * Divides `seconds` over the rows.
 * @param largeBuffer a receive buffer above the default that this machine grants, or `undefined`
 */
export function planFor(seconds: number, largeBuffer: number | undefined): Plan {
  const loads = LOADS.filter(({ large }) => !large || largeBuffer !== undefined)
  return spread(seconds, loads, SIDES, COSTS, largeBuffer)
}

/** Divides `seconds` over the rows of the demo with AF_XDP. */
export function wirePlanFor(seconds: number): Plan {
  return spread(seconds, WIRE_LOADS, WIRE_SIDES, WIRE_COSTS)
}

function spread(
  seconds: number,
  loads: readonly Load[],
  sides: readonly Side[],
  { runMs, onceMs, longFrom, roundSeconds }: Costs,
  largeBuffer?: number,
): Plan {
  const long = seconds >= longFrom
  const rounds = long ? Math.min(7, Math.max(2, Math.round(seconds / roundSeconds))) : 1
  const warmUpMs = long ? 200 : 80
  const restMs = long ? 30 : 15
  const turns = sides.length * rounds
  const left = seconds * 1000 - onceMs - loads.length * turns * (runMs + warmUpMs + restMs)
  const unit = left / (sum(loads.map(({ weight }) => weight)) * turns)
  return {
    rows: loads.map(({ weight, large, ...row }) => ({
      ...row,
      recvBufferSize: large ? largeBuffer : undefined,
      durationMs: Math.max(LEAST_MS, Math.round(unit * weight)),
    })),
    sides,
    rounds,
    warmUpMs,
    restMs,
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
  // Of what is sent at full rate a good part is dropped.
  const expected = ((row.rate ?? (row.burst > 1 ? 600_000 : 200_000)) * row.durationMs) / 1000
  return 2 ** Math.max(0, Math.ceil(Math.log2(expected / LATENCY_SAMPLES)))
}

/** Datagrams that leave with one call have one length. */
export function lengthsOf({ burst }: Row): Lengths {
  return burst > 1 ? 'equal' : 'mixed'
}

/** Ten characters at most. */
export function loadName(row: Row): string {
  if (row.rate !== undefined) return `${row.rate / 1000}k/s`
  if (row.burst === 1) return 'one by one'
  return row.recvBufferSize === undefined ? 'full' : 'full, big'
}

export function workName(row: Row): string {
  return row.work === 'count' ? 'count bytes' : 'parse StatsD'
}
