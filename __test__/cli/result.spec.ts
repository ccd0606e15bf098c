import { expect, test } from 'vitest'
import { planFor, type Row, wirePlanFor } from '../../ts/cli/demo/plan.ts'
import { combineRows, faults, headline } from '../../ts/cli/demo/result.ts'
import { booksTable, costTable, wireBooksTable } from '../../ts/cli/demo/table.ts'
import { measured as run } from './measured.ts'

const { rows } = planFor(30, 1 << 22)

const isFull = (row: Row): boolean =>
  row.rate === undefined && row.burst > 1 && row.recvBufferSize === undefined

test('the overall ratios come from the rows "full" alone, both kinds of work', () => {
  const runs = rows.flatMap((row) => {
    const better = row.work === 'count' ? { cpuNs: 0.25e6 } : { cpuNs: 1e6 }
    const wraith = isFull(row) ? { ...better, heapBytes: 100 } : { cpuNs: 9e6, heapBytes: 9e6 }
    return [run('dgram', row), run('wraith', row, wraith)]
  })
  const overall = headline(combineRows(rows, runs))
  expect(overall.packetsPerCpuSecond).toBeCloseTo(2)
  expect(overall.heapBytesPerPacket).toBeCloseTo(0.1)
  expect(overall.gcTime).toBeCloseTo(1)
})

test('a row without a collection leaves the ratio of the pauses', () => {
  const runs = rows.flatMap((row) => [
    run('dgram', row, { pausedNs: row.work === 'count' ? 2e6 : 0 }),
    run('wraith', row, { pausedNs: row.work === 'count' ? 0 : 1e6, received: 2000 }),
  ])
  expect(headline(combineRows(rows, runs)).gcTime).toBeCloseTo(0.25)
})

test('without any pause of dgram there is no ratio of them', () => {
  const runs = rows.flatMap((row) => [run('dgram', row, { pausedNs: 0 }), run('wraith', row)])
  expect(headline(combineRows(rows, runs)).gcTime).toBeUndefined()
})

test('packets missing in one run and too many in the other are a fault', () => {
  const runs = rows.flatMap((row) => [
    run('dgram', row, { unaccounted: 1 }),
    run('dgram', row, { unaccounted: -1 }),
    run('wraith', row),
  ])
  const found = faults(combineRows(rows, runs))
  expect(found).toHaveLength(rows.length)
  expect(found[0]).toContain('2 packets unaccounted')
})

test('a row that was not measured, unequal contents and unequal buffers are faults', () => {
  const [first, second] = rows as [Row, Row]
  const found = faults(
    combineRows(
      [first, second],
      [
        run('dgram', first, { mismatches: ['lines: 1 instead of 2'] }),
        run('wraith', first, { recvBufferSize: 1 }),
        run('dgram', second),
      ],
    ),
  )
  expect(found).toHaveLength(3)
  expect(found.join()).toMatch(/lines: 1 instead of 2.*unequal receive buffers.*not measured/)
})

test('tables fit 80 columns, and a terminal of 24 lines, with the largest numbers', () => {
  const most = {
    offered: 6e7,
    sent: 6e7,
    received: 3e7,
    dropped: 3e7,
    cpuNs: 3e7 * 900,
    heapBytes: 3e7 * 900,
  }
  const runs = rows.flatMap((row) => [run('dgram', row, most), run('wraith', row, most)])
  const results = combineRows(rows, runs)
  for (const lines of [costTable(results), booksTable(results)]) {
    expect(lines.filter((line) => line.length > 79)).toEqual([])
    expect(lines.length).toBeLessThan(23)
    // A number that fills its column would stand against its neighbour.
    expect(lines.filter((line) => /\d{12}/.test(line))).toEqual([])
  }
})

test('with a third side the tables fit 80 columns too, each drop under its reason', () => {
  const { rows, sides } = wirePlanFor(45)
  const most = { sent: 6e7, received: 3e7, cpuNs: 3e7 * 900, heapBytes: 3e7 * 900 }
  const drops = {
    receiveBuffer: 11_111_111,
    rxRingFull: 2_222_222,
    fillRingEmpty: 33_333_333,
    link: 44_444_444,
  }
  const runs = rows.flatMap((row) => sides.map((side) => run(side, row, { ...most, drops })))
  const results = combineRows(rows, runs)
  const books = wireBooksTable(results)
  for (const lines of [costTable(results, sides), books]) {
    expect(lines.filter((line) => line.length > 79)).toEqual([])
    expect(lines.filter((line) => line.includes(' xdp '))).toHaveLength(rows.length)
    expect(lines.filter((line) => /\d{12}/.test(line))).toEqual([])
  }
  expect(books[3]).toMatch(/dgram +60000000 +30000000 +11111111 +2222222 +33333333 +44444444 +0 +equal$/)
})

test('a third side that was not measured is a fault only where it should have been', () => {
  const [row] = rows as [Row]
  const results = combineRows([row], [run('dgram', row), run('wraith', row)])
  expect(faults(results)).toEqual([])
  expect(faults(results, ['dgram', 'wraith', 'xdp'])).toEqual([expect.stringMatching(/^xdp, .*not measured/)])
})

test('the overall ratios can be those of any two sides', () => {
  const runs = rows.flatMap((row) => [
    run('dgram', row, { cpuNs: 8e6 }),
    run('wraith', row, { cpuNs: 4e6, heapBytes: 500 }),
    run('xdp', row, { cpuNs: 1e6, heapBytes: 250 }),
  ])
  const results = combineRows(rows, runs)
  expect(headline(results, 'xdp', 'dgram').packetsPerCpuSecond).toBeCloseTo(8)
  expect(headline(results, 'xdp', 'wraith').packetsPerCpuSecond).toBeCloseTo(4)
  expect(headline(results, 'xdp', 'wraith').heapBytesPerPacket).toBeCloseTo(0.5)
  expect(headline(results).packetsPerCpuSecond).toBeCloseTo(2)
})
