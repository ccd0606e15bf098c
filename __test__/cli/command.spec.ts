import { readFileSync } from 'node:fs'
import { expect, test, vi } from 'vitest'
import type { JsonReport, JsonRow } from '../../ts/cli/demo/json.ts'
import { Run } from './processes.ts'

test('--help names the commands', async () => {
  const run = new Run(['--help'])
  expect(await run.end()).toBe(0)
  expect(run.stdout).toContain('Usage: wraith-transport')
  for (const command of ['demo', 'doctor']) expect(run.stdout).toContain(command)
  expect(run.stderr).toBe('')
})

test('demo --help names its options and fits 80 columns', async () => {
  const run = new Run(['demo', '--help'])
  expect(await run.end()).toBe(0)
  for (const option of ['--seconds', '--json', '--xdp', '--help']) expect(run.stdout).toContain(option)
  expect(run.stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
})

test('--version is the version of the package', async () => {
  const run = new Run(['--version'])
  expect(await run.end()).toBe(0)
  const { version } = JSON.parse(readFileSync(new URL('../../package.json', import.meta.url), 'utf8'))
  expect(run.stdout).toBe(`${version}\n`)
})

test.each([
  [['demo', '--sekonds', '3'], '--sekonds'],
  [['demo', '--seconds', 'many'], '--seconds'],
  [['--colour'], '--colour'],
  [['dmeo'], 'dmeo'],
])('%j ends with code 2 and names what is wrong', async (args, named) => {
  const run = new Run(args)
  expect(await run.end()).toBe(2)
  expect(run.stderr).toContain(named)
  expect(run.stdout).toBe('')
})

test('the demo accounts for every packet, with equal contents, and leaves no process behind', async () => {
  const run = new Run(['demo', '--seconds', '3', '--json'])
  const code = await run.end()
  expect(run.processes()).toEqual([])
  expect({ code, stderr: code === 0 ? '' : run.stderr }).toEqual({ code: 0, stderr: '' })

  const report = JSON.parse(run.stdout.trimEnd().split('\n').at(-1) as string) as JsonReport
  expect(Object.keys(report)).toEqual(['dgram', 'wraith', 'ratio'])
  expect(Object.keys(report.ratio)).toEqual(['packetsPerCpuSecond', 'heapBytesPerPacket', 'gcTime'])
  expect(report.ratio.packetsPerCpuSecond).toBeGreaterThan(0)
  expect(report.ratio.heapBytesPerPacket).toBeGreaterThan(0)

  const load = ({ load, work }: JsonRow): unknown => [load, work]
  expect(report.dgram.rows.map(load)).toEqual(report.wraith.rows.map(load))
  for (const work of ['count', 'parse']) {
    for (const each of ['1k/s', '10k/s', 'full']) {
      expect(report.dgram.rows.map(load)).toContainEqual([each, work])
    }
  }
  for (const each of ['100k/s', 'one by one']) {
    expect(report.dgram.rows.map(load)).toContainEqual([each, 'count'])
  }
  for (const row of [...report.dgram.rows, ...report.wraith.rows]) {
    expect(row).toMatchObject({ unaccounted: 0, equalTotals: true })
    expect(row.received).toBeGreaterThan(0)
    expect(row.received + row.droppedByKernel).toBe(row.sent)
    expect(row.offered).toBeGreaterThanOrEqual(row.sent)
    expect(row.droppedShare).toBeCloseTo(row.droppedByKernel / row.sent, 3)
    expect(row.cpuNsPerPacket).toBeGreaterThan(0)
    expect(row.latencyUs.p99).toBeGreaterThanOrEqual(row.latencyUs.p50 as number)
  }
  for (const [i, row] of report.dgram.rows.entries()) {
    expect(report.wraith.rows[i]?.recvBufferBytes).toBe(row.recvBufferBytes)
  }

  expect(report.wraith.forgottenGuard.frame).toMatch(/forgotten-guard\.js:\d+:\d+/)
  expect(report.wraith.forgottenGuard.source).toContain('pool.acquire()')
  expect(run.stderr).not.toContain('\x1b')
  // But for the path of the forgotten guard, which cannot be broken.
  const lines = run.stderr.split('\n').filter((line) => !line.includes('forgotten-guard.js'))
  expect(lines.filter((line) => line.length > 80)).toEqual([])
})

test.each([
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const)('%s during a measurement ends every process of the demo', async (signal, expected) => {
  const run = new Run(['demo', '--seconds', '30', '--json'])
  await run.says('[1/')
  expect(run.processes().length).toBeGreaterThan(1)
  run.child.kill(signal)
  expect(await run.end()).toBe(expected)
  expect(run.processes()).toEqual([])
})

test('the processes of a demo that is killed end by themselves', async () => {
  const run = new Run(['demo', '--seconds', '30', '--json'])
  await run.says('[1/')
  run.child.kill('SIGKILL')
  await run.end()
  await vi.waitFor(() => expect(run.processes()).toEqual([]), { timeout: 20_000 })
})
