/** An IPv4 address in dots. */
export function ipv4Text(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`
}

/** The 16 bytes of an IPv6 address as RFC 5952 writes it: lower case, the first longest run of zeros left out. */
export function ipv6Text(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, i) =>
    (((bytes[2 * i] as number) << 8) | (bytes[2 * i + 1] as number)).toString(16),
  )
  let [start, most] = [0, 1]
  for (let from = 0; from < 8; from++) {
    let to = from
    while (groups[to] === '0') to++
    if (to - from > most) [start, most] = [from, to - from]
  }
  if (most < 2) return groups.join(':')
  return `${groups.slice(0, start).join(':')}::${groups.slice(start + most).join(':')}`
}
