import { SIDES, type Side, WIRE_SIDES } from './messages.js'
import { loadName, workName } from './plan.js'
import type { RowResult, SideResult } from './result.js'
import { ratio } from './statistics.js'

/** The results as text, at most 79 columns wide. */

interface Column {
  title: string
  width: number
  cell: (result: SideResult) => string
}

const COST: readonly Column[] = [
  { title: 'pkt/CPU-s', width: 10, cell: (of) => whole(of.packetsPerCpuSecond) },
  { title: 'CPU ns', width: 8, cell: (of) => whole(of.cpuNsPerPacket) },
  { title: 'heap B', width: 8, cell: (of) => decimal(of.heapBytesPerPacket) },
  { title: 'GCs', width: 5, cell: (of) => whole(of.collections) },
  { title: 'GC ms', width: 7, cell: (of) => decimal(of.pausedMs) },
  { title: 'max', width: 6, cell: (of) => decimal(of.longestPauseMs) },
  { title: 'p50 us', width: 8, cell: (of) => whole(of.p50Us) },
  { title: 'p99 us', width: 8, cell: (of) => whole(of.p99Us) },
]

const BOOKS: readonly Column[] = [
  { title: 'offered', width: 9, cell: (of) => whole(of.offered) },
  { title: 'sent', width: 9, cell: (of) => whole(of.sent) },
  { title: 'received', width: 9, cell: (of) => whole(of.received) },
  { title: 'dropped', width: 9, cell: (of) => whole(of.dropped) },
  { title: 'lost', width: 6, cell: (of) => percent(ratio(of.dropped, of.sent) ?? 0) },
  { title: 'unaccounted', width: 12, cell: (of) => whole(of.unaccounted) },
  { title: 'totals', width: 7, cell: (of) => (of.mismatches.length === 0 ? 'equal' : 'WRONG') },
]

/** The same with a column for each reason of a drop; the loads there have short names. */
const WIRE_BOOKS: readonly Column[] = [
  { title: 'sent', width: 9, cell: (of) => whole(of.sent) },
  { title: 'received', width: 9, cell: (of) => whole(of.received) },
  { title: 'buffer', width: 9, cell: (of) => whole(of.drops.receiveBuffer) },
  { title: 'RX ring', width: 8, cell: (of) => whole(of.drops.rxRingFull) },
  { title: 'fill', width: 9, cell: (of) => whole(of.drops.fillRingEmpty) },
  { title: 'veth', width: 9, cell: (of) => whole(of.drops.link) },
  { title: 'rest', width: 5, cell: (of) => whole(of.unaccounted) },
  { title: 'totals', width: 7, cell: (of) => (of.mismatches.length === 0 ? 'equal' : 'WRONG') },
]

const LOAD_WIDTH = 11
const WIRE_LOAD_WIDTH = 7
const SIDE_WIDTH = 6

/** CPU, heap, collections and latency: a line for each side of a row. */
export function costTable(rows: readonly RowResult[], sides: readonly Side[] = SIDES): string[] {
  const title = 'What a packet costs the receiver (max: longest GC; us: from send to handler)'
  return table(title, COST, rows, sides, LOAD_WIDTH)
}

/** Where every packet went. */
export function booksTable(rows: readonly RowResult[]): string[] {
  const title = 'Where the packets went (totals: the contents, against what was sent)'
  return table(title, BOOKS, rows, SIDES, LOAD_WIDTH)
}

/** The same for packets that went over a veth pair: sent = received + what each of four had no room for + rest, which must be 0. */
export function wireBooksTable(rows: readonly RowResult[]): string[] {
  const title = 'Where the packets went: received, dropped by whom, rest (unaccounted for)'
  return table(title, WIRE_BOOKS, rows, WIRE_SIDES, WIRE_LOAD_WIDTH)
}

function table(
  title: string,
  columns: readonly Column[],
  rows: readonly RowResult[],
  sides: readonly Side[],
  loadWidth: number,
): string[] {
  const lines = [title, head(columns, loadWidth)]
  let heading = ''
  for (const result of rows) {
    const own = workName(result.row)
    if (own !== heading) lines.push(own)
    heading = own
    for (const side of sides) {
      const of = result[side]
      const label = side === sides[0] ? loadName(result.row) : ''
      const cells = columns.map((column) => (of === undefined ? '-' : column.cell(of)).padStart(column.width))
      lines.push(` ${label.padEnd(loadWidth)}${side.padEnd(SIDE_WIDTH)}${cells.join('')}`)
    }
  }
  return lines
}

function head(columns: readonly Column[], loadWidth: number): string {
  const titles = columns.map((column) => column.title.padStart(column.width)).join('')
  return `${' '.repeat(1 + loadWidth + SIDE_WIDTH)}${titles}`
}

export function whole(value: number | undefined): string {
  return value === undefined ? '-' : String(Math.round(value))
}

export function decimal(value: number | undefined): string {
  return value === undefined ? '-' : value >= 100 ? String(Math.round(value)) : value.toFixed(1)
}

export function percent(value: number): string {
  const hundred = value * 100
  return `${hundred > 0 && hundred < 10 ? hundred.toFixed(1) : Math.round(hundred)} %`
}

export function times(value: number | undefined): string {
  return value === undefined ? 'n/a' : `${value.toFixed(value < 10 ? 2 : 1)}x`
}

export function bytes(value: number): string {
  return value >= 1 << 20 ? `${decimal(value / (1 << 20))} MiB` : `${Math.round(value / 1024)} KiB`
}
