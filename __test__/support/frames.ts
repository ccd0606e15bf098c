import { FrameColumns, PacketColumns, parseFrames, parsePackets, simdBackend } from 'wraith-transport'

import * as plain from '../../benches/node/support/dataview.mjs'

/** Rows of bytes: what `parseFrames` and `parsePackets` take. */
export interface Places {
  readonly bytes: Uint8Array
  readonly offsets: Uint32Array
  readonly lengths: Uint32Array
}

/** Bytes of their own for each row, laid one behind the other with `gap` bytes between them. */
export function places(rows: readonly Uint8Array[], gap = 0): Places {
  const bytes = new Uint8Array(rows.reduce((sum, row) => sum + gap + row.length, 0))
  const offsets = new Uint32Array(rows.length)
  const lengths = Uint32Array.from(rows, (row) => row.length)
  let at = 0
  for (const [i, row] of rows.entries()) {
    at += gap
    offsets[i] = at
    bytes.set(row, at)
    at += row.length
  }
  return { bytes, offsets, lengths }
}

type Table = Record<string, (number | bigint)[]>

const table = (columns: object, names: readonly string[], rows: number): Table =>
  Object.fromEntries(
    names.map((name) => [
      name,
      Array.from((columns as Record<string, ArrayLike<number | bigint>>)[name] ?? []).slice(0, rows),
    ]),
  )

export const frameTable = (columns: FrameColumns, rows = columns.length): Table =>
  table(columns, plain.FRAME_COLUMNS, rows)
export const packetTable = (columns: PacketColumns, rows = columns.length): Table =>
  table(columns, plain.PACKET_COLUMNS, rows)

const viewOf = ({ buffer, byteOffset, byteLength }: Uint8Array): DataView =>
  new DataView(buffer, byteOffset, byteLength)

/** What is expected of a parse, and what each backend of this machine makes of the same rows. */
interface Parsed {
  readonly plain: Table
  readonly plainOk: number
  readonly backends: { readonly name: string; readonly table: Table; readonly ok: number }[]
}

/** Columns that hold something else already: what is not written shows. */
function dirty<T extends FrameColumns | PacketColumns>(columns: T): T {
  new Uint8Array(columns.statuses.buffer).fill(0xa5)
  return columns
}

export function framesOf({ bytes, offsets, lengths }: Places): Parsed {
  const rows = Math.max(1, offsets.length)
  const expected = dirty(new FrameColumns(rows))
  const plainOk = plain.frames(viewOf(bytes), offsets, lengths, expected)
  const backends = simdBackend().available.map((backend) => {
    const columns = parseFrames(bytes, offsets, lengths, dirty(new FrameColumns(rows)), { backend })
    return { name: backend, table: frameTable(columns), ok: columns.ok }
  })
  return { plain: frameTable(expected, offsets.length), plainOk, backends }
}

export function packetsOf({ bytes, offsets, lengths }: Places): Parsed {
  const rows = Math.max(1, offsets.length)
  const expected = dirty(new PacketColumns(rows))
  const plainOk = plain.packets(viewOf(bytes), offsets, lengths, expected)
  const backends = simdBackend().available.map((backend) => {
    const columns = parsePackets(bytes, offsets, lengths, dirty(new PacketColumns(rows)), { backend })
    return { name: backend, table: packetTable(columns), ok: columns.ok }
  })
  return { plain: packetTable(expected, offsets.length), plainOk, backends }
}

/** Each backend agrees with the plain parser, column by column. */
export function expectAgreement(parsed: Parsed, expect: typeof import('vitest').expect): void {
  for (const { name, table, ok } of parsed.backends) {
    expect({ name, ok, ...table }).toEqual({ name, ok: parsed.plainOk, ...parsed.plain })
  }
}
