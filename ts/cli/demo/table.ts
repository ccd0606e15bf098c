import { SIDES } from './messages.js'
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

const LOAD_WIDTH = 11
const SIDE_WIDTH = 6

/** CPU, heap, collections and latency: two lines a row. */
export function costTable(rows: readonly RowResult[]): string[] {
  return table('What a packet costs the receiver (max: longest GC; us: from send to handler)', COST, rows)
}

/** Where every packet went. */
export function booksTable(rows: readonly RowResult[]): string[] {
  return table('Where the packets went (totals: the contents, against what was sent)', BOOKS, rows)
}

function table(title: string, columns: readonly Column[], rows: readonly RowResult[]): string[] {
  const lines = [title, head(columns)]
  let heading = ''
  for (const result of rows) {
    const own = workName(result.row)
    if (own !== heading) lines.push(own)
    heading = own
    for (const side of SIDES) {
      const of = result[side]
      const label = side === 'dgram' ? loadName(result.row) : ''
      const cells = columns.map((column) => (of === undefined ? '-' : column.cell(of)).padStart(column.width))
      lines.push(` ${label.padEnd(LOAD_WIDTH)}${side.padEnd(SIDE_WIDTH)}${cells.join('')}`)
    }
  }
  return lines
}

function head(columns: readonly Column[]): string {
  const titles = columns.map((column) => column.title.padStart(column.width)).join('')
  return `${' '.repeat(1 + LOAD_WIDTH + SIDE_WIDTH)}${titles}`
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
