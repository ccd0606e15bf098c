/** Why a socket did not get a packet that reached it. */
export type SocketReason = 'receiveBuffer' | 'fillRingEmpty' | 'rxRingFull'
/** Packets that were dropped, by reason. */
export type SocketDrops = Readonly<Partial<Record<SocketReason, number>>>
/** The same for a whole run: also those that never reached the socket, because the interface dropped them. */
export type Drops = Readonly<Record<SocketReason | 'link', number>>

/** What was dropped between two readings of the counters. */
export function dropsSince(now: SocketDrops, before: SocketDrops): SocketDrops {
  const reasons = Object.keys(now) as SocketReason[]
  return Object.fromEntries(reasons.map((reason) => [reason, (now[reason] ?? 0) - (before[reason] ?? 0)]))
}

export function totalOf(drops: SocketDrops | Drops): number {
  return Object.values(drops).reduce((total, each) => total + each, 0)
}

/**
 * The drops of a run without the end marks among them. A mark that is dropped meets the same want of room as the packets before it, so
 * it is taken from the most frequent reason. The sum may come out below zero: then marks are missing that nobody dropped.
 */
export function dropsOf(socket: SocketDrops, marks: number, link: number): Drops {
  const drops = { receiveBuffer: 0, fillRingEmpty: 0, rxRingFull: 0, link, ...socket }
  const reasons = Object.keys(socket) as SocketReason[]
  const most = reasons.sort((a, b) => drops[b] - drops[a])[0] ?? 'receiveBuffer'
  drops[most] -= marks
  return drops
}
