import { checkOptions, finiteNumber } from './validate.js'

/** The guide's buffer sizes in bytes ("Buffer Size Selection", "Wrong Buffer Size"). */
export const bufferSizes = Object.freeze({
  /** A standard Ethernet MTU. */
  mtu: 1500,
  /** A jumbo frame. */
  jumbo: 9000,
  /** A UMEM frame of AF_XDP. */
  umemFrame: 2048,
  /** A chunk of a file: 256 KiB. */
  fileChunk: 262_144,
  /** The largest WRAITH protocol frame. */
  maxFrame: 9000,
  /** UDP payload in an Ethernet MTU: 1500 - 20 (IPv4) - 8 (UDP). */
  udpPayload: 1472,
})

/** Arguments of {@link recommendPoolSize}. */
export interface PoolSizeQuery {
  /** Packets a second at the busiest moment that must be carried. */
  readonly packetsPerSecond: number
  /** How long a buffer stays out, in milliseconds. */
  readonly processingMs: number
}

/** The least of the row of the guide's table for a rate; `crates/wraith-transport/src/sizing.rs` has the same borders. */
function leastFor(packetsPerSecond: number): number {
  if (packetsPerSecond < 1000) return 64
  if (packetsPerSecond < 10_000) return 256
  return packetsPerSecond <= 100_000 ? 1024 : 4096
}

/**
 * How many buffers a pool should have: `packetsPerSecond × processingMs / 1000 × 2`, rounded up, and never less than the
 * guide's table has for that rate ("Pool Size Selection").
 *
 * @throws WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_OUT_OF_RANGE, WRAITH_ERR_UNKNOWN_OPTION
 */
export function recommendPoolSize(query: PoolSizeQuery): number {
  checkOptions('recommendPoolSize', query, ['packetsPerSecond', 'processingMs'])
  const rate = finiteNumber('packetsPerSecond', query.packetsPerSecond, 0, 1e9)
  const ms = finiteNumber('processingMs', query.processingMs, 0, 1e6)
  return Math.max(leastFor(rate), Math.ceil((rate * ms * 2) / 1000))
}
