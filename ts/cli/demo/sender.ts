import os from 'node:os'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { UdpSocket } from '../../../index.js'
import { sendRun } from './bursts.js'
import { Clock } from './clock.js'
import {
  DATA,
  EQUAL_BYTES,
  encodeAll,
  encodeEnd,
  expectedTotals,
  PAYLOADS,
  payloadCounts,
  runOf,
  stamp,
} from './datagrams.js'
import { linkDrops } from './kernel-drops.js'
import type { Attach, Calibrated, Marked, OutletName, Request, Stream, Streamed } from './messages.js'
import { type Outlet, openOutlet } from './outlets.js'
import { BURST } from './plan.js'
import { serve } from './service.js'
import { LOOPBACK } from './site.js'
import { sum } from './statistics.js'

/** The sender process: one stream at a time to one receiver. */

/** So many datagrams at most go out in one turn of the loop, and at least so many bursts. */
const TURN = 64
const TURN_BURSTS = 8
/** Without spinning the stream looks at the clock about every millisecond, and sends what became due since. */
const SLEEPY_NS = 5e6
const LIFETIME_MS = 1_200_000

const payloads = { mixed: encodeAll('mixed'), equal: encodeAll('equal') }
/** With one core, spinning between packets would take the receiver's time. */
const spin = os.availableParallelism() > 1
let outlet: Outlet | undefined
let clock: Clock | undefined
let link: string | undefined

async function attach(request: Attach): Promise<void> {
  outlet?.close()
  outlet = await openOutlet(request)
  clock = new Clock(request.epochNs)
  link = request.link
}

/** What the interface has dropped of what was sent: a drop is counted before the call that sent it returns. */
function droppedByLink(): number {
  return link === undefined ? 0 : linkDrops(link).sent
}

async function stream(request: Stream): Promise<Streamed> {
  if (outlet === undefined || clock === undefined) throw new Error("'stream' before 'attach'")
  const { generation, rate, burst, lengths } = request
  const datagrams = payloads[lengths]
  const due = rate === undefined ? request.maxPackets : Math.floor((rate * request.durationMs) / 1000)
  const limit = Math.min(due, request.maxPackets)
  // A paced stream that is held up still ends.
  const mostNs = request.durationMs * 1e6 * (rate === undefined ? 1 : 2)
  const intervalNs = rate === undefined ? 0 : 1e9 / rate
  const perTurn = Math.max(TURN, TURN_BURSTS * burst)
  const droppedBefore = droppedByLink()
  const cpuBefore = process.cpuUsage()
  const start = clock.now()
  let next = 0
  let latestNs = 0
  let now = start
  // Behind its schedule, a paced stream catches up at twice its rate, so that the receiver sees no long burst.
  let earliest = start
  while (next < limit && now - start < mostNs) {
    const last = Math.min(limit, next + perTurn)
    while (next < last) {
      now = clock.now()
      const late = now - start - next * intervalNs
      if (late < 0 || now < earliest) break
      if (rate !== undefined && late > latestNs) latestNs = late
      // A run does not reach over the end of the payloads.
      const index = next % PAYLOADS
      const count = Math.min(burst, last - next, PAYLOADS - index)
      for (let i = 0; i < count; i++) {
        stamp(datagrams[index + i] as Uint8Array, generation, DATA, next + i, now)
      }
      const taken =
        burst > 1
          ? sendRun(outlet, runOf(datagrams, index, count), EQUAL_BYTES, next)
          : Number(outlet.send(datagrams[index] as Uint8Array, next))
      if (taken < count) await outlet.writable()
      next += taken
      earliest = Math.max(earliest, now - (spin ? 0 : SLEEPY_NS)) + (taken * intervalNs) / 2
    }
    await (spin || rate === undefined ? turn() : delay(1))
    now = clock.now()
  }
  const failed = await outlet.takeFailed()
  const wallNs = clock.now() - start
  const cpu = process.cpuUsage(cpuBefore)
  const offered = rate === undefined ? next : limit
  const linkDropped = droppedByLink() - droppedBefore
  return {
    offered,
    sent: next - failed.length,
    totals: expectedTotals(payloadCounts(next, failed), lengths),
    sequenceSum: (next * (next - 1)) / 2 - sum(failed),
    wallNs,
    cpuNs: (cpu.user + cpu.system) * 1e3,
    latestNs,
    linkDropped,
    mark: await mark(generation),
  }
}

async function mark(generation: number): Promise<Marked> {
  if (outlet === undefined) throw new Error("'mark' before 'attach'")
  const droppedBefore = droppedByLink()
  while (!outlet.send(encodeEnd(generation), 0)) await outlet.writable()
  if ((await outlet.takeFailed()).length > 0) throw new Error('an end mark could not be sent')
  return { linkDropped: droppedByLink() - droppedBefore }
}

/**
 * How fast each kind of socket sends to a port that nobody reads, and bursts with one call each. A sender to a full
 * socket is a little faster than to one that takes part, but the same for both.
 */
async function calibrate(ms: number): Promise<Calibrated> {
  const { host, from } = LOOPBACK
  const sink = await UdpSocket.bind({ address: host, port: 0 })
  const { port } = sink.address()
  const rate = async (name: OutletName, burst: number, durationMs: number): Promise<number> => {
    const epochNs = process.hrtime.bigint()
    await attach({ do: 'attach', from, host, port, link: undefined, outlet: name, epochNs })
    const done = await stream({
      do: 'stream',
      generation: 0,
      rate: undefined,
      durationMs,
      maxPackets: 1e6,
      burst,
      lengths: burst > 1 ? 'equal' : 'mixed',
    })
    return done.sent / (done.wallNs / 1e9)
  }
  try {
    const result: Calibrated = { dgram: 0, UdpSocket: 0, segments: undefined }
    // The first round warms up, the second counts.
    for (const durationMs of [ms / 3, ms]) {
      for (const name of ['dgram', 'UdpSocket'] as const) result[name] = await rate(name, 1, durationMs)
      const segments = await rate('UdpSocket', BURST, durationMs)
      result.segments = outlet?.sendSegments === undefined ? undefined : segments
    }
    return result
  } finally {
    detach()
    sink.close()
  }
}

function detach(): void {
  outlet?.close()
  outlet = undefined
}

serve(LIFETIME_MS, async (request: Request) => {
  switch (request.do) {
    case 'calibrate':
      return calibrate(request.ms)
    case 'attach':
      return attach(request)
    case 'stream':
      return stream(request)
    case 'mark':
      return mark(request.generation)
    case 'detach':
      return detach()
    default:
      throw new Error(`a sender does not know '${request.do}'`)
  }
})
