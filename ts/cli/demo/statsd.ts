/** What StatsD lines add up to. Whole numbers only, so that equal means equal. */
export interface StatsdTotals {
  lines: number
  malformed: number
  /** Sum of the values, in thousandths. */
  valueMilli: number
  /** Sum of the sample rates, in thousandths (1000 for a line without one). */
  rateMilli: number
  /** Sum of a hash of each line's name and type, modulo 2^32. */
  names: number
}

export function zeroTotals(): StatsdTotals {
  return { lines: 0, malformed: 0, valueMilli: 0, rateMilli: 0, names: 0 }
}

const NEWLINE = 0x0a
const DOT = 0x2e
const ZERO = 0x30
const NINE = 0x39
const COLON = 0x3a
const AT = 0x40
const BAR = 0x7c

const FNV_START = 0x811c9dc5
const FNV_PRIME = 0x01000193

/**
 * Parses the lines `name:value|type` or `name:value|type|@rate` in `bytes` from `start` and adds them to `totals`.
 * Reads bytes and makes no object: what a server would do that looks its counters up by hash.
 */
export function parseStatsd(bytes: Uint8Array, start: number, totals: StatsdTotals): void {
  const end = bytes.length
  let at = start
  while (at < end) {
    let hash = FNV_START
    let byte = 0
    while (at < end) {
      byte = bytes[at++] as number
      if (byte === COLON || byte === NEWLINE) break
      hash = Math.imul(hash ^ byte, FNV_PRIME)
    }
    let value = 0
    let valueDigits = 0
    let rate = 1000
    let ok = byte === COLON
    if (ok) {
      let decimals = -1
      byte = 0
      while (at < end) {
        byte = bytes[at++] as number
        if (byte >= ZERO && byte <= NINE) {
          if (decimals < 3) value = value * 10 + (byte - ZERO)
          if (decimals >= 0) decimals++
          valueDigits++
        } else if (byte === DOT && decimals < 0) decimals = 0
        else break
      }
      for (let places = Math.max(decimals, 0); places < 3; places++) value *= 10
      ok = byte === BAR && valueDigits > 0
    }
    if (ok) {
      const typeStart = at
      byte = 0
      while (at < end) {
        byte = bytes[at++] as number
        if (byte === BAR || byte === NEWLINE) break
        hash = Math.imul(hash ^ byte, FNV_PRIME)
        byte = 0
      }
      ok = at - (byte === 0 ? 0 : 1) > typeStart
    }
    if (ok && byte === BAR) {
      ok = at < end && bytes[at] === AT
      if (ok) {
        at++
        rate = 0
        let decimals = -1
        byte = 0
        while (at < end) {
          byte = bytes[at++] as number
          if (byte >= ZERO && byte <= NINE) {
            if (decimals < 3) rate = rate * 10 + (byte - ZERO)
            if (decimals >= 0) decimals++
          } else if (byte === DOT && decimals < 0) decimals = 0
          else break
          byte = 0
        }
        for (let places = Math.max(decimals, 0); places < 3; places++) rate *= 10
        ok = rate > 0 && (byte === NEWLINE || byte === 0)
      }
    }
    if (ok) {
      totals.lines++
      totals.valueMilli += value
      totals.rateMilli += rate
      totals.names = (totals.names + hash) >>> 0
    } else {
      totals.malformed++
      while (byte !== NEWLINE && at < end) byte = bytes[at++] as number
    }
  }
}

/** The same by splitting strings: slow, plain, and written apart from {@link parseStatsd} to check it. */
export function parseReference(text: string): StatsdTotals {
  const totals = zeroTotals()
  const lines = text.split('\n')
  if (lines.at(-1) === '') lines.pop()
  for (const line of lines) {
    const match = /^([^:\n]*):(\d+(?:\.\d*)?|\.\d+)\|([^|\n]+)(?:\|@(\d+(?:\.\d*)?|\.\d+))?$/.exec(line)
    const rate = match?.[4] === undefined ? 1000 : milli(match[4])
    if (match === null || rate === 0) {
      totals.malformed++
      continue
    }
    totals.lines++
    totals.valueMilli += milli(match[2] as string)
    totals.rateMilli += rate
    totals.names = (totals.names + fnv(`${match[1]}${match[3]}`)) >>> 0
  }
  return totals
}

/** A decimal number in thousandths, further places cut off. */
function milli(decimal: string): number {
  const [whole = '', fraction = ''] = decimal.split('.')
  return Number(`${whole}${fraction.slice(0, 3).padEnd(3, '0')}`)
}

function fnv(text: string): number {
  let hash = FNV_START
  for (const byte of Buffer.from(text, 'latin1')) hash = Math.imul(hash ^ byte, FNV_PRIME)
  return hash
}
