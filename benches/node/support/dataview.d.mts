import type { FrameColumns, PacketColumns } from '../../../index.js'

type FrameColumn = Exclude<
  keyof FrameColumns,
  'capacity' | 'length' | 'ok' | 'explain' | 'offset' | 'parseBatch' | 'parseBytes' | 'forget'
>
type PacketColumn = Exclude<
  keyof PacketColumns,
  | 'capacity'
  | 'length'
  | 'ok'
  | 'explain'
  | 'sourceAddress'
  | 'destinationAddress'
  | 'parseBatch'
  | 'parseBytes'
  | 'forget'
>

/** The columns by name. */
export declare const FRAME_COLUMNS: readonly FrameColumn[]
export declare const PACKET_COLUMNS: readonly PacketColumn[]

/** Parses each row in plain JavaScript into columns, and says how many are good. */
export declare function frames(
  view: DataView,
  offsets: Uint32Array,
  lengths: Uint32Array,
  columns: Pick<FrameColumns, FrameColumn | 'capacity'>,
): number
/** As {@link frames}. */
export declare function packets(
  view: DataView,
  offsets: Uint32Array,
  lengths: Uint32Array,
  columns: Pick<PacketColumns, PacketColumn | 'capacity'>,
): number
