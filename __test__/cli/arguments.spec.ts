import { expect, test } from 'vitest'
import { CliUsageError, parseArguments } from '../../ts/cli/arguments.ts'
import { loadName, planFor, wirePlanFor } from '../../ts/cli/demo/plan.ts'

test.each([
  [[], { name: 'help' }],
  [['--help'], { name: 'help' }],
  [['--version'], { name: 'version' }],
  [['demo'], { name: 'demo', seconds: 30, json: false }],
  [['demo', '--json', '--seconds', '3'], { name: 'demo', seconds: 3, json: true }],
  [['demo', '--xdp'], { name: 'xdp-demo', seconds: 45, json: false }],
  [['demo', '--xdp', '--json', '--seconds', '3'], { name: 'xdp-demo', seconds: 3, json: true }],
  [['demo', '--xdp', '--help'], { name: 'demo-help' }],
  [['demo', '--seconds=600'], { name: 'demo', seconds: 600, json: false }],
  [['demo', '--seconds', '3', '--help'], { name: 'demo-help' }],
])('%j is understood', (args, command) => {
  expect(parseArguments(args)).toEqual(command)
})

test.each([
  [['dmeo'], "'dmeo'"],
  [['--verbose'], "'--verbose'"],
  [['-x'], "'-x'"],
  [['demo', '--sekonds', '3'], "'--sekonds'"],
  [['demo', '--toString'], "'--toString'"],
  [['demo', 'fast'], "'fast'"],
  [['demo', '--json=yes'], "'--json'"],
  [['demo', '--xdp=eth0'], "'--xdp'"],
  [['demo', '--seconds'], "'--seconds'"],
  [['demo', '--seconds='], '--seconds'],
  [['demo', '--seconds', '0'], '--seconds'],
  [['demo', '--seconds', '1.5'], '--seconds'],
  [['demo', '--seconds', 'NaN'], '--seconds'],
  [['demo', '--seconds', '601'], '--seconds'],
  [['demo', '--seconds=-1'], '--seconds'],
])('%j is refused by name, with one thing to do', (args, named) => {
  const parsing = (): unknown => parseArguments(args)
  expect(parsing).toThrow(CliUsageError)
  expect(parsing).toThrow(named)
  expect(parsing).toThrow(/Try /)
})

test.each([25, 30, 60, 600])(
  'a plan for %d seconds takes about that long and runs each side twice or more',
  (seconds) => {
    const plan = planFor(seconds, 4 << 20)
    const measured = plan.rows.reduce((total, row) => total + row.durationMs, 0) * 2 * plan.rounds
    expect(plan.rounds).toBeGreaterThanOrEqual(2)
    expect(measured).toBeLessThan(seconds * 1000)
    expect(measured).toBeGreaterThan(seconds * 1000 * 0.3)
  },
)

test('the rows are two kinds of work at low rates and at full rate in bursts, and two more loads', () => {
  const rows = planFor(30, undefined).rows
  expect(rows.map((row) => [row.work, row.rate, row.burst, loadName(row)])).toEqual([
    ['count', 1_000, 1, '1k/s'],
    ['count', 10_000, 1, '10k/s'],
    ['count', 100_000, 32, '100k/s'],
    ['count', undefined, 32, 'full'],
    ['count', undefined, 1, 'one by one'],
    ['parse', 1_000, 1, '1k/s'],
    ['parse', 10_000, 1, '10k/s'],
    ['parse', undefined, 32, 'full'],
  ])
  expect(rows.every((row) => row.recvBufferSize === undefined)).toBe(true)
})

test('a large receive buffer gets a row where the machine grants one', () => {
  const large = planFor(30, 1 << 22).rows.filter((row) => row.recvBufferSize !== undefined)
  expect(large).toMatchObject([{ work: 'count', rate: undefined, burst: 32, recvBufferSize: 1 << 22 }])
})

test.each([35, 45, 90, 600])(
  'with AF_XDP a plan for %d seconds takes about that long and runs each of three sides twice or more',
  (seconds) => {
    const plan = wirePlanFor(seconds)
    expect(plan.sides).toEqual(['dgram', 'wraith', 'xdp'])
    expect(plan.rounds).toBeGreaterThanOrEqual(2)
    const measured = plan.rows.reduce((total, row) => total + row.durationMs, 0) * 3 * plan.rounds
    expect(measured).toBeLessThan(seconds * 1000)
    expect(measured).toBeGreaterThan(seconds * 1000 * 0.3)
  },
)

test('its rows are those at a rate and at full rate in bursts', () => {
  expect(wirePlanFor(45).rows.map((row) => `${loadName(row)} ${row.work}`)).toEqual([
    '1k/s count',
    '10k/s count',
    '100k/s count',
    'full count',
    '1k/s parse',
    '10k/s parse',
    'full parse',
  ])
})
