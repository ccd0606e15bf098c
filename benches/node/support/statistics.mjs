// The few statistics that the benchmarks need, without assumptions about how noise is distributed.

const ascending = (values) => [...values].sort((a, b) => a - b)

export function median(values) {
  const sorted = ascending(values)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2
}

const LEVEL = 0.95

/**
 * A confidence interval of at least 95 % for the median, from order statistics: drop `k` values at each end, with
 * the largest `k` for which a fair coin shows at most `k` heads in `n` throws less than 2.5 % of the time.
 */
export function medianInterval(values) {
  const sorted = ascending(values)
  const n = sorted.length
  let [k, term, below] = [0, 0.5 ** n, 0.5 ** n]
  while (true) {
    term = (term * (n - k)) / (k + 1)
    if (below + term > (1 - LEVEL) / 2) break
    below += term
    k += 1
  }
  return [sorted[k], sorted[n - 1 - k]]
}
