import { expect, test } from 'vitest'
import type { Machine } from '../../ts/cli/demo/machine.ts'
import { loadName, type Row, wirePlanFor } from '../../ts/cli/demo/plan.ts'
import { combineRows } from '../../ts/cli/demo/result.ts'
import { wireSummary } from '../../ts/cli/demo/xdp/summary.ts'
import { measured } from './measured.ts'

const { rows } = wirePlanFor(45)
const machine = { load: 0, cores: 8 } as Machine
const rates = { dgram: 1, UdpSocket: 1, segments: 1 }
const SOCKET = 'wraith0: 4 queues, copy, native'

/** Runs in which XdpSocket needs `cpuNs` where UdpSocket needs 2 ms and dgram 4 ms. */
function summary(cpuNs: (row: Row) => number): string[] {
  const runs = rows.flatMap((row) =>
    [0, 1].flatMap(() => [
      measured('dgram', row, { cpuNs: 4e6 }),
      measured('wraith', row, { cpuNs: 2e6 }),
      measured('xdp', row, { cpuNs: cpuNs(row) }),
    ]),
  )
  return wireSummary(combineRows(rows, runs), machine, rates, SOCKET)
}

/** Sentences that were wrapped are whole again. */
function sentences(lines: readonly string[]): string[] {
  return lines.join('\n').replaceAll('\n  ', ' ').split('\n')
}

test('it says where XdpSocket wins and where it does not, against both', () => {
  const said = sentences(summary((row) => (loadName(row) === '1k/s' ? 8e6 : 1e6)))
  expect(said.find((line) => line.startsWith('- 1k/s, count bytes'))).toMatch(
    /LOST, 0\.50x dgram's packets per CPU-second; LOST, 0\.25x UdpSocket's packets/,
  )
  expect(said.find((line) => line.startsWith('- full, parse StatsD'))).toMatch(
    /won, 4\.00x dgram's packets per CPU-second; won, 2\.00x UdpSocket's packets/,
  )
  expect(said.find((line) => line.includes('does more per CPU-second'))).not.toContain('1k/s, count')
  expect(said.find((line) => line.startsWith('- It does not, or hardly, at:'))).toMatch(
    /at: 1k\/s, count bytes \(0\.25x\); 1k\/s, parse StatsD \(0\.25x\)\./,
  )
})

test('where it wins everywhere, or nowhere, it says only that', () => {
  const won = summary(() => 1e6).join('\n')
  expect(won).toContain('does more per CPU-second')
  expect(won).not.toContain('It does not, or hardly')
  const lost = summary(() => 2e6).join('\n')
  expect(lost).not.toContain('does more per CPU-second')
  expect(lost).toContain('It does not, or hardly')
})

test('it never presents a veth as zero-copy, says who is charged, and fits 80 columns', () => {
  const lines = summary(() => 1e6)
  expect(lines.filter((line) => line.length > 79)).toEqual([])
  const said = sentences(lines).join('\n')
  expect(said).toContain(`This is copy mode ("${SOCKET}"): a veth has no zero-copy`)
  expect(said).toContain("the sender's system calls are charged")
})
