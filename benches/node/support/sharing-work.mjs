// What both threads of the benchmark of shared pools do.

/** Letters and digits of a ticket of one buffer. */
export const TICKET_DIGITS = 48

/** One byte in 64, the first ones among them: what a parser of headers touches at least. */
export function sumOf(bytes) {
  let sum = bytes.length
  for (let i = 0; i < bytes.length; i += 64) sum += bytes[i]
  return sum + bytes[1] * 256
}

/** One call takes `burst` buffers, writes into each and gives all of them back. */
export function cycle(pool, burst) {
  const taken = new Array(burst)
  return () => {
    for (let i = 0; i < burst; i++) {
      taken[i] = pool.acquire()
      taken[i].bytes[0] = 1
    }
    for (let i = 0; i < burst; i++) taken[i].dispose()
  }
}
