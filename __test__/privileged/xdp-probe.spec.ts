import { expect } from 'vitest'
import type { XdpFinding, XdpProbe } from 'wraith-transport'
import { childPath } from '../support/child.js'
import type { Namespace } from '../support/netns.js'
import { vethTest } from '../support/veth.js'
import { xdpTools } from '../support/xdp.js'

const look = (namespace: Namespace, name: string): Promise<XdpProbe & { text: string }> =>
  namespace.resultOf(`${xdpTools}
    const probed = probe('${name}')
    print({ ...probed, text: String(probed) })
  `)

const found = ({ findings }: XdpProbe, word: string): XdpFinding | undefined =>
  findings.find(({ what }) => what.includes(word))

vethTest('a link that is ready is said to be, with its facts', { queues: 4 }, async ({ near }) => {
  const probed = await look(near, 'wraith0')
  expect(probed).toMatchObject({
    interface: 'wraith0',
    ready: true,
    driver: 'veth',
    up: true,
    mtuBytes: 1500,
    queues: 4,
    maxQueues: 4,
    missingCapabilities: [],
  })
  expect(probed.kernel).toMatch(/^\d+\.\d+/)
  expect(probed).not.toHaveProperty('programId')
  expect(probed).not.toHaveProperty('lockedMemoryBytes')
  // Linux 6.3 and newer say it; veth has the one and not the other.
  expect([true, undefined]).toContain(probed.nativeMode)
  expect([false, undefined]).toContain(probed.zeroCopy)
  expect(found(probed, '4 queues')).toMatchObject({ severity: 'note', about: 'interface' })
  expect(probed.text.split('\n')[0]).toMatch(/^wraith0: ready; driver veth, 4 of 4 queues, MTU 1500, /)
  expect(probed.text).not.toMatch(/\n$/)
})

vethTest('what probe returns is frozen, and prints as JSON without its text', {}, async ({ near }) => {
  const [frozen, keys, other] = await near.resultOf<[boolean, string[], string]>(`${xdpTools}
    const probed = probe('wraith0')
    print([
      [probed, probed.findings, probed.findings[0], probed.missingCapabilities].every(Object.isFrozen),
      Object.keys(JSON.parse(JSON.stringify(probed))).sort(),
      \`\${probe('lo')}\`.split(';')[0],
    ])
  `)
  expect(frozen).toBe(true)
  expect(keys).not.toContain('toString')
  expect(keys).not.toContain('text')
  expect(keys).toContain('findings')
  expect(other).toBe('lo: not ready')
})

vethTest(
  'an MTU above one frame is in the way, with the numbers that fit',
  { mtu: 2000 },
  async ({ near }) => {
    const small = await look(near, 'wraith0')
    expect(small.ready).toBe(false)
    expect(found(small, 'The MTU is 2000')).toMatchObject({
      severity: 'blocking',
      remedy: 'Use frameSize 4096, or `ip link set dev wraith0 mtu 1774`.',
    })
    near.run('ip link set dev wraith0 mtu 9000')
    const large = await look(near, 'wraith0')
    expect(found(large, 'The MTU is 9000')).toMatchObject({
      severity: 'blocking',
      remedy: expect.stringContaining('`ip link set dev wraith0 mtu 3822`'),
    })
    // The remedy is one.
    near.run('ip link set dev wraith0 mtu 1774')
    expect(await look(near, 'wraith0')).toMatchObject({ ready: true, mtuBytes: 1774 })
  },
)

vethTest("somebody else's program is in the way for as long as it is attached", {}, async ({ near }) => {
  const [during, after] = await near.resultOf<[XdpProbe, XdpProbe]>(`${xdpTools}
    import { spawn } from 'node:child_process'
    const foreign = spawn('perl', [${JSON.stringify(childPath('foreign-xdp.pl'))}, 'wraith0'], {
      stdio: ['pipe', 'pipe', 'inherit'],
    })
    await once(foreign.stdout, 'data')
    const during = probe('wraith0')
    foreign.stdin.end()
    await once(foreign, 'close')
    await until(() => probe('wraith0').programId === undefined)
    print([during, probe('wraith0')])
  `)
  expect(during.ready).toBe(false)
  expect(during.programId).toBeGreaterThan(0)
  const { severity, what, remedy } = found(during, 'An XDP program is attached already') ?? {}
  expect(severity).toBe('blocking')
  expect(what).toContain(`number ${during.programId}`)
  expect(remedy).toContain(`\`bpftool prog show id ${during.programId}\``)
  expect(remedy).toContain('`ip link set dev wraith0 xdp off`')
  expect(after.ready).toBe(true)
})

vethTest(
  'an interface that is down is one of the warnings, behind what is blocking',
  {},
  async ({ near }) => {
    near.run('ip link set dev wraith0 mtu 9000')
    near.run('ip link set dev wraith0 down')
    const probed = await look(near, 'wraith0')
    expect(probed).toMatchObject({ up: false, ready: false })
    expect(found(probed, 'is down')).toMatchObject({
      severity: 'warning',
      remedy: '`ip link set dev wraith0 up`.',
    })
    expect(probed.findings.map(({ severity }) => severity)).toEqual(
      ['blocking', 'warning', 'note'].flatMap((wanted) =>
        probed.findings.map(({ severity }) => severity).filter((severity) => severity === wanted),
      ),
    )
  },
)

vethTest(
  'a kernel that refuses bpf(2) in spite of all rights is told from missing ones',
  {},
  async ({ near }) => {
    const seccomp = ['perl', childPath('with-seccomp.pl'), '1', 'bpf']
    const [probed, refused] = await near.resultOf<[XdpProbe, { code: string; message: string }]>(
      `${xdpTools}
    print([probe('wraith0'), thrownBy(() => testFilter('all', new Uint8Array(60)))])
  `,
      { through: seccomp },
    )
    expect(probed.missingCapabilities).toEqual([])
    const [first] = probed.findings
    expect(first).toMatchObject({ severity: 'blocking', about: 'process' })
    expect(first?.what).toMatch(/bpf: Operation not permitted/)
    expect(first?.remedy).toMatch(/seccomp/)
    expect(refused).toMatchObject({
      code: 'WRAITH_ERR_PERMISSION',
      message: expect.stringMatching(/seccomp/),
    })
  },
)

vethTest('the far end of another namespace is not there', {}, async ({ near }) => {
  const error = await near.resultOf<{ code: string; option: string }>(`${xdpTools}
    print(thrownBy(() => probe('wraith1')))
  `)
  expect(error).toMatchObject({ code: 'WRAITH_ERR_ADDRESS_NOT_AVAILABLE', option: 'interface' })
})
