// Compiled by scripts/test.mjs with the whole project, never run.
import type {
  XdpAddresses,
  XdpCapability,
  XdpFilter,
  XdpFilterRules,
  XdpFinding,
  XdpMatch,
  XdpPorts,
  XdpProbe,
  XdpVerdict,
} from 'wraith-transport'

import { type Equal, expectTrue } from './equal.ts'

const ports: XdpPorts = { dst: [80], src: [443] }
const addresses: XdpAddresses = { src: ['10.0.0.0/8'], dst: ['2001:db8::/32'] }
const match: XdpMatch = { udpPorts: [6343], tcpPorts: ports, addresses, etherTypes: [0x88b5] }
const rules: XdpFilterRules = { ...match, except: match, keepManagement: false }
const frozen: readonly number[] = Object.freeze([6343, 2055])
const filters: XdpFilter[] = [
  'all',
  'none',
  rules,
  { all: true, except: { udpPorts: frozen } },
  { udpPorts: ports },
]

// @ts-expect-error none of the two words
const word: XdpFilter = 'udp'
// @ts-expect-error a port alone
const port: XdpFilter = { udpPorts: 6343 }
// @ts-expect-error addresses have ends
const ends: XdpFilter = { addresses: ['10.0.0.0/8'] }
// @ts-expect-error no such rule
const rule: XdpFilter = { ports: [1] }
// @ts-expect-error what is not everything has rules instead
const some: XdpFilter = { all: false }
// @ts-expect-error exceptions have none of their own
const nested: XdpFilter = { all: true, except: { except: {} } }
// @ts-expect-error there is no default
const nothing: XdpFilter = undefined

declare const probe: XdpProbe
const [finding] = probe.findings
if (finding !== undefined) {
  expectTrue<Equal<typeof finding, XdpFinding>>()
  expectTrue<Equal<typeof finding.severity, 'note' | 'warning' | 'blocking'>>()
  expectTrue<Equal<typeof finding.about, 'process' | 'interface'>>()
}
expectTrue<Equal<typeof probe.zeroCopy, boolean | undefined>>()
expectTrue<Equal<typeof probe.missingCapabilities, readonly XdpCapability[]>>()
expectTrue<Equal<XdpVerdict, 'socket' | 'kernel'>>()
// @ts-expect-error a look is frozen
probe.ready = true
// @ts-expect-error so is what was found
probe.findings.push(finding)

void [filters, word, port, ends, rule, some, nested, nothing]
