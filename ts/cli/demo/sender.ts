import os from 'node:os'
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises'
import { UdpSocket } from '../../../index.js'
import { Clock } from './clock.js'
import { DATA, encodeAll, encodeEnd, expectedTotals, PAYLOADS, payloadCounts, stamp } from './datagrams.js'
import type { Attach, Calibrated, Request, Stream, Streamed } from './messages.js'
import { type Outlet, openOutlet } from './outlets.js'
import { serve } from './service.js'
import { sum } from './statistics.js'

/** The sender process: one stream at a time to one receiver. */

/** At full rate so many datagrams go out in one turn of the loop. */
const FULL_RATE_TURN = 64
/** Behind its schedule, a paced stream catches up by so many a turn: no long bursts. */
const CATCH_UP_TURN = 4
const LIFETIME_MS = 1_200_000

const datagrams = encodeAll()
/** With one core, spinning between packets would take the receiver's time. */
const spin = os.availableParallelism() > 1
let outlet: Outlet | undefined
let clock: Clock | undefined

async function attach(request: Attach): Promise<void> {
  outlet?.close()
  outlet = await openOutlet(request.outlet, request.port)
  clock = new Clock(request.epochNs)
}

async function stream(request: Stream): Promise<Streamed> {
  if (outlet === undefined || clock === undefined) throw new Error("'stream' before 'attach'")
  const { generation, rate } = request
  const due = rate === undefined ? request.maxPackets : Math.floor((rate * request.durationMs) / 1000)
  const limit = Math.min(due, request.maxPackets)
  // A paced stream that is held up still ends.
  const mostNs = request.durationMs * 1e6 * (rate === undefined ? 1 : 2)
  const intervalNs = rate === undefined ? 0 : 1e9 / rate
  const perTurn = rate === undefined ? FULL_RATE_TURN : CATCH_UP_TURN
  const start = clock.now()
  let next = 0
  let latestNs = 0
  let now = start
  while (next < limit && now - start < mostNs) {
    const last = Math.min(limit, next + perTurn)
    while (next < last) {
      now = clock.now()
      const late = now - start - next * intervalNs
      if (late < 0) break
      if (rate !== undefined && late > latestNs) latestNs = late
      const datagram = datagrams[next % PAYLOADS] as Uint8Array
      stamp(datagram, generation, DATA, next, now)
      if (!outlet.send(datagram, next)) await outlet.writable()
      else next++
    }
    await (spin || rate === undefined ? turn() : delay(1))
    now = clock.now()
  }
  const failed = await outlet.takeFailed()
  const wallNs = clock.now() - start
  const offered = rate === undefined ? next : limit
  await mark(generation)
  return {
    offered,
    sent: next - failed.length,
    totals: expectedTotals(payloadCounts(next, failed)),
    sequenceSum: (next * (next - 1)) / 2 - sum(failed),
    wallNs,
    latestNs,
  }
}

async function mark(generation: number): Promise<void> {
  if (outlet === undefined) throw new Error("'mark' before 'attach'")
  while (!outlet.send(encodeEnd(generation), 0)) await outlet.writable()
  if ((await outlet.takeFailed()).length > 0) throw new Error('an end mark could not be sent')
}

/**
 * How fast each kind of socket sends to a port that nobody reads. The reader of a full socket costs the sender a little
 * less than one that takes part, but the same for both.
 */
async function calibrate(ms: number): Promise<Calibrated> {
  const sink = await UdpSocket.bind({ address: '127.0.0.1', port: 0 })
  try {
    const result: Calibrated = { dgram: 0, UdpSocket: 0 }
    // The first round warms up, the second counts.
    for (const counted of [false, true]) {
      for (const name of ['dgram', 'UdpSocket'] as const) {
        await attach({
          do: 'attach',
          port: sink.address().port,
          outlet: name,
          epochNs: process.hrtime.bigint(),
        })
        const durationMs = counted ? ms : ms / 3
        const done = await stream({
          do: 'stream',
          generation: 0,
          rate: undefined,
          durationMs,
          maxPackets: 1e6,
        })
        result[name] = done.sent / (done.wallNs / 1e9)
      }
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
