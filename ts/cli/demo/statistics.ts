/** The `q` quantile of `values` (0 … 1, nearest rank). `undefined` for no values. */
export function quantile(values: Float64Array | readonly number[], q: number): number | undefined {
  if (values.length === 0) return undefined
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(q * sorted.length) - 1))]
}

export function sum(values: Iterable<number>): number {
  let total = 0
  for (const value of values) total += value
  return total
}

/** `a / b`; `undefined` when that says nothing. */
export function ratio(a: number | undefined, b: number | undefined): number | undefined {
  if (a === undefined || b === undefined || b === 0) return undefined
  const result = a / b
  return Number.isFinite(result) ? result : undefined
}

/** The middle of ratios: 2x and 0.5x together are 1x. `undefined` when one is missing or there are none. */
export function geometricMean(values: readonly (number | undefined)[]): number | undefined {
  if (values.length === 0) return undefined
  let logs = 0
  for (const value of values) {
    if (value === undefined) return undefined
    logs += Math.log(value)
  }
  return Math.exp(logs / values.length)
}

/** Rounded to `digits` significant ones, for numbers that are read by people. */
export function significant(value: number, digits: number): number {
  return Number(value.toPrecision(digits))
}
