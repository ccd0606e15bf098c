import { describe, expect, test } from 'vitest'
import type { XdpFilter, XdpVerdict } from 'wraith-transport'
import { expectRefusal, thrownBy } from '../support/errors.js'
import { ethernet, ICMP, ICMPV6, ipv4, ipv6, TCP, tagged, tcp, UDP, udp } from '../support/ethernet.js'
import { missingForNamespaces } from '../support/netns.js'
import { testFilter } from '../support/xdp.js'

type Row = readonly [name: string, frame: Buffer, verdict: XdpVerdict]

/** Every row is decided by the kernel, which runs the filter's program on the frame. Touches no interface. */
function table(what: string, filter: XdpFilter, rows: readonly Row[]): void {
  test.for(rows)(`${what}: %s`, ([, frame, expected], context) => {
    const reason = missingForNamespaces()
    if (reason !== undefined) {
      console.warn(`${what}: ${reason}`)
      context.skip(reason)
    }
    expect(testFilter(filter, frame)).toBe(expected)
  })
}

const toUdp4 = (port: number) => ipv4(udp(40_000, port))
const toUdp6 = (port: number) => ipv6(udp(40_000, port))
const to = (verdict: XdpVerdict, rows: readonly (readonly [string, Buffer])[]): Row[] =>
  rows.map(([name, frame]) => [name, frame, verdict])

/** Frames whose ports are not at their usual place, or not there at all. */
const odd = (port: number): [string, Buffer][] => {
  const payload = udp(40_000, port)
  const behind = (...header: number[]) => Buffer.concat([Buffer.from(header), payload])
  return [
    ['the first fragment', ipv4(payload, { fragment: 0x2000 })],
    ['a later fragment', ipv4(payload, { fragment: 0x20b9 })],
    ['the last fragment', ipv4(payload, { fragment: 0x0001 })],
    ['IPv4 options', ipv4(payload, { options: [1, 1, 1, 0] })],
    ['the most IPv4 options', ipv4(payload, { options: new Array(40).fill(1) })],
    ['an IPv6 hop-by-hop header', ipv6(behind(UDP, 0, 5, 2, 0, 0, 1, 0), { next: 0 })],
    ['an IPv6 routing header', ipv6(behind(UDP, 0, 4, 0, 0, 0, 0, 0), { next: 43 })],
    ['IPv6 destination options', ipv6(behind(UDP, 0, 1, 4, 0, 0, 0, 0), { next: 60 })],
    ['an IPv6 fragment', ipv6(behind(UDP, 0, 0, 1, 0, 0, 0, 9), { next: 44 })],
    ['an authentication header', ipv6(behind(UDP, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1), { next: 51 })],
    ['a frame cut in the UDP header', toUdp4(port).subarray(0, 14 + 20 + 7)],
    ['one cut in the UDP header, IPv6', toUdp6(port).subarray(0, 14 + 40 + 7)],
    ['one cut in the IPv4 header', toUdp4(port).subarray(0, 14 + 19)],
    ['one cut in the IPv6 header', toUdp6(port).subarray(0, 14 + 39)],
    ['an Ethernet header alone', toUdp4(port).subarray(0, 14)],
  ]
}

/** What a machine needs to stay reachable. */
const management: [string, Buffer][] = [
  ['ARP', ethernet(0x0806, Buffer.alloc(28))],
  ['LLDP', ethernet(0x88cc, Buffer.alloc(46))],
  ['LACP', ethernet(0x8809, Buffer.alloc(110))],
  ['ICMPv6 neighbour solicitation', ipv6(Buffer.alloc(24, 135), { next: ICMPV6, to: 'ff02::1:ff00:1' })],
  [
    'ICMPv6 router advertisement',
    ipv6(Buffer.alloc(16, 134), { next: ICMPV6, from: 'fe80::1', to: 'ff02::1' }),
  ],
  ['DHCP to the server', ipv4(udp(68, 67), { from: '0.0.0.0', to: '255.255.255.255' })],
  ['DHCP to the client', ipv4(udp(67, 68))],
  ['DHCPv6 to the client', ipv6(udp(547, 546))],
  ['DHCPv6 to the server', ipv6(udp(546, 547), { to: 'ff02::1:2' })],
  ['a DNS reply', ipv4(udp(53, 40_000))],
  ['a DNS reply by TCP, IPv6', ipv6(tcp(53, 40_000), { next: TCP })],
  ['SSH to this machine', ipv4(tcp(40_000, 22), { protocol: TCP })],
  ['SSH from this machine', ipv6(tcp(22, 40_000), { next: TCP })],
  ['UDP port 22', ipv4(udp(40_000, 22))],
]

table('two UDP ports', { udpPorts: [6343, 2055] }, [
  ['the first', toUdp4(6343), 'socket'],
  ['the second', toUdp4(2055), 'socket'],
  ['IPv6', toUdp6(6343), 'socket'],
  ['an empty datagram', ipv4(udp(40_000, 6343, '')), 'socket'],
  ['a jumbo frame', ipv4(udp(40_000, 6343, Buffer.alloc(8900))), 'socket'],
  ['the next port', toUdp4(6344), 'kernel'],
  ['the port with its bytes swapped', toUdp4(0xc718), 'kernel'],
  ['from that port', ipv4(udp(6343, 40_000)), 'kernel'],
  ['TCP to it', ipv4(tcp(40_000, 6343), { protocol: TCP }), 'kernel'],
  ['a ping', ipv4(Buffer.alloc(8, 8), { protocol: ICMP }), 'kernel'],
  ['in a VLAN', tagged(0x8100, 5, toUdp4(6343)), 'kernel'],
  ['in two VLANs', tagged(0x88a8, 5, tagged(0x8100, 5, toUdp4(6343))), 'kernel'],
  ['another EtherType', ethernet(0x88b5, Buffer.alloc(50)), 'kernel'],
  ...to('kernel', odd(6343)),
  ...to('kernel', management),
])

table(
  'ports by end, and more than are compared one by one',
  {
    udpPorts: { dst: Array.from({ length: 20 }, (_, n) => 3000 + n), src: [5000] },
    tcpPorts: { dst: [80], src: [443] },
  },
  [
    ['the first of many', toUdp4(3000), 'socket'],
    ['the last of many', toUdp6(3019), 'socket'],
    ['one beyond', toUdp4(3020), 'kernel'],
    ['from the source port', ipv4(udp(5000, 1)), 'socket'],
    ['to the source port', toUdp4(5000), 'kernel'],
    ['TCP', ipv4(tcp(1, 80), { protocol: TCP }), 'socket'],
    ['TCP from the source port', ipv6(tcp(443, 1), { next: TCP }), 'socket'],
    ['the TCP port by UDP', toUdp4(80), 'kernel'],
    ['SSH to here from a wanted port', ipv4(tcp(443, 22), { protocol: TCP }), 'kernel'],
  ],
)

table("'all'", 'all', [
  ['UDP', toUdp4(9), 'socket'],
  ['UDP, IPv6', toUdp6(9), 'socket'],
  ['TCP', ipv4(tcp(40_000, 80), { protocol: TCP }), 'socket'],
  ['a ping', ipv4(Buffer.alloc(8, 8), { protocol: ICMP }), 'socket'],
  ['a DNS query', toUdp4(53), 'socket'],
  ['an unknown EtherType', ethernet(0x88b5, Buffer.alloc(1)), 'socket'],
  ['in a VLAN', tagged(0x8100, 9, toUdp4(9)), 'socket'],
  ['in two VLANs', tagged(0x88a8, 3, tagged(0x8100, 9, toUdp4(9))), 'kernel'],
  ...to('kernel', odd(9)),
  ...to('kernel', management),
  ...to(
    'kernel',
    management.map(([name, frame]): [string, Buffer] => [`${name}, in a VLAN`, tagged(0x8100, 9, frame)]),
  ),
])

table('everything, management too', { all: true, keepManagement: false }, [
  ...to('socket', management),
  ...to('socket', odd(9)),
  ['in two VLANs', tagged(0x88a8, 3, tagged(0x8100, 9, toUdp4(9))), 'socket'],
])

table('what is kept by default and wanted', { udpPorts: [67, 22], keepManagement: false }, [
  ['DHCP', ipv4(udp(68, 67)), 'socket'],
  ['UDP port 22', ipv4(udp(1, 22)), 'socket'],
  ['SSH, which is TCP', ipv4(tcp(1, 22), { protocol: TCP }), 'kernel'],
])

table(
  'addresses',
  { addresses: { src: ['192.0.2.128/25', '2001:db8::/33'], dst: ['198.51.100.2', '2001:db8::2'] } },
  [
    ['both inside', ipv4(udp(1, 2), { from: '192.0.2.128' }), 'socket'],
    ['both inside, not UDP', ipv4(Buffer.alloc(8), { from: '192.0.2.255', protocol: 47 }), 'socket'],
    ['the source outside', ipv4(udp(1, 2), { from: '192.0.2.127' }), 'kernel'],
    ['the destination outside', ipv4(udp(1, 2), { from: '192.0.2.128', to: '198.51.100.3' }), 'kernel'],
    ['IPv6 inside', ipv6(udp(1, 2), { from: '2001:db8:7fff::1' }), 'socket'],
    ['IPv6 outside', ipv6(udp(1, 2), { from: '2001:db8:8000::1' }), 'kernel'],
  ],
)

table('a port of a network', { udpPorts: [9000], addresses: { src: ['10.0.0.0/8'] } }, [
  ['both', ipv4(udp(1, 9000), { from: '10.1.2.3' }), 'socket'],
  ['the port alone', ipv4(udp(1, 9000), { from: '11.1.2.3' }), 'kernel'],
  ['the network alone', ipv4(udp(1, 9001), { from: '10.1.2.3' }), 'kernel'],
  ['TCP', ipv4(tcp(1, 9000), { from: '10.1.2.3', protocol: TCP }), 'kernel'],
])

table('EtherTypes', { etherTypes: [0x88b5, 0x86dd, 0x8100] }, [
  ['one that is listed', ethernet(0x88b5, Buffer.alloc(0)), 'socket'],
  ['one that is not', ethernet(0x88b6, Buffer.alloc(0)), 'kernel'],
  ['all of IPv6', toUdp6(7), 'socket'],
  ['IPv4', toUdp4(7), 'kernel'],
  ['any VLAN', tagged(0x8100, 1, toUdp4(7)), 'socket'],
  ['a service VLAN', tagged(0x88a8, 1, toUdp4(7)), 'kernel'],
])

table(
  'exceptions',
  {
    all: true,
    except: {
      udpPorts: { dst: [500], src: [123] },
      addresses: { src: ['10.0.0.0/8'] },
      etherTypes: [0x88b5],
    },
  },
  [
    ['port and address', ipv4(udp(1, 500), { from: '10.9.8.7' }), 'kernel'],
    ['source port and address', ipv4(udp(123, 1), { from: '10.9.8.7' }), 'kernel'],
    ['the port alone', ipv4(udp(1, 500), { from: '11.9.8.7' }), 'socket'],
    ['the address alone', ipv4(udp(1, 501), { from: '10.9.8.7' }), 'socket'],
    ['the EtherType', ethernet(0x88b5, Buffer.alloc(4)), 'kernel'],
    ['in a VLAN', tagged(0x8100, 4, ipv4(udp(1, 500), { from: '10.9.8.7' })), 'kernel'],
  ],
)

table("'none'", 'none', [
  ['UDP', toUdp4(6343), 'kernel'],
  ['ARP', ethernet(0x0806, Buffer.alloc(28)), 'kernel'],
])

describe('programs that stay loaded', () => {
  test('many filters in turn, more than stay loaded, each say their own', (context) => {
    const reason = missingForNamespaces()
    if (reason !== undefined) {
      console.warn(reason)
      context.skip(reason)
    }
    for (let round = 0; round < 3; round++) {
      for (let port = 1000; port < 1007; port++) {
        expect(testFilter({ udpPorts: [port] }, toUdp4(port))).toBe('socket')
        expect(testFilter({ udpPorts: [port] }, toUdp4(port + 1))).toBe('kernel')
      }
    }
  })

  test('the port of the SSH session is kept, from the moment that there is one', (context) => {
    const reason = missingForNamespaces()
    if (reason !== undefined) {
      console.warn(reason)
      context.skip(reason)
    }
    const before = process.env['SSH_CONNECTION']
    const frame = ipv4(tcp(50_000, 2222), { protocol: TCP })
    try {
      delete process.env['SSH_CONNECTION']
      expect(testFilter('all', frame)).toBe('socket')
      process.env['SSH_CONNECTION'] = '203.0.113.5 50000 192.0.2.1 2222'
      expect(testFilter('all', frame)).toBe('kernel')
      const error = thrownBy(() => testFilter({ tcpPorts: [2222] }, frame))
      expectRefusal(error, { code: 'WRAITH_ERR_OUT_OF_RANGE', option: 'filter', given: 'TCP to 2222' })
    } finally {
      if (before === undefined) delete process.env['SSH_CONNECTION']
      else process.env['SSH_CONNECTION'] = before
    }
  })
})
