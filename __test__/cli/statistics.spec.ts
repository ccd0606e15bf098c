import { expect, test } from 'vitest'
import { heapUse } from '../../ts/cli/demo/heap.ts'
import { dropsIn } from '../../ts/cli/demo/kernel-drops.ts'
import { geometricMean, quantile, ratio, significant, sum } from '../../ts/cli/demo/statistics.ts'

test('a quantile is the value of the nearest rank, whatever the order', () => {
  const hundred = Array.from({ length: 100 }, (_, i) => 100 - i)
  expect(quantile(hundred, 0.5)).toBe(50)
  expect(quantile(hundred, 0.99)).toBe(99)
  expect(quantile(hundred, 1)).toBe(100)
  expect(quantile(hundred, 0)).toBe(1)
  expect(quantile([7], 0.99)).toBe(7)
  expect(quantile(Float64Array.of(10, 9, 100), 0.5)).toBe(10)
})

test('nothing has no quantile, and the input is left as it was', () => {
  const values = [3, 1, 2]
  quantile(values, 0.5)
  expect(values).toEqual([3, 1, 2])
  expect(quantile([], 0.5)).toBeUndefined()
})

test('a ratio that says nothing is undefined', () => {
  expect(ratio(6, 3)).toBe(2)
  expect(ratio(0, 3)).toBe(0)
  expect(ratio(3, 0)).toBeUndefined()
  expect(ratio(0, 0)).toBeUndefined()
  expect(ratio(undefined, 1)).toBeUndefined()
  expect(ratio(1, undefined)).toBeUndefined()
})

test('the geometric mean of a ratio and its inverse is one', () => {
  expect(geometricMean([4, 0.25])).toBeCloseTo(1, 12)
  expect(geometricMean([2, 8])).toBeCloseTo(4, 12)
  expect(geometricMean([0, 8])).toBe(0)
  expect(geometricMean([])).toBeUndefined()
  expect(geometricMean([2, undefined])).toBeUndefined()
})

test('sums and rounding', () => {
  expect(sum([1, 2, 3.5])).toBe(6.5)
  expect(sum([])).toBe(0)
  expect(significant(123456, 3)).toBe(123000)
  expect(significant(0.0012345, 2)).toBe(0.0012)
})

test('heap use adds the growths between collections and their pauses', () => {
  const collections = [
    { usedBefore: 1500, usedAfter: 900, ns: 40 },
    { usedBefore: 2000, usedAfter: 800, ns: 60 },
  ]
  expect(heapUse(1000, collections, 1000)).toEqual({
    allocatedBytes: 500 + 1100 + 200,
    collections: 2,
    pausedNs: 100,
    longestNs: 60,
  })
})

test('heap use without a collection is the growth, and never negative', () => {
  expect(heapUse(1000, [], 1640).allocatedBytes).toBe(640)
  expect(heapUse(1000, [], 900).allocatedBytes).toBe(0)
})

const TABLE = `   sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode ref pointer drops
  101: 0100007F:1F90 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 6170 2 0000000000000000 42
  222: 0100007F:0277 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 7000 2 0000000000000000 0
  333: 0100007F:ABCD 0100007F:1F90 01 00000000:00000000 00:00000000 00000000     0        0 7001 2 0000000000000000 7
  444: 00000000:0277 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 7002 2 0000000000000000 9
`

test('the drops of a socket are found by its local port', () => {
  expect(dropsIn(TABLE, 0x1f90)).toBe(42)
  expect(dropsIn(TABLE, 0xabcd)).toBe(7)
})

test('a port that none or two sockets have has no drops to tell', () => {
  expect(dropsIn(TABLE, 9)).toBeUndefined()
  expect(dropsIn(TABLE, 0x277)).toBeUndefined()
  expect(dropsIn('', 1)).toBeUndefined()
})
