import type { Machine } from '../machine.js'
import type { Calibrated, Side } from '../messages.js'
import { BURST, loadName } from '../plan.js'
import { headline, isHeadline, type RowResult, ratios, type SideResult } from '../result.js'
import { wrap } from '../screen.js'
import { milliseconds, rowName, senderLimit, share, troubles, verdict } from '../summary.js'
import { bytes, decimal, percent, times, whole } from '../table.js'

/** XdpSocket has won where it does so much more with its CPU time than the better of the other two. */
const CLEARLY = 1.15
const NAMES: Record<Side, string> = { dgram: 'dgram', wraith: 'UdpSocket', xdp: 'XdpSocket' }

type Sides = Record<Side, SideResult>

/** The results in words: every row, won or lost, and what has to be known to read them. */
export function wireSummary(
  rows: readonly RowResult[],
  machine: Machine,
  rates: Calibrated,
  socket: string,
): string[] {
  const lines = ['Who won (XdpSocket against node:dgram and UdpSocket, same handler, same run)']
  for (const result of rows) lines.push(...wrap(`- ${sentence(result)}`))
  lines.push(...wrap(`= ${overall(rows)}`), '', 'How to read this')
  const all = [
    ...worth(rows),
    chargedNote(rows),
    `This is copy mode ("${socket}"): a veth has no zero-copy. With a card that has it, the kernel's copy falls away; none of ` +
      'these numbers shows that.',
    wireNote(rates),
    dropsNote(rows),
    batchNote(rows),
    'The heap bytes of XdpSocket are a view for each packet, made over the payload at its place in the frame. UdpSocket has its ' +
      'views of packets of one length already; code that reads batch.view makes none.',
    ...limits(rows),
    ...troubles(rows, machine),
  ]
  for (const note of all) lines.push(...wrap(`- ${note}`))
  return lines
}

function complete({ dgram, wraith, xdp }: RowResult): Sides | undefined {
  return dgram === undefined || wraith === undefined || xdp === undefined ? undefined : { dgram, wraith, xdp }
}

function sentence(result: RowResult): string {
  const sides = complete(result)
  const name = rowName(result.row)
  if (sides === undefined) return `${name}: not measured.`
  const { dgram, wraith, xdp } = sides
  const against = (base: Side): string => {
    const gain = ratios(result, 'xdp', base).packetsPerCpuSecond
    return verdict(gain, sides[base], xdp, `${NAMES[base]}'s packets per CPU-second`)
  }
  const each = (of: (side: SideResult) => string): string =>
    `${of(xdp)} against ${of(dgram)} and ${of(wraith)}`
  const parts = [
    `${name}: ${against('dgram')}; ${against('wraith')}`,
    `heap bytes ${each((of) => decimal(of.heapBytesPerPacket))}`,
    `p99 ${each((of) => milliseconds(of.p99Us))} ms`,
  ]
  if (dgram.dropped + wraith.dropped + xdp.dropped > 0) parts.push(`dropped ${each(share)}`)
  return `${parts.join('; ')}.`
}

/** What `--json` calls `xdpRatio`. */
function overall(rows: readonly RowResult[]): string {
  const against = (base: Side): string => {
    const { packetsPerCpuSecond, heapBytesPerPacket } = headline(rows, 'xdp', base)
    const heap =
      heapBytesPerPacket === undefined ? '' : ` and ${percent(heapBytesPerPacket)} of its heap bytes`
    return `${times(packetsPerCpuSecond)} the packets per CPU-second of ${NAMES[base]}${heap}`
  }
  return `Both rows "full" together (xdpRatio of --json): ${against('dgram')}; ${against('wraith')}.`
}

/** Where it pays to take packets from the kernel's stack, and where it does not. */
function worth(rows: readonly RowResult[]): string[] {
  const won: string[] = []
  const not: string[] = []
  for (const result of rows) {
    const gain = leastGain(result)
    if (gain === undefined) continue
    const text = `${rowName(result.row)} (${times(gain)})`
    if (gain >= CLEARLY) won.push(text)
    else not.push(text)
  }
  const found: string[] = []
  if (won.length > 0) {
    found.push(
      `XdpSocket does more per CPU-second than the better of dgram and UdpSocket at: ${won.join('; ')}.`,
    )
  }
  if (not.length > 0) {
    found.push(
      `It does not, or hardly, at: ${not.join('; ')}. At 1k/s and 10k/s packets come alone and the time goes into waking up, ` +
        'which AF_XDP does not save; and it takes rights, and an interface whose packets are yours to take. Under 10k packets/s ' +
        'stay with dgram.',
    )
  }
  return found
}

function leastGain(result: RowResult): number | undefined {
  const dgram = ratios(result, 'xdp', 'dgram').packetsPerCpuSecond
  const wraith = ratios(result, 'xdp', 'wraith').packetsPerCpuSecond
  return dgram === undefined || wraith === undefined ? undefined : Math.min(dgram, wraith)
}

/** Who pays for what the kernel does. */
function chargedNote(rows: readonly RowResult[]): string {
  const full = rows.find(isHeadline)
  const sides = full === undefined ? undefined : complete(full)
  const sender =
    sides === undefined
      ? ''
      : ` At full rate, counting bytes, a packet cost the sender ${whole(sides.dgram.senderCpuNsPerPacket)} ns with dgram at the ` +
        `other end, ${whole(sides.wraith.senderCpuNsPerPacket)} with UdpSocket, ${whole(sides.xdp.senderCpuNsPerPacket)} with XdpSocket.`
  return (
    "CPU is that of the receiving process alone. On a veth the kernel's part of receiving is softirq work, for which mostly the " +
    "sender's system calls are charged, at times ksoftirqd: for UDP the stack up to the receive buffer, for XdpSocket its program " +
    'and the copy into a frame. The copy out of a receive buffer is charged to the receiver, so this flatters XdpSocket.' +
    `${sender} With a card the receiving machine pays for all but the sending: count on smaller ratios for the whole machine.`
  )
}

function wireNote({ segments }: Calibrated): string {
  const together =
    segments === undefined
      ? 'one after the other'
      : 'with one system call and are cut into packets before the veth'
  return `"full" and 100k/s: bursts of ${BURST} datagrams leave ${together}, so all sides get single packets.`
}

function dropsNote(rows: readonly RowResult[]): string {
  const stock = rows[0]?.dgram?.recvBufferSize
  return (
    `Dropped by: "buffer", the receive buffer of a UDP socket (both have ${stock === undefined ? 'the stock one' : bytes(stock)}); ` +
    '"RX ring", nobody received for too long; "fill", the kernel had no frame of XdpSocket left; "veth", its ring, or the backlog ' +
    'of the CPU, was full. XdpSocket has its default memory, which holds far more packets than a stock receive buffer: it drops ' +
    'less because of that, and a packet may wait longer.'
  )
}

/** Batching is where the gain comes from. */
function batchNote(rows: readonly RowResult[]): string {
  const sizes = rows.flatMap((result) => {
    const sides = complete(result)
    if (sides === undefined || result.row.work !== 'count') return []
    const { wraith, xdp } = sides
    return [
      `${decimal(wraith.packetsPerBatch)} and ${decimal(xdp.packetsPerBatch)} at ${loadName(result.row)}`,
    ]
  })
  return `Packets a batch, UdpSocket and XdpSocket, counting bytes: ${sizes.join('; ')}.`
}

function limits(rows: readonly RowResult[]): string[] {
  return rows
    .filter(({ row }) => row.rate === undefined)
    .flatMap((result) => (['dgram', 'wraith', 'xdp'] as const).map((side) => senderLimit(result, side)))
    .filter((limit) => limit !== undefined)
}
