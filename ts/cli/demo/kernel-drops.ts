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

/** What an interface dropped, on its way in and on its way out. */
export interface LinkDrops {
  received: number
  sent: number
}

/** The line of an interface in the text of `/proc/net/dev`: eight columns of what it received, eight of what it sent, `drop` the fourth. */
export function linkDropsIn(table: string, link: string): LinkDrops | undefined {
  const [, counters] = table
    .split('\n')
    .map((line) => line.split(':'))
    .filter(([name]) => name?.trim() === link)
    .flat()
  const columns = counters?.trim().split(/\s+/).map(Number) ?? []
  const [received, sent] = [columns[3], columns[11]]
  if (!Number.isSafeInteger(received) || !Number.isSafeInteger(sent)) return undefined
  return { received: received as number, sent: sent as number }
}

/**
 * What `link` of this network namespace has dropped. A veth counts as sent and dropped what the other end had no room for: its ring of 256
 * with XDP, the backlog of the CPU (`net.core.netdev_max_backlog`) without. As received and dropped it counts what an XDP program sent to a
 * socket that had no room.
 */
export function linkDrops(link: string): LinkDrops {
  const drops = linkDropsIn(readFileSync('/proc/net/dev', 'latin1'), link)
  if (drops === undefined) throw new Error(`/proc/net/dev has no counters of ${link}`)
  return drops
}

/** The kernel's own drop counter of the IPv4 socket bound to `port`; `undefined` where there is no such table. */
export function kernelDrops(port: number): number | undefined {
  try {
    return dropsIn(readFileSync('/proc/net/udp', 'latin1'), port)
  } catch {
    return undefined
  }
}
