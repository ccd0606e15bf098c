import { EQUAL_BYTES } from './datagrams.js'
import type { Machine } from './machine.js'
import type { Calibrated, ForgottenGuard, OutletName, Side } from './messages.js'
import { BURST, loadName, type Row, workName } from './plan.js'
import { headline, isHeadline, type RowResult, ratios, type SideResult } from './result.js'
import { wrap } from './screen.js'
import { ratio } from './statistics.js'
import { bytes, decimal, percent, times, whole } from './table.js'

/** Under this much of a difference two short runs on a busy machine say the same. */
const HARDLY = 1.15
/** A receiver that lost less than this kept up but for hiccups: more could have been sent to it. */
const FEW_DROPS = 0.1
/** A paced sender that was later than this was kept waiting by something else on the machine. */
const LATE_MS = 10

/** The results in words: every row, won or lost, and what has to be known to read them. */
export function summary(rows: readonly RowResult[], machine: Machine, rates: Calibrated): string[] {
  const lines = ['Who won (UdpSocket against node:dgram, same handler, same run)']
  for (const result of rows) lines.push(...wrap(`- ${sentence(result)}`))
  lines.push(...wrap(`= ${overall(rows)}`), '', 'How to read this')
  const all = [...notes(rows, rates), buffersNote(rows), ...troubles(rows, machine)]
  for (const note of all) lines.push(...wrap(`- ${note}`))
  return lines
}

/** What `--json` calls `ratio`. */
function overall(rows: readonly RowResult[]): string {
  const { packetsPerCpuSecond, heapBytesPerPacket, gcTime } = headline(rows)
  const parts = [`${times(packetsPerCpuSecond)} the packets per CPU-second`]
  if (heapBytesPerPacket !== undefined) parts.push(`${percent(heapBytesPerPacket)} of the heap bytes`)
  if (gcTime !== undefined) parts.push(`${percent(gcTime)} of the GC time`)
  return `Both rows "full" together (the ratio of --json): ${parts.join(', ')}.`
}

export function rowName(row: Row): string {
  return `${loadName(row)}, ${workName(row)}`
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
export function verdict(
  value: number | undefined,
  theirs: SideResult,
  ours: SideResult,
  whose = 'the packets per CPU-second',
): string {
  if (value === undefined) return 'no comparison'
  const words = `${times(value)} ${whose}`
  if (theirs.runs < 2 || ours.runs < 2) return `${words} (one run each, no verdict)`
  const [leastTheirs, mostTheirs] = theirs.packetsPerCpuSecondRange
  const [leastOurs, mostOurs] = ours.packetsPerCpuSecondRange
  if (leastOurs <= mostTheirs && leastTheirs <= mostOurs)
    return `no clear difference (the runs overlap), ${words}`
  if (value >= HARDLY) return `won, ${words}`
  return value > 1 / HARDLY ? `hardly a difference, ${words}` : `LOST, ${words}`
}

function notes(rows: readonly RowResult[], rates: Calibrated): string[] {
  const found: string[] = []
  const low = gains(rows, (row) => row.rate !== undefined && row.burst === 1)
  if (low !== undefined) {
    found.push(
      `At 1k/s and 10k/s nearly every packet comes alone and most of the CPU time is waking up: ${low} here. Under ` +
        '10k packets/s stay with dgram.',
    )
  }
  found.push(...oneByOneNote(rows), fullNote(rows, rates), batchNote(rows))
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
  return found
}

/** The least and the most gain of some rows, in words. */
function gains(rows: readonly RowResult[], which: (row: Row) => boolean): string | undefined {
  const found = rows
    .filter(({ row }) => which(row))
    .map((result) => ratios(result).packetsPerCpuSecond)
    .filter((gain) => gain !== undefined)
  if (found.length === 0) return undefined
  const least = times(Math.min(...found))
  const most = times(Math.max(...found))
  return least === most ? least : `${least} to ${most}`
}

/** Where one sender cannot keep a receiver busy. */
function oneByOneNote(rows: readonly RowResult[]): string[] {
  const result = rows.find(({ row }) => loadName(row) === 'one by one')
  const gain = gains(rows, (row) => loadName(row) === 'one by one')
  if (result === undefined || gain === undefined) return []
  const { dgram, wraith } = result
  return [
    `"one by one": one Node process that makes a system call for each packet, as fast as it can: ` +
      `${whole(dgram?.sentPerSecond)} packets/s to dgram and ${whole(wraith?.sentPerSecond)} to wraith. UdpSocket finds ` +
      `${decimal(wraith?.packetsPerBatch)} of them at a time, and much of the CPU time is waking up: ${gain}.`,
  ]
}

function fullNote(rows: readonly RowResult[], { segments }: Calibrated): string {
  const full = rows.find(isHeadline)
  const together =
    segments === undefined
      ? 'one after the other: this system cannot send them with one call (UDP_SEGMENT), so one sender may not offer enough'
      : 'with one system call (UdpSocket.sendSegments); the kernel cuts them into ordinary datagrams, which reach the ' +
        'receiver together, as they do from a network card under load'
  const lost =
    full?.dgram === undefined || full.wraith === undefined
      ? ''
      : ` What there is no room for the kernel drops: ${share(full.dgram)} of dgram's packets and ` +
        `${share(full.wraith)} of wraith's with "count bytes".`
  return (
    `"full" and 100k/s: bursts of ${BURST} datagrams leave ${together}. ` +
    `"full" offers as much as one sender can.${lost} These datagrams all have ` +
    `${EQUAL_BYTES} bytes, which suits UdpSocket's heap best; in the other rows the lengths are mixed.`
  )
}

/** What on this machine makes the numbers worse than they are. */
export function troubles(rows: readonly RowResult[], machine: Machine): string[] {
  const found: string[] = []
  const paced = rows.filter(({ row }) => row.rate !== undefined)
  const late = paced.flatMap(({ dgram, wraith, xdp }) => [dgram, wraith, xdp]).map((of) => of?.latestMs ?? 0)
  if (Math.max(0, ...late) > LATE_MS) {
    found.push(
      `The paced sender was held up for ${decimal(Math.max(...late))} ms once: something else ran on this machine, ` +
        'and packets left sooner after one another afterwards, which shows in the p99.',
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

/** Batching is where the gain comes from, so how large the batches were explains the rows. */
function batchNote(rows: readonly RowResult[]): string {
  const sizes = rows
    .filter(({ row, wraith }) => row.work === 'count' && wraith !== undefined)
    .map(({ row, wraith }) => `${decimal(wraith?.packetsPerBatch)} at ${loadName(row)}`)
  return `The gain grows with the batch. Packets a batch, counting bytes: ${sizes.join('; ')}.`
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
export function senderLimit({ row, ...sides }: RowResult, side: Side): string | undefined {
  const result = sides[side]
  if (result === undefined || result.dropped > result.sent * FEW_DROPS) return undefined
  return (
    `The sender was the limit for ${side} at ${rowName(row)} ` +
    `(${whole(result.sentPerSecond)} packets/s sent, ${share(result)} dropped, receiver ` +
    `${percent(Math.min(1, result.busy ?? 0))} busy).`
  )
}

function pauses({ pausedMs, received }: SideResult): string {
  return decimal(ratio(pausedMs * 1e6, received))
}

export function share({ dropped, sent }: SideResult): string {
  return percent(ratio(dropped, sent) ?? 0)
}

export function milliseconds(us: number | undefined): string {
  return us === undefined ? '-' : (us / 1e3).toFixed(us < 1e3 ? 3 : 2)
}

export function calibrationLine(rates: Calibrated, chosen: OutletName, who = 'Both sides'): string[] {
  const bursts =
    rates.segments === undefined
      ? 'this system has no UDP_SEGMENT, so bursts are sent with a call for each packet'
      : `UdpSocket.sendSegments ${whole(rates.segments)}/s`
  return wrap(
    `Sender, into a socket that nobody reads: dgram.send ${whole(rates.dgram)}/s, UdpSocket.send ` +
      `${whole(rates.UdpSocket)}/s, ${bursts}. ${who} are sent to with ${chosen === 'dgram' ? 'dgram' : 'UdpSocket'}.`,
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
