import { execFileSync } from 'node:child_process'
import { expect, test, vi } from 'vitest'
import type { WireReport } from '../../ts/cli/demo/xdp/json.ts'
import { missingForNamespaces } from '../support/netns.ts'
import { commandOf, Run } from './processes.ts'

const SIDES = ['dgram', 'wraith', 'xdp'] as const
const NOBODY = 65_534
/** Of a machine that does other things at the same time. */
const SLOW = 120_000

function privilegedTest(name: string, run: () => Promise<void>): void {
  test(name, { timeout: SLOW }, async (context) => {
    const reason = missingForNamespaces()
    if (reason !== undefined) {
      console.warn(`${name}: ${reason}`)
      context.skip(reason)
    }
    await run()
  })
}

/** The namespaces that a run has made and that are still there. */
function namespacesOf({ child }: Run): string[] {
  const names = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' }).split('\n')
  return names.filter((name) => name.includes(`wraith-demo-${child.pid}-`))
}

privilegedTest(
  'over a veth pair that drops, the books of all three sides balance by reason, and nothing is left',
  async () => {
    const run = new Run(['demo', '--xdp', '--seconds', '1', '--json'])
    await run.says('[1/')
    expect(namespacesOf(run)).toHaveLength(2)
    // Less than many packets have in the rows with mixed lengths.
    const near = `wraith-demo-${run.child.pid}-near`
    execFileSync('ip', ['-n', near, 'link', 'set', 'wraith0', 'mtu', '170'])
    const code = await run.end()
    expect(run.processes()).toEqual([])
    expect(namespacesOf(run)).toEqual([])
    expect({ code, stderr: code === 0 ? '' : run.stderr }).toEqual({ code: 0, stderr: '' })

    const report = JSON.parse(run.stdout.trimEnd().split('\n').at(-1) as string) as WireReport
    expect(Object.keys(report)).toEqual([...SIDES, 'ratio', 'xdpRatio'])
    for (const ratios of [report.ratio, report.xdpRatio.dgram, report.xdpRatio.wraith]) {
      expect(ratios.packetsPerCpuSecond).toBeGreaterThan(0)
    }
    expect(report.xdp.socket).toMatch(/wraith0: 4 queues, copy, .*udp\/8125/)

    for (const side of SIDES) {
      const { rows } = report[side]
      expect(rows.map(({ load, work }) => `${load} ${work}`)).toEqual([
        '1k/s count',
        '10k/s count',
        '100k/s count',
        'full count',
        '1k/s parse',
        '10k/s parse',
        'full parse',
      ])
      for (const row of rows) {
        expect(row).toMatchObject({ unaccounted: 0, equalTotals: true })
        expect(row.received).toBeGreaterThan(0)
        const { receiveBuffer, rxRingFull, fillRingEmpty, link } = row.drops
        expect(row.received + receiveBuffer + rxRingFull + fillRingEmpty + link).toBe(row.sent)
        expect(row.droppedByKernel).toBe(row.sent - row.received)
        if (row.load === '10k/s') expect(link).toBeGreaterThan(0)
        // Each side drops for reasons of its own.
        expect(side === 'xdp' ? receiveBuffer : rxRingFull + fillRingEmpty).toBe(0)
      }
    }
    expect(run.stderr.split('\n').filter((line) => line.length > 80)).toEqual([])
  },
)

for (const [signal, expected] of [
  ['SIGINT', 130],
  ['SIGTERM', 143],
] as const) {
  privilegedTest(`${signal} in the middle leaves no process and no namespace`, async () => {
    const run = new Run(['demo', '--xdp', '--json'])
    await run.says('[1/')
    expect(namespacesOf(run)).toHaveLength(2)
    run.child.kill(signal)
    expect(await run.end()).toBe(expected)
    expect(run.processes()).toEqual([])
    expect(namespacesOf(run)).toEqual([])
  })
}

privilegedTest('killed, it leaves no namespace either: their keeper sees it die', async () => {
  const run = new Run(['demo', '--xdp', '--json'])
  await run.says('[1/')
  run.child.kill('SIGKILL')
  await run.end()
  const left = (): unknown => [...run.processes(), ...namespacesOf(run)]
  await vi.waitFor(() => expect(left()).toEqual([]), { timeout: 20_000 })
})

privilegedTest('when a process of it dies, it says so, and nothing is left', async () => {
  const run = new Run(['demo', '--xdp', '--json'])
  await run.says('[1/')
  const isSender = (pid: number): boolean =>
    commandOf(pid).some((argument) => argument.endsWith('demo/sender.js'))
  process.kill(run.processes().find(isSender) as number, 'SIGKILL')
  expect(await run.end()).toBe(1)
  expect(run.stderr).toContain('the sender, asked to')
  expect(run.processes()).toEqual([])
  expect(namespacesOf(run)).toEqual([])
})

test('without root it ends with code 1 and one message, with the command to run', async () => {
  const run = new Run(['demo', '--xdp', '--seconds', '1'], process.getuid?.() === 0 ? { as: NOBODY } : {})
  expect(await run.end()).toBe(1)
  expect(run.stdout).toBe('')
  expect(run.stderr.trimEnd().split('\n')).toHaveLength(1)
  expect(run.stderr).toMatch(
    /it takes root \(CAP_SYS_ADMIN .*CAP_BPF .*\), and this is user \d+\. Run: sudo .*demo --xdp --seconds 1$/m,
  )
})

test('without ip the message names the package', async () => {
  const run = new Run(['demo', '--xdp'], { path: '/nonexistent' })
  expect(await run.end()).toBe(1)
  expect(run.stderr).toContain('Run: apt-get install iproute2')
})
