import { describe, expect, test } from 'vitest'
import { type WraithErrorCode, XdpSocket } from 'wraith-transport'
import { expectRefusal, rejectionOf, thrownBy } from './support/errors.js'
import { probe, readFilter, testFilter } from './support/xdp.js'

const TYPE = 'WRAITH_ERR_INVALID_ARG_TYPE'
const RANGE = 'WRAITH_ERR_OUT_OF_RANGE'
const ADDRESS = 'WRAITH_ERR_INVALID_ADDRESS'
const UNKNOWN = 'WRAITH_ERR_UNKNOWN_OPTION'

const nothing = {
  udpDst: [],
  udpSrc: [],
  tcpDst: [],
  tcpSrc: [],
  addressesDst: [],
  addressesSrc: [],
  etherTypes: [],
}
const matching = { select: 'matching', rules: nothing, except: nothing, keepManagement: true }

describe('a filter', () => {
  test.each<[string, unknown, object]>([
    ["'all'", 'all', { ...matching, select: 'all' }],
    ["'none'", 'none', { ...matching, select: 'none' }],
    ['UDP ports', { udpPorts: [6343, 0] }, { ...matching, rules: { ...nothing, udpDst: [6343, 0] } }],
    [
      'ports at both ends',
      { udpPorts: { dst: [1], src: [65_535] }, tcpPorts: { src: [80] } },
      { ...matching, rules: { ...nothing, udpDst: [1], udpSrc: [65_535], tcpSrc: [80] } },
    ],
    ['TCP ports', { tcpPorts: [80] }, { ...matching, rules: { ...nothing, tcpDst: [80] } }],
    [
      'addresses',
      { addresses: { src: ['10.0.0.0/8', '192.0.2.1'], dst: ['2001:db8::/32'] } },
      {
        ...matching,
        rules: { ...nothing, addressesSrc: ['10.0.0.0/8', '192.0.2.1'], addressesDst: ['2001:db8::/32'] },
      },
    ],
    [
      'EtherTypes',
      { etherTypes: [0x0600, 0xffff] },
      { ...matching, rules: { ...nothing, etherTypes: [0x0600, 0xffff] } },
    ],
    [
      'everything with exceptions',
      { all: true, except: { udpPorts: [500], etherTypes: [0x88b5] }, keepManagement: false },
      {
        select: 'all',
        rules: nothing,
        except: { ...nothing, udpDst: [500], etherTypes: [0x88b5] },
        keepManagement: false,
      },
    ],
    [
      'undefined for what is left out',
      { udpPorts: [9], tcpPorts: undefined, all: undefined, except: undefined, keepManagement: undefined },
      { ...matching, rules: { ...nothing, udpDst: [9] } },
    ],
  ])('may be: %s', (_what, filter, expected) => {
    expect(readFilter(filter)).toEqual(expected)
  })

  test('is copied: what becomes of the object later changes nothing', () => {
    const ports = [1, 2]
    const read = readFilter({ udpPorts: ports })
    ports.push(3)
    expect(read.rules.udpDst).toEqual([1, 2])
  })

  test('must be given, for a reason that the message tells', () => {
    const error = thrownBy(() => readFilter(undefined))
    expectRefusal(error, { code: TYPE, option: 'filter' })
    expect(error.message).toContain('never reach the kernel, so there is no default')
    expect(error.message).toContain("'all' for every frame but what keeps this machine reachable")
    expect(error.message).toContain("'none' to send only")
  })

  const rows: [string, unknown, WraithErrorCode, string, string, string | RegExp][] = [
    ['null', null, TYPE, 'filter', 'null', /'all', 'none' or an object of rules/],
    ['a number', 6343, TYPE, 'filter', '6343', /an object of rules/],
    ['an array', [6343], TYPE, 'filter', 'an array of 1', /an object of rules/],
    ['another word', 'udp', RANGE, 'filter', '"udp"', /'all', 'none' or an object of rules/],
    ['no rules', {}, RANGE, 'filter', 'without ports, addresses and etherTypes', /Add one of them/],
    ['only exceptions', { except: { udpPorts: [1] } }, RANGE, 'filter', 'without ports', /'all' or 'none'/],
    [
      'a misspelt rule',
      { udpPort: [1] },
      UNKNOWN,
      'filter.udpPort',
      'no option "filter.udpPort"',
      /Did you mean udpPorts\?/,
    ],
    ['all: false', { all: false, udpPorts: [1] }, TYPE, 'filter.all', 'false', /true, or be left out/],
    ['all with ports', { all: true, udpPorts: [1] }, RANGE, 'filter.all', 'without ports', /Remove it/],
    [
      'a flag that is none',
      { all: true, keepManagement: 1 },
      TYPE,
      'filter.keepManagement',
      '1',
      /true or false/,
    ],
    [
      'a port alone',
      { udpPorts: 6343 },
      TYPE,
      'filter.udpPorts',
      '6343',
      /an array of ports or \{ dst, src \}/,
    ],
    ['no ports', { udpPorts: [] }, RANGE, 'filter.udpPorts', 'an array of 0', /1 to 65536 ports/],
    ['no ends', { tcpPorts: {} }, RANGE, 'filter.tcpPorts', 'an object', /one of them at least/],
    [
      'an empty end',
      { tcpPorts: { src: [] } },
      RANGE,
      'filter.tcpPorts.src',
      'an array of 0',
      /leave it out/,
    ],
    ['a port for an end', { tcpPorts: { dst: 80 } }, TYPE, 'filter.tcpPorts.dst', '80', /an array/],
    [
      'another end',
      { udpPorts: { from: [1] } },
      UNKNOWN,
      'filter.udpPorts.from',
      '"filter.udpPorts.from"',
      /it has dst, src/,
    ],
    ['a port too large', { udpPorts: [1, 65_536] }, RANGE, 'filter.udpPorts[1]', '65536', /from 0 to 65535/],
    ['a negative port', { udpPorts: [-1] }, RANGE, 'filter.udpPorts[0]', '-1', /from 0 to 65535/],
    ['half a port', { udpPorts: { src: [1.5] } }, RANGE, 'filter.udpPorts.src[0]', '1.5', /whole number/],
    ['a port in words', { udpPorts: ['53'] }, TYPE, 'filter.udpPorts[0]', '"53"', /whole number/],
    ['a hole', { udpPorts: new Array(1) }, TYPE, 'filter.udpPorts[0]', 'undefined', /whole number/],
    [
      'too many ports',
      { udpPorts: new Array(65_537).fill(1) },
      RANGE,
      'filter.udpPorts',
      '65537',
      /65536 ports/,
    ],
    [
      'addresses alone',
      { addresses: ['10.0.0.0/8'] },
      TYPE,
      'filter.addresses',
      'an array of 1',
      /\{ src, dst \}/,
    ],
    [
      'a text without end',
      { addresses: { src: [`10.0.0.0/${'0'.repeat(1 << 20)}`] } },
      ADDRESS,
      'filter.addresses.src[0]',
      '10.0.0.0/000',
      /^.{1,400}$/,
    ],
    [
      'half an address',
      { addresses: { src: ['10.0/8'] } },
      ADDRESS,
      'filter.addresses.src[0]',
      '"10.0/8" was given',
      /Write it as/,
    ],
    [
      'no address',
      { addresses: { src: ['lan'] } },
      ADDRESS,
      'filter.addresses.src[0]',
      '"lan"',
      /2001:db8::\/32/,
    ],
    [
      'a number for one',
      { addresses: { dst: [1] } },
      TYPE,
      'filter.addresses.dst[0]',
      '1',
      /an address or a prefix/,
    ],
    [
      'a long prefix',
      { addresses: { dst: ['::/129'] } },
      RANGE,
      'filter.addresses.dst[0]',
      '::/129',
      /0 to 128 bits/,
    ],
    [
      'bits beyond',
      { addresses: { src: ['10.0.0.1/8'] } },
      ADDRESS,
      'filter.addresses.src[0]',
      '10.0.0.1/8',
      /bits set/,
    ],
    [
      'too many prefixes',
      { addresses: { src: new Array(65).fill('10.0.0.0/8') } },
      RANGE,
      'filter.addresses.src',
      'an array of 65',
      /1 to 64 prefixes/,
    ],
    ['a length as type', { etherTypes: [0x05ff] }, RANGE, 'filter.etherTypes[0]', '1535', /from 0x0600/],
    ['a large EtherType', { etherTypes: [0x10000] }, RANGE, 'filter.etherTypes[0]', '65536', /0xffff/],
    ['an EtherType in words', { etherTypes: ['ip'] }, TYPE, 'filter.etherTypes[0]', '"ip"', /an EtherType/],
    [
      'exceptions in an array',
      { all: true, except: [] },
      TYPE,
      'filter.except',
      'an array of 0',
      /an object/,
    ],
    ['no exceptions', { all: true, except: {} }, RANGE, 'filter.except', 'an object', /leave it out/],
    [
      'a bad exception',
      { all: true, except: { tcpPorts: [-1] } },
      RANGE,
      'filter.except.tcpPorts[0]',
      '-1',
      /65535/,
    ],
    [
      'an exception from the exception',
      { all: true, except: { except: {} } },
      UNKNOWN,
      'filter.except.except',
      '"filter.except.except"',
      /it has udpPorts/,
    ],
  ]
  test.each(rows)('is refused: %s', (_what, filter, code, option, given, allowed) => {
    expectRefusal(
      thrownBy(() => readFilter(filter)),
      { code, option, given, allowed },
    )
  })

  test('is called by the name that it has in the options around it', () => {
    const error = thrownBy(() => readFilter({ udpPorts: [-1] }, 'options.filter'))
    expectRefusal(error, { code: RANGE, option: 'options.filter.udpPorts[0]' })
  })
})

describe('a frame to be tested', () => {
  test.each<[string, unknown, WraithErrorCode, string, string]>([
    ['an array', [1, 2], TYPE, 'frame', 'an array of 2'],
    ['nothing', undefined, TYPE, 'frame', 'undefined'],
    ['another view', new Uint16Array(60), TYPE, 'frame', 'Uint16Array'],
    ['a runt', new Uint8Array(13), RANGE, 'frame.length', '13'],
    [
      'shared memory',
      new Uint8Array(new SharedArrayBuffer(60)),
      'WRAITH_ERR_SHARED_MEMORY',
      'frame',
      'Shared',
    ],
  ])('is refused: %s', (_what, frame, code, option, given) => {
    const error = thrownBy(() => testFilter('all', frame as Uint8Array))
    expectRefusal(error, { code, option, given })
  })

  test('a filter that wants what it keeps for the kernel is refused, with the names that options have here', () => {
    const frame = new Uint8Array(60)
    for (const [filter, named] of [
      [{ udpPorts: [5, 67] }, 'UDP to 67'],
      [{ tcpPorts: { src: [22] } }, 'TCP from 22'],
      [{ etherTypes: [0x0806] }, 'EtherType 0x0806'],
    ] as const) {
      const error = thrownBy(() => testFilter(filter, frame))
      expectRefusal(error, {
        code: RANGE,
        option: 'filter',
        given: named,
        allowed: /Set keepManagement to false/,
      })
      expect(error.stack).not.toContain('keep_management')
    }
  })
})

describe('the name of an interface to be probed', () => {
  test.each<[unknown, WraithErrorCode, string]>([
    [undefined, TYPE, 'undefined'],
    [1, TYPE, '1'],
    ['', RANGE, '""'],
    ['sixteen-letters-', RANGE, 'sixteen'],
    ['eth 0', RANGE, 'eth 0'],
    ['../lo', RANGE, '../lo'],
    ['lo\0', RANGE, 'lo'],
  ])('is refused: %j', (name, code, given) => {
    expectRefusal(
      thrownBy(() => probe(name as string)),
      { code, option: 'interface', given },
    )
  })

  test('must be one that there is', () => {
    const error = thrownBy(() => probe('no-such-0'))
    expectRefusal(error, {
      code: 'WRAITH_ERR_ADDRESS_NOT_AVAILABLE',
      option: 'interface',
      given: 'no-such-0',
    })
  })
})

test('elsewhere than on Linux the class is there, and each way in says that there is no AF_XDP', async () => {
  const { value: platform } = Object.getOwnPropertyDescriptor(process, 'platform') ?? {}
  Object.defineProperty(process, 'platform', { value: 'darwin' })
  try {
    const token = { kind: 'wraith-transport/xdp', id: '0'.repeat(32) } as const
    const refusals = [
      thrownBy(() => probe('en0')),
      thrownBy(() => testFilter('all', new Uint8Array(60))),
      thrownBy(() => XdpSocket.attach(token)),
      await rejectionOf(() => XdpSocket.open('en0', { filter: 'all' })),
      await rejectionOf(() => XdpSocket.openQueues('en0', { filter: 'all' })),
    ]
    for (const refusal of refusals) {
      expectRefusal(refusal, { code: 'WRAITH_ERR_UNSUPPORTED', given: 'darwin', allowed: /Linux 5\.9/ })
    }
  } finally {
    Object.defineProperty(process, 'platform', { value: platform })
  }
})
