import { readdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { CliUsageError, parseArguments } from '../../ts/cli/arguments.ts'
import { halves, isSupported } from '../../ts/cli/doctor/process.ts'
import type { DoctorReport } from '../../ts/cli/doctor/report.ts'
import { wrap } from '../../ts/cli/doctor/text.ts'
import { lookAtUdp } from '../../ts/cli/doctor/udp.ts'
import { missingForNamespaces, type Namespace } from '../support/netns.js'
import { CapableNode, missingForCapabilities } from '../support/unprivileged.js'
import { VethPair, vethTest } from '../support/veth.js'
import { Run, type RunOptions } from './processes.ts'

async function doctor(args: readonly string[], how: RunOptions = {}) {
  const run = new Run(['doctor', ...args], how)
  const code = await run.end()
  return { code, stdout: run.stdout, stderr: run.stderr }
}

/** The report of --json, which is the last line of standard output, and the text, which goes elsewhere. */
async function examined(args: readonly string[], how: RunOptions = {}) {
  const { code, stdout, stderr } = await doctor([...args, '--json'], how)
  return { code, report: JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as DoctorReport, text: stderr }
}

const inside = ({ through }: Namespace): RunOptions => ({ through })

describe('arguments', () => {
  test.each([
    [['doctor'], { name: 'doctor', json: false }],
    [['doctor', '--json', '--interface', 'eth0'], { name: 'doctor', interface: 'eth0', json: true }],
    [['doctor', '--interface=eth0', '--help'], { name: 'doctor-help' }],
  ])('%j is understood', (args, command) => {
    expect(parseArguments(args)).toEqual(command)
  })

  test.each([
    [['doctor', 'eth0'], "'eth0'"],
    [['doctor', '--interfaces', 'eth0'], "'--interfaces'"],
    [['doctor', '--interface'], "'--interface'"],
    [['doctor', '--interface='], "--interface is ''"],
    [['doctor', '--interface', 'eth 0'], "'eth 0'"],
    [['doctor', '--interface', 'sixteen-letters-'], "'sixteen-letters-'"],
    [['doctor', '--json=yes'], "'--json'"],
    [['doctor', '--seconds', '3'], "'--seconds'"],
  ])('%j is refused by name, with one thing to do', (args, named) => {
    const parsing = (): unknown => parseArguments(args)
    expect(parsing).toThrow(CliUsageError)
    expect(parsing).toThrow(named)
    expect(parsing).toThrow(/Try /)
  })

  test('wrong ones end with code 2', async () => {
    const { code, stdout, stderr } = await doctor(['--interface'])
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' })
    expect(stderr).toContain('--interface')
  })

  test('--help names the options and the exit codes, and fits 80 columns', async () => {
    const { code, stdout } = await doctor(['--help'])
    expect(code).toBe(0)
    for (const part of ['--interface', '--json', '--help', 'Exit codes: 0 ready; 1']) {
      expect(stdout).toContain(part)
    }
    expect(stdout.split('\n').filter((line) => line.length > 80)).toEqual([])
  })
})

describe('what it says', () => {
  vethTest('a link that is ready ends it with code 0', { queues: 2 }, async ({ near }) => {
    const { code, report, text } = await examined([], inside(near))
    expect(code).toBe(0)
    expect(report).toMatchObject({
      ready: true,
      process: { node: process.versions.node, addon: 'loaded', missingCapabilities: [], findings: [] },
      interfaces: [{ interface: 'wraith0', ready: true, queues: 2, driver: 'veth' }],
      skipped: [{ interface: 'lo', why: expect.stringContaining('--interface lo') }],
    })
    expect(text).toContain('wraith0: ready for AF_XDP')
    expect(text).toContain('XdpSocket.open gives a socket on each of 2 queues')
    expect(text).toContain('Rights: all that AF_XDP needs; memory that may be locked: no limit.')
    expect(text).toMatch(/\nUDP\n {2}\S/)
    expect(text).toMatch(/Nothing is in the way\.\n$/)
  })

  vethTest('without --json the same text is on standard output, alone', {}, async ({ near }) => {
    const plain = await doctor([], inside(near))
    const { text } = await examined([], inside(near))
    expect(plain).toEqual({ code: 0, stdout: text, stderr: '' })
    expect(plain.stdout).not.toContain('\x1b')
  })

  vethTest(
    'what is in the way ends it with code 1, and comes with its command',
    { mtu: 9000 },
    async ({ near }) => {
      const { code, report, text } = await examined(['--interface', 'wraith0'], inside(near))
      expect(code).toBe(1)
      expect(report).toMatchObject({
        ready: false,
        interfaces: [{ ready: false, mtuBytes: 9000 }],
        skipped: [],
      })
      expect(text).toContain('wraith0: NOT ready for AF_XDP')
      expect(text).toMatch(/blocking: The MTU is 9000/)
      // A command is never broken in two.
      expect(text).toContain('`ip link set dev wraith0 mtu 3822`')
      expect(text).toContain('One thing is in the way')
      expect(text).not.toContain('xdp-rights.md')
      expect(text.split('\n').filter((line) => line.length > 80)).toEqual([])
    },
  )

  vethTest('a link that is down is looked at only when it is named', {}, async ({ near }) => {
    near.run('ip link set dev wraith0 down')
    const all = await examined([], inside(near))
    expect(all.code).toBe(1)
    expect(all.report.interfaces).toEqual([])
    expect(all.report.skipped).toContainEqual({ interface: 'wraith0', why: expect.stringMatching(/^down/) })
    expect(all.report.process.findings).toMatchObject([
      { severity: 'blocking', what: 'No interface is up but loopback' },
    ])
    const named = await examined(['--interface', 'wraith0'], inside(near))
    expect(named.code).toBe(0)
    expect(named.text).toMatch(/warning: The interface is down\. `ip link set dev wraith0 up`/)
  })

  vethTest('loopback is looked at when it is named', {}, async ({ near }) => {
    const { code, report } = await examined(['--interface', 'lo'], inside(near))
    expect(code).toBe(1)
    expect(report.interfaces).toMatchObject([
      { interface: 'lo', findings: [{ severity: 'blocking' }, {}, {}] },
    ])
  })

  test('an interface that there is not is in the way', async () => {
    const { code, report, text } = await examined(['--interface', 'no-such-0'])
    expect(code).toBe(1)
    expect(report.interfaces).toEqual([
      {
        interface: 'no-such-0',
        ready: false,
        findings: [
          {
            severity: 'blocking',
            what: 'There is no network interface "no-such-0"',
            remedy: 'Choose one that `ip link` lists in this network namespace.',
          },
        ],
      },
    ])
    expect(text).toContain('no-such-0: NOT ready')
  })

  test('rights that are missing are said once, however many interfaces there are', async (context) => {
    const reason = missingForNamespaces() ?? missingForCapabilities()
    if (reason !== undefined) {
      console.warn(reason)
      context.skip(reason)
    }
    using pair = new VethPair()
    using capable = new CapableNode()
    pair.near.run('ip link add other0 type veth peer name other1')
    pair.near.run('ip link set other0 up')
    pair.near.run('ip link set other1 up')
    const how = {
      through: [...pair.near.through, ...capable.through()],
      node: capable.node,
      main: capable.cli,
    }
    const without = await examined([], how)
    expect(without.code).toBe(1)
    expect(without.report.interfaces).toHaveLength(3)
    expect(without.report.process.missingCapabilities).toEqual(['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_BPF'])
    expect(without.text.match(/This process lacks CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF/g)).toHaveLength(1)
    expect(without.text).toContain('`setcap cap_net_admin,cap_net_raw,cap_bpf=ep <the program>`')
    expect(without.text).toContain('More on rights: docs/xdp-rights.md.')
    capable.grant('cap_net_admin,cap_net_raw,cap_bpf,cap_ipc_lock=ep')
    expect((await examined([], how)).code).toBe(0)
  })

  test('an addon that is missing is in the way, and its package is named', async (context) => {
    const reason = missingForNamespaces()
    if (reason !== undefined) {
      console.warn(reason)
      context.skip(reason)
    }
    using copy = new CapableNode()
    const folder = join(copy.folder, 'dist', 'ts', 'native')
    for (const name of readdirSync(folder)) if (name.endsWith('.node')) rmSync(join(folder, name))
    const { code, report, text } = await examined([], { main: copy.cli })
    expect(code).toBe(1)
    expect(report).toMatchObject({ process: { addon: 'missing' }, interfaces: [], skipped: [] })
    expect(report.process.findings).toMatchObject([{ severity: 'blocking' }])
    expect(text).toContain('could not be loaded. Install the')
    expect(text).toContain('@wraith-transport/binding-')
    expect(text).not.toContain('xdp-rights.md')
  })
})

describe('parts', () => {
  test('small limits of socket buffers are notes, with the command that lifts each', () => {
    const sizes = new Map([
      ['rmem_default', 212_992],
      ['rmem_max', 212_992],
      ['wmem_max', 8 << 20],
    ])
    const { limits, findings } = lookAtUdp((name) => sizes.get(name))
    expect(limits).toEqual({
      recvBufferDefaultBytes: 212_992,
      recvBufferMaxBytes: 212_992,
      sendBufferMaxBytes: 8 << 20,
    })
    expect(findings).toMatchObject([
      {
        severity: 'note',
        what: expect.stringMatching(/recvBufferSize of 208 KiB at most \(net\.core\.rmem_max\)/),
      },
    ])
    expect(findings[0]?.remedy).toContain('`sysctl -w net.core.rmem_max=4194304`')
    expect(lookAtUdp(() => undefined)).toEqual({ limits: {}, findings: [] })
  })

  test.each([
    ['20.18.9', false],
    ['20.19.0', true],
    ['22.11.0', false],
    ['22.12.1', true],
    ['23.5.0', false],
    ['24.0.0', true],
    ['27.1.0', true],
  ])('Node.js %s is supported: %s', (version, supported) => {
    expect(isSupported(version, '^20.19.0 || ^22.12.0 || >=24.0.0')).toBe(supported)
  })

  test("a message's last sentence is what to do", () => {
    expect(halves('A 1.5 is wrong. It is too small. Choose 2.')).toEqual({
      what: 'A 1.5 is wrong. It is too small',
      remedy: 'Choose 2.',
    })
    expect(halves('It is wrong.')).toEqual({ what: 'It is wrong.', remedy: '' })
  })

  test('lines are broken at blanks, but not inside of commands', () => {
    const command = `\`ip link set ${'x'.repeat(60)} mtu 1500\``
    expect(wrap(`do this: ${command} and then that`, '    ', '  ')).toEqual([
      '  do this:',
      `    ${command}`,
      '    and then that',
    ])
  })
})
