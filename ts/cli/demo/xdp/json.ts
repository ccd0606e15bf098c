import type { Drops } from '../drops.js'
import { type JsonRatios, type JsonRow, type JsonSide, jsonRatios, jsonRow } from '../json.js'
import type { Machine } from '../machine.js'
import type { Side } from '../messages.js'
import { headline, type RowResult } from '../result.js'

/** Where the packets of a row went: `sent` is `received`, these four and `unaccounted`. */
type WireRow = JsonRow & { drops: Drops }
type WireSide = JsonSide & { rows: WireRow[] }

/** The last line of `demo --xdp --json`. Ratios are of the rows "full", both kinds of work. */
export interface WireReport {
  dgram: WireSide & { machine: Machine }
  wraith: WireSide
  /** What the socket says of itself. */
  xdp: WireSide & { socket: string }
  /** `UdpSocket` over dgram, as without `--xdp`. */
  ratio: JsonRatios
  xdpRatio: {
    /** `XdpSocket` over dgram. */
    dgram: JsonRatios
    /** `XdpSocket` over `UdpSocket`. */
    wraith: JsonRatios
  }
}

export function wireReport(rows: readonly RowResult[], machine: Machine, socket: string): WireReport {
  const library = `wraith-transport ${machine.library}`
  return {
    dgram: { library: `node:dgram of Node ${machine.node}`, machine, rows: side(rows, 'dgram') },
    wraith: { library: `UdpSocket of ${library}`, rows: side(rows, 'wraith') },
    xdp: { library: `XdpSocket of ${library}`, socket, rows: side(rows, 'xdp') },
    ratio: jsonRatios(headline(rows)),
    xdpRatio: {
      dgram: jsonRatios(headline(rows, 'xdp', 'dgram')),
      wraith: jsonRatios(headline(rows, 'xdp', 'wraith')),
    },
  }
}

function side(rows: readonly RowResult[], name: Side): WireRow[] {
  return rows.flatMap((result) => {
    const own = result[name]
    return own === undefined ? [] : [{ ...jsonRow(result, own), drops: own.drops }]
  })
}
