import { expect, test } from 'vitest'
import { capabilitiesIn, missing, type Surroundings } from '../../ts/cli/demo/xdp/needs.ts'

const ALL: Surroundings = {
  platform: 'linux',
  hasIp: true,
  uid: 0,
  capabilities: (1n << 41n) - 1n,
  command: '/usr/bin/node main.js demo --xdp',
}
const bit = (at: bigint): bigint => 1n << at

test('root with everything lacks nothing, and so does root whose capabilities the system does not tell', () => {
  expect(missing(ALL)).toEqual([])
  expect(missing({ ...ALL, capabilities: undefined })).toEqual([])
})

test('elsewhere than on Linux nothing else matters', () => {
  const found = missing({ ...ALL, platform: 'darwin', hasIp: false, uid: 501 })
  expect(found).toHaveLength(1)
  expect(found[0]).toMatch(/Linux only, and this is darwin.*Without --xdp/)
})

test('all that is missing is named at once, with a command each', () => {
  const found = missing({ ...ALL, hasIp: false, uid: 1000, capabilities: 0n })
  expect(found).toEqual([
    expect.stringMatching(/iproute2 is missing\. Run: apt-get install iproute2$/),
    expect.stringMatching(/takes root .*user 1000\. Run: sudo \/usr\/bin\/node main\.js demo --xdp$/),
  ])
})

test('root without capabilities is told which ones, and that a container can have them', () => {
  const [found] = missing({ ...ALL, capabilities: bit(13n) })
  expect(found).toContain('root lacks CAP_NET_ADMIN, CAP_SYS_ADMIN, CAP_BPF here')
  expect(found).toContain('docker run --privileged')
})

test('CAP_SYS_ADMIN includes CAP_BPF, as before Linux 5.8', () => {
  expect(missing({ ...ALL, capabilities: bit(12n) | bit(13n) | bit(21n) })).toEqual([])
  expect(missing({ ...ALL, capabilities: bit(12n) | bit(13n) | bit(39n) })[0]).toContain(
    'lacks CAP_SYS_ADMIN here',
  )
})

test.each([
  ['CapPrm:\t0000000000000000\nCapEff:\t000001ffffffffff\n', 0x1ffffffffffn],
  ['CapEff:\t0000000000000000\n', 0n],
  ['', undefined],
])('%j has these capabilities', (text, capabilities) => {
  expect(capabilitiesIn(text)).toBe(capabilities)
})
