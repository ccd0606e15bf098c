import { isUnstable } from '../bytes.js'
import { invalidType, outOfRange, WraithError } from '../errors.js'
import { type Batch, isBatch } from '../receive/batch.js'
import { backendOf, type ParseOptions } from './backend.js'
import { FrameColumns, isFrameColumns } from './frame-columns.js'
import { isPacketColumns, PacketColumns } from './packet-columns.js'

/**
 * Parses every row of a batch, or of `bytes`, as a frame of the WRAITH protocol, in one call into native code, and returns the columns:
 * those that were given, or new ones. Any bytes are safe; what became of each row is in `statuses`.
 *
 * A batch is parsed where it lies, by the socket's own list of slots; a row that was taken is out of bounds. Bytes are read only
 * during the call: row `i` is the `lengths[i]` bytes from `offsets[i]` on. With columns of your own nothing is allocated.
 *
 * @throws WRAITH_ERR_STALE_BATCH, WRAITH_ERR_SHARED_MEMORY, WRAITH_ERR_DETACHED, WRAITH_ERR_INVALID_ARG_TYPE,
 *   WRAITH_ERR_OUT_OF_RANGE (the columns are too short, `offsets` and `lengths` differ), WRAITH_ERR_UNSUPPORTED (this CPU does not have the
 *   backend), and those of {@link simdBackend}
 */
export function parseFrames(batch: Batch, columns?: FrameColumns, options?: ParseOptions): FrameColumns
export function parseFrames(
  bytes: Uint8Array,
  offsets: Uint32Array,
  lengths: Uint32Array,
  columns?: FrameColumns,
  options?: ParseOptions,
): FrameColumns
export function parseFrames(
  source: Batch | Uint8Array,
  second?: FrameColumns | Uint32Array,
  third?: ParseOptions | Uint32Array,
  fourth?: FrameColumns,
  fifth?: ParseOptions,
): FrameColumns {
  if (isBatch(source)) {
    const columns = second === undefined ? new FrameColumns(atLeastOne(source.length)) : second
    if (!isFrameColumns(columns)) throw invalidType('columns', columns, 'FrameColumns')
    return columns.parseBatch(source, backendOf('parseFrames', third as ParseOptions | undefined))
  }
  checkPlaces(source, second, third)
  const columns = fourth === undefined ? new FrameColumns(atLeastOne(second.length)) : fourth
  if (!isFrameColumns(columns)) throw invalidType('columns', columns, 'FrameColumns')
  return columns.parseBytes(source, second, third as Uint32Array, backendOf('parseFrames', fifth))
}

/**
 * Parses every row of a batch, or of `bytes`, as a packet that begins with an Ethernet header: up to two VLAN tags, IPv4 or IPv6, UDP, TCP,
 * ICMP. As {@link parseFrames} in everything else. A UDP socket's datagrams come without these headers: this is for captured
 * packets.
 *
 * @throws as {@link parseFrames}
 */
export function parsePackets(batch: Batch, columns?: PacketColumns, options?: ParseOptions): PacketColumns
export function parsePackets(
  bytes: Uint8Array,
  offsets: Uint32Array,
  lengths: Uint32Array,
  columns?: PacketColumns,
  options?: ParseOptions,
): PacketColumns
export function parsePackets(
  source: Batch | Uint8Array,
  second?: PacketColumns | Uint32Array,
  third?: ParseOptions | Uint32Array,
  fourth?: PacketColumns,
  fifth?: ParseOptions,
): PacketColumns {
  if (isBatch(source)) {
    const columns = second === undefined ? new PacketColumns(atLeastOne(source.length)) : second
    if (!isPacketColumns(columns)) throw invalidType('columns', columns, 'PacketColumns')
    return columns.parseBatch(source, backendOf('parsePackets', third as ParseOptions | undefined))
  }
  checkPlaces(source, second, third)
  const columns = fourth === undefined ? new PacketColumns(atLeastOne(second.length)) : fourth
  if (!isPacketColumns(columns)) throw invalidType('columns', columns, 'PacketColumns')
  return columns.parseBytes(source, second, third as Uint32Array, backendOf('parsePackets', fifth))
}

/** Columns have a row at least, a batch of bytes may have none. */
function atLeastOne(rows: number): number {
  return rows === 0 ? 1 : rows
}

function checkPlaces(bytes: unknown, offsets: unknown, lengths: unknown): asserts offsets is Uint32Array {
  if (!(bytes instanceof Uint8Array)) throw invalidType('bytes', bytes, 'a batch, or a Uint8Array')
  if (!(offsets instanceof Uint32Array)) throw invalidType('offsets', offsets, 'a Uint32Array')
  if (!(lengths instanceof Uint32Array)) throw invalidType('lengths', lengths, 'a Uint32Array')
  checkStable('bytes', bytes)
  checkStable('offsets', offsets)
  checkStable('lengths', lengths)
  if (offsets.length !== lengths.length) {
    throw outOfRange('lengths', lengths.length, `as many as there are offsets, ${offsets.length}`)
  }
}

/** Refuses bytes that could change while they are used. */
export function checkStable(option: string, array: ArrayBufferView): void {
  if (!isUnstable(array)) return
  throw new WraithError(
    'WRAITH_ERR_SHARED_MEMORY',
    `${option} lie in a SharedArrayBuffer or a resizable ArrayBuffer, which could change while they are parsed. ` +
      'Copy them into an ordinary array first.',
    { option },
  )
}
