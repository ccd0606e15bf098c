import { readFileSync } from 'node:fs'

/**
 * The `drops` column of a bound UDP socket in the text of `/proc/net/udp` or `udp6` (Documentation/networking/proc_net_udp
 * in the kernel; the last column): datagrams the kernel threw away because the receive buffer was full. `undefined` when
 * no socket, or more than one, has this local port.
 */
export function dropsIn(table: string, port: number): number | undefined {
  const wanted = `:${port.toString(16).toUpperCase().padStart(4, '0')}`
  const rows = table
    .split('\n')
    .map((row) => row.trim().split(/\s+/))
    .filter((columns) => columns[1]?.endsWith(wanted) === true)
  const drops = rows.length === 1 ? Number(rows[0]?.at(-1)) : Number.NaN
  return Number.isSafeInteger(drops) ? drops : undefined
}

/** The kernel's own drop counter of the IPv4 socket bound to `port`; `undefined` where there is no such table. */
export function kernelDrops(port: number): number | undefined {
  try {
    return dropsIn(readFileSync('/proc/net/udp', 'latin1'), port)
  } catch {
    return undefined
  }
}
