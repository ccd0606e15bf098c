import { invalidType, outOfRange, show, WraithError } from './errors.js'

/**
 * Refuses anything but an object, and names that the call does not know, with the nearest one that it does. `prefix` comes before the name
 * in the error's `option`: `filter.`.
 */
export function checkOptions<T extends object>(
  call: string,
  options: T,
  known: readonly string[],
  prefix = '',
): T {
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw invalidType(`${call} options`, options, 'an object')
  }
  for (const name of Object.keys(options)) {
    if (known.includes(name)) continue
    const near = nearest(name, known)
    throw new WraithError(
      'WRAITH_ERR_UNKNOWN_OPTION',
      `${call} has no option ${show(prefix + name)}; it has ${known.join(', ')}. ` +
        (near === undefined ? 'Remove the option.' : `Did you mean ${near}?`),
      { option: prefix + name },
    )
  }
  return options
}

/** A whole number within limits; `undefined` gives the default. */
export function wholeNumber(
  option: string,
  given: unknown,
  min: number,
  max: number,
  advice?: string,
): number {
  if (typeof given !== 'number') throw invalidType(option, given, `a whole number from ${min} to ${max}`)
  if (!Number.isInteger(given) || given < min || given > max) {
    throw outOfRange(option, given, `a whole number from ${min} to ${max}`, advice)
  }
  return given
}

/** A finite number within limits. */
export function finiteNumber(option: string, given: unknown, min: number, max: number): number {
  if (typeof given !== 'number') throw invalidType(option, given, `a number from ${min} to ${max}`)
  if (!(given >= min && given <= max)) throw outOfRange(option, given, `a number from ${min} to ${max}`)
  return given
}

/** `true` or `false`; nothing else counts as either. */
export function boolean(option: string, given: unknown): boolean {
  if (typeof given !== 'boolean') throw invalidType(option, given, 'true or false')
  return given
}

/** One of a few words. */
export function oneOf<const T extends string>(option: string, given: unknown, words: readonly T[]): T {
  const allowed = words.map((word) => `'${word}'`).join(', ')
  if (typeof given !== 'string') throw invalidType(option, given, `one of ${allowed}`)
  if (!words.includes(given as T)) throw outOfRange(option, given, `one of ${allowed}`)
  return given as T
}

/** A function. */
export function callable<T>(option: string, given: T): T {
  if (typeof given !== 'function') throw invalidType(option, given, 'a function')
  return given
}

function nearest(name: string, known: readonly string[]): string | undefined {
  const lower = name.toLowerCase()
  let best: string | undefined
  let least = 3
  for (const candidate of known) {
    const distance = editDistance(lower, candidate.toLowerCase())
    if (distance < least) [best, least] = [candidate, distance]
  }
  return best
}

function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const substitute = (row[j - 1] as number) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(substitute, (row[j] as number) + 1, (next[j - 1] as number) + 1))
    }
    row = next
  }
  return row[b.length] as number
}
