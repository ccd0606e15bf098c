import type { Machine } from './machine.js'
import type { Calibrated, ForgottenGuard, OutletName, Side } from './messages.js'
import { HOLD, type Row, workName } from './plan.js'
import { type RowResult, ratios, type SideResult } from './result.js'
import { wrap } from './screen.js'
import { ratio } from './statistics.js'
import { bytes, decimal, times, whole } from './table.js'

/** Under this much of a difference two short runs on a busy machine say the same. */
const HARDLY = 1.15
/** A run that lost less than this was not held back by its receiver. */
const FEW_DROPS = 0.001
/** A paced sender that was later than this was kept waiting by something else on the machine. */
const LATE_MS = 10

/** The results in words: every row, won or lost, and what has to be known to read them. */
export function summary(rows: readonly RowResult[], machine: Machine, idle: Record<Side, number>): string[] {
  const lines = ['Who won (UdpSocket against node:dgram, same handler, same run)']
  for (const result of rows) lines.push(...wrap(`- ${sentence(result)}`))
  lines.push('', 'How to read this')
  for (const note of [...notes(rows, machine), buffersNote(rows), idleNote(idle)])
    lines.push(...wrap(`- ${note}`))
  return lines
}

function rowName(row: Row): string {
  const load = row.rate === undefined ? 'full rate' : `${row.rate / 1000}k/s`
  const buffer = row.recvBufferSize === undefined ? '' : ', large buffer'
  return `${load}${row.held ? ', thread held' : ''}, ${workName(row)}${buffer}`
}

function sentence(result: RowResult): string {
  const { row, dgram, wraith } = result
  const name = rowName(row)
  if (dgram === undefined || wraith === undefined) return `${name}: not measured.`
  const all = ratios(result)
  const parts = [`${name}: ${verdict(all.packetsPerCpuSecond, dgram, wraith)}`]
  if (all.heapBytesPerPacket !== undefined)
    parts.push(`heap bytes ${percent(all.heapBytesPerPacket)} of dgram's`)
  parts.push(`GC ${pauses(wraith)} against ${pauses(dgram)} us per 1000 packets`)
  parts.push(`p99 ${milliseconds(wraith.p99Us)} against ${milliseconds(dgram.p99Us)} ms`)
  if (dgram.dropped + wraith.dropped > 0) {
    parts.push(`dropped ${share(wraith)} against ${share(dgram)} of what was sent`)
  }
  return `${parts.join('; ')}.`
}

/** A win or a loss is one only if the runs of the two sides do not overlap. */
function verdict(value: number | undefined, dgram: SideResult, wraith: SideResult): string {
  if (value === undefined) return 'no comparison'
  const words = `${times(value)} the packets per CPU-second`
  const [leastDgram, mostDgram] = dgram.packetsPerCpuSecondRange
  const [leastWraith, mostWraith] = wraith.packetsPerCpuSecondRange
  if (leastWraith <= mostDgram && leastDgram <= mostWraith)
    return `no clear difference (the runs overlap), ${words}`
  if (value >= HARDLY) return `won, ${words}`
  return value > 1 / HARDLY ? `hardly a difference, ${words}` : `LOST, ${words}`
}

function notes(rows: readonly RowResult[], machine: Machine): string[] {
  const found: string[] = []
  const low = rows.filter(({ row }) => row.rate !== undefined && !row.held)
  const gains = low.map((result) => ratios(result).packetsPerCpuSecond).filter((gain) => gain !== undefined)
  if (gains.length > 0) {
    found.push(
      `At 1k/s and 10k/s nearly every packet comes alone and most of the CPU time is waking up: ` +
        `${times(Math.min(...gains))} to ${times(Math.max(...gains))} here. Under 10k packets/s stay with dgram.`,
    )
  }
  found.push(batchNote(rows))
  found.push(
    'Loopback charges the network stack to the sender: the kernel carries each packet into the receive buffer ' +
      "inside the sender's system call. A network card does that on the receiving machine, the same for both " +
      'sides, so count on smaller ratios for the whole machine.',
  )
  for (const result of rows) {
    if (result.row.rate !== undefined) continue
    for (const side of ['dgram', 'wraith'] as const) {
      const limit = senderLimit(result, side)
      if (limit !== undefined) found.push(limit)
    }
  }
  const paced = rows.filter(({ row }) => row.rate !== undefined)
  const late = paced.flatMap(({ dgram, wraith }) => [dgram, wraith]).map((side) => side?.latestMs ?? 0)
  if (Math.max(0, ...late) > LATE_MS) {
    found.push(
      `The paced sender was held up for ${decimal(Math.max(...late))} ms once: something else ran on this machine, ` +
        'and packets left together afterwards, which shows in the p99.',
    )
  }
  if (process.env['WRAITH_DEBUG'] === '1') {
    found.push('WRAITH_DEBUG=1 is set: UdpSocket checks every use of its memory, so its costs say nothing.')
  }
  if (machine.load > machine.cores / 2) {
    found.push(
      `The load average was ${decimal(machine.load)} on ${machine.cores} cores before the demo began: other work took part ` +
        'of the time, and a quiet machine gives steadier numbers.',
    )
  }
  if (machine.cores < 2) found.push('One core: sender and receiver took turns, so latencies say little.')
  return found
}

function idleNote({ dgram, wraith }: Record<Side, number>): string {
  return (
    `A receiver without packets used ${decimal(dgram / 1e6)} ms of CPU time a second (dgram) and ` +
    `${decimal(wraith / 1e6)} ms (wraith); this is taken off every row.`
  )
}

/** Batching is where the gain comes from, so how large the batches were explains the rows. */
function batchNote(rows: readonly RowResult[]): string {
  const mean = (of: (row: Row) => boolean): string =>
    decimal(rows.find(({ row }) => row.work === 'count' && of(row))?.wraith?.packetsPerBatch)
  return (
    `The gain grows with the batch. Packets a batch: ${mean((row) => row.rate === 10_000)} at 10k/s, ` +
    `${mean((row) => row.rate === undefined)} at full rate, ${mean((row) => row.held)} in the row "held", where other ` +
    `work keeps the thread for ${HOLD.heldMs} of ${HOLD.everyMs} ms (asleep: it costs no CPU time) and packets wait ` +
    'for it, as they do for a busy server.'
  )
}

/** What the loads of the table are called there. */
function buffersNote(rows: readonly RowResult[]): string {
  const stock = rows.find(({ row }) => row.recvBufferSize === undefined)?.dgram?.recvBufferSize
  const large = rows.find(({ row }) => row.recvBufferSize !== undefined)?.dgram?.recvBufferSize
  return (
    `Both sides have the same receive buffer: the stock ${stock === undefined ? 'one' : bytes(stock)}` +
    `${large === undefined ? '' : `, and ${bytes(large)} in the row "full, big"`}.`
  )
}

/** Says when the sender could not fill the receiver. */
function senderLimit({ row, ...sides }: RowResult, side: Side): string | undefined {
  const result = sides[side]
  if (result === undefined || result.dropped > result.sent * FEW_DROPS) return undefined
  return (
    `The sender was the limit for ${side} at ${rowName(row)} ` +
    `(${whole(result.sentPerSecond)} packets/s sent, receiver ${percent(Math.min(1, result.busy ?? 0))} busy).`
  )
}

function pauses({ pausedMs, received }: SideResult): string {
  return decimal(ratio(pausedMs * 1e6, received))
}

function share({ dropped, sent }: SideResult): string {
  return percent(ratio(dropped, sent) ?? 0)
}

function percent(value: number): string {
  const hundred = value * 100
  return `${hundred > 0 && hundred < 10 ? hundred.toFixed(1) : Math.round(hundred)} %`
}

function milliseconds(us: number | undefined): string {
  return us === undefined ? '-' : (us / 1e3).toFixed(us < 1e3 ? 3 : 2)
}

export function calibrationLine(rates: Calibrated, chosen: OutletName): string[] {
  return wrap(
    `Sender: dgram.send ${whole(rates.dgram)}/s, UdpSocket.send ${whole(rates.UdpSocket)}/s into an unread ` +
      `socket; both sides are sent to with ${chosen === 'dgram' ? 'dgram' : 'UdpSocket'}.`,
  )
}

export function machineLines(machine: Machine): string[] {
  return [
    ...wrap(`Machine: ${machine.cpu}, ${machine.cores} cores, ${machine.kernel}`),
    ...wrap(
      `Versions: wraith-transport ${machine.library}, Node ${machine.node} (V8 ${machine.v8}, libuv ${machine.uv})`,
    ),
    ...wrap(
      `Receive buffer: net.core.rmem_default ${machine.rmemDefault ?? 'unknown'}, rmem_max ${machine.rmemMax ?? 'unknown'}`,
    ),
  ]
}

/** The last act: a guard that nobody disposed, and where it came from. */
export function forgottenLines(forgotten: ForgottenGuard): string[] {
  return [
    'A forgotten guard, as the pool reports it (leakDetection: "stack")',
    ...wrap(`  ${forgotten.frame}`, '    '),
    ...(forgotten.source === '' ? [] : wrap(`  that line: ${forgotten.source}`, '    ')),
  ]
}
