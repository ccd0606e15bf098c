import { execFileSync } from 'node:child_process'
import { describe, expect, test } from 'vitest'
import { BufferPool, UdpSocket, type UdpSocketOptions, WraithError } from 'wraith-transport'
import { bind } from './support/udp.js'
import { resultOf } from './support/udp-process.js'

const TYPE = 'WRAITH_ERR_INVALID_ARG_TYPE'
const RANGE = 'WRAITH_ERR_OUT_OF_RANGE'
const ADDRESS = 'WRAITH_ERR_INVALID_ADDRESS'

/** Every error: its class, a code, the option's name, and a message of what is allowed and one thing to do. */
function expectRefusal(error: unknown, code: string, option: string | undefined): void {
  expect(error).toBeInstanceOf(WraithError)
  const { code: got, option: named, message } = error as WraithError
  expect({ code: got, option: named }).toEqual({ code, option })
  expect(message).toMatch(/[.?]$/)
  expect(message.split(/\. /).length).toBeGreaterThanOrEqual(2)
}

const wrongTypes: readonly unknown[] = [null, true, 'x', {}, [], () => {}, Symbol('s'), 1n]
const except = (...types: string[]): unknown[] => wrongTypes.filter((value) => !types.includes(typeof value))

/** What no whole number from `min` to `max` is. */
const notWhole = (min: number, max: number): unknown[] => [
  min - 1,
  max + 1,
  min + 0.5,
  Number.NaN,
  Number.POSITIVE_INFINITY,
  Number.NEGATIVE_INFINITY,
]

const numbers: Record<string, [number, number]> = {
  port: [0, 65_535],
  recvBufferSize: [1, 0x7fff_ffff],
  sendBufferSize: [1, 0x7fff_ffff],
  fd: [0, 0x7fff_ffff],
  bufferSize: [1, 16 * 1024 * 1024],
  capacity: [1, 1 << 20],
  batchSize: [1, 1024],
}
const booleans = ['ipv6Only', 'reuseAddr', 'reusePort', 'timestamps']
const words = ['type', 'onTruncated', 'backend']

const bindTable: [string, unknown, string][] = [
  ...Object.entries(numbers).flatMap(([option, [min, max]]): [string, unknown, string][] => [
    ...except('undefined').map((value): [string, unknown, string] => [option, value, TYPE]),
    ...notWhole(min, max).map((value): [string, unknown, string] => [option, value, RANGE]),
  ]),
  ...booleans.flatMap((option) =>
    [...except('boolean'), 0, 1].map((value): [string, unknown, string] => [option, value, TYPE]),
  ),
  ...words.flatMap((option): [string, unknown, string][] => [
    ...except('string').map((value): [string, unknown, string] => [option, value, TYPE]),
    [option, '', RANGE],
    [option, 'UDP4', RANGE],
  ]),
  ...[...except('string'), 4].map((value): [string, unknown, string] => ['address', value, TYPE]),
  ['address', '', ADDRESS],
  ['address', 'x'.repeat(256), ADDRESS],
  ['address', 'not a host', ADDRESS],
  ['address', '999.1.1.1.1', ADDRESS],
  ['address', 'fe80::1%no-such-zone', ADDRESS],
  ...[...except(), 1, { aborted: false }, { aborted: 1, addEventListener() {} }].map(
    (value): [string, unknown, string] => ['signal', value, TYPE],
  ),
  ...[...except(), 1, { capacity: 1 }].map((value): [string, unknown, string] => ['pool', value, TYPE]),
]

const name = (value: unknown): string => {
  if (typeof value === 'string') return JSON.stringify(value.slice(0, 20))
  if (typeof value === 'object' && value !== null) return Array.isArray(value) ? '[]' : JSON.stringify(value)
  return typeof value === 'bigint' ? `${value}n` : String(value)
}

describe('UdpSocket.bind', () => {
  // `null` stands for "nothing" nowhere: an option that is not wanted is left out.
  test.each(bindTable.map(([option, value, code]) => [option, name(value), value, code] as const))(
    'refuses %s: %s',
    async (option, _shown, value, code) => {
      const options = { [option]: value } as UdpSocketOptions
      expectRefusal(await UdpSocket.bind(options).catch((error: unknown) => error), code, option)
    },
  )

  test.each([[null], [1], ['x'], [[]], [true], [() => {}]])('refuses %s for options', async (options) => {
    const error = await UdpSocket.bind(options as never).catch((thrown: unknown) => thrown)
    expectRefusal(error, TYPE, 'UdpSocket.bind options')
  })

  test.each([
    ['Port', 'Did you mean port?'],
    ['recvBuffersize', 'Did you mean recvBufferSize?'],
    ['lookup', 'Remove the option.'],
    ['__proto__x', 'Remove the option.'],
  ])('refuses the unknown option %s', async (option, advice) => {
    const error = await UdpSocket.bind({ [option]: 1 } as never).catch((thrown: unknown) => thrown)
    expectRefusal(error, 'WRAITH_ERR_UNKNOWN_OPTION', option)
    expect((error as Error).message).toContain(advice)
  })

  const pool = new BufferPool({ capacity: 1 })
  test.each<[string, UdpSocketOptions, string, string]>([
    ['pool with bufferSize', { pool, bufferSize: 1 }, TYPE, 'bufferSize'],
    ['pool with capacity', { pool, capacity: 1 }, TYPE, 'capacity'],
    ['ipv6Only on IPv4', { ipv6Only: true }, ADDRESS, 'ipv6Only'],
    ['an IPv6 address for udp4', { type: 'udp4', address: '::1' }, ADDRESS, 'address'],
    ['an IPv4 address for udp6', { type: 'udp6', address: '127.0.0.1' }, ADDRESS, 'address'],
    ['more memory than a slab', { bufferSize: 1 << 24, capacity: 1 << 20 }, RANGE, 'capacity'],
  ])('refuses %s', async (_what, options, code, option) => {
    expectRefusal(await UdpSocket.bind(options).catch((error: unknown) => error), code, option)
  })

  test('memory that cannot be had is an error, and the process lives', async () => {
    const result = await resultOf(`
      import { execFileSync } from 'node:child_process'
      const warm = await UdpSocket.bind({ capacity: 4 })
      const pages = Number(readFileSync('/proc/self/statm', 'utf8').split(' ')[0])
      execFileSync('prlimit', ['--pid', String(process.pid), '--as=' + (pages * 4096 + 2 ** 30)])
      let failed
      try { await UdpSocket.bind({ bufferSize: 4032, capacity: 1 << 20 }) } catch (error) { failed = [error.code] }
      const socket = await UdpSocket.bind({ capacity: 4 })
      await Promise.all([warm.close(), socket.close()])
      print(failed)
    `)
    expect(result).toEqual(['WRAITH_ERR_NO_MEMORY'])
  })

  test('a port that needs a right is refused to a process without it', async (context) => {
    const start = Number(
      execFileSync('sysctl', ['-n', 'net.ipv4.ip_unprivileged_port_start'], { encoding: 'utf8' }),
    )
    if (process.getuid?.() !== 0 || start <= 1) {
      const reason = 'needs root, to give up its rights, and a port that needs them'
      console.warn(reason)
      context.skip(reason)
    }
    const result = await resultOf(
      `
      process.setgid(65534)
      process.setuid(65534)
      try { await UdpSocket.bind({ port: 1, address: '127.0.0.1' }) } catch (error) {
        print([error.code, error.syscall, error.message])
      }
      `,
    )
    expect(result).toEqual(['WRAITH_ERR_PERMISSION', 'bind', expect.stringMatching(/CAP_NET_BIND_SERVICE/)])
  })
})

/** Every call with an argument, with what it refuses. */
const callTable: [string, (socket: UdpSocket) => unknown, string, string | undefined][] = [
  ...[...except('function'), undefined, 1].map((value): (typeof callTable)[number] => [
    'consume',
    (s) => s.consume(value as never),
    TYPE,
    'handler',
  ]),
  ...[...except('string'), undefined, 1, new Uint16Array(1), new ArrayBuffer(1)].map(
    (value): (typeof callTable)[number] => ['send', (s) => s.send(value as never, 9), TYPE, 'bytes'],
  ),
  [
    'send of shared memory',
    (s) => s.send(new Uint8Array(new SharedArrayBuffer(1)), 9),
    'WRAITH_ERR_SHARED_MEMORY',
    'bytes',
  ],
  ...except('object').map((value): (typeof callTable)[number] => [
    'send to',
    (s) => s.send('x', value as never),
    TYPE,
    'port',
  ]),
  ...[0, ...notWhole(1, 65_535)].map((value): (typeof callTable)[number] => [
    'send to',
    (s) => s.send('x', value as never),
    RANGE,
    'port',
  ]),
  ['send to a peer without port', (s) => s.send('x', { address: '127.0.0.1' } as never), TYPE, 'port'],
  ['send to a peer without address', (s) => s.send('x', { port: 9 } as never), TYPE, 'peer.address'],
  ['send to no address', (s) => s.send('x', 9, 1 as never), TYPE, 'address'],
  ['send to an empty address', (s) => s.send('x', 9, ''), ADDRESS, 'address'],
  ['send to a host name', (s) => s.send('x', 9, 'localhost'), ADDRESS, 'address'],
  ['send to another family', (s) => s.send('x', 9, '::1'), ADDRESS, 'address'],
  ['send without a destination', (s) => s.send('x'), 'WRAITH_ERR_NOT_CONNECTED', undefined],
  [
    'send of too much',
    (s) => s.send(new Uint8Array(65_508), s.address()),
    'WRAITH_ERR_MESSAGE_TOO_LARGE',
    undefined,
  ],
  ...[...except(), 1, Buffer.from('x'), { bytes: Buffer.from('x'), length: 1 }].map(
    (value): (typeof callTable)[number] => ['sendOwned', (s) => s.sendOwned(value as never), TYPE, 'guard'],
  ),
  ...(['setTTL', 'setMulticastTTL'] as const).flatMap((method): typeof callTable => [
    ...[...wrongTypes, undefined].map((value): (typeof callTable)[number] => [
      method,
      (s) => s[method](value as never),
      TYPE,
      'ttl',
    ]),
    ...notWhole(method === 'setTTL' ? 1 : 0, 255).map((value): (typeof callTable)[number] => [
      method,
      (s) => s[method](value as never),
      RANGE,
      'ttl',
    ]),
  ]),
  ...(['setBroadcast', 'setMulticastLoopback'] as const).flatMap((method) =>
    [...except('boolean'), undefined, 1].map((value): (typeof callTable)[number] => [
      method,
      (s) => s[method](value as never),
      TYPE,
      'on',
    ]),
  ),
  ...(['addMembership', 'dropMembership'] as const).flatMap((method): typeof callTable => [
    [method, (s) => s[method](undefined as never), TYPE, 'group'],
    [method, (s) => s[method](1 as never), TYPE, 'group'],
    [method, (s) => s[method](''), ADDRESS, 'group'],
    [method, (s) => s[method]('10.0.0.1'), ADDRESS, 'group'],
    [method, (s) => s[method]('ff02::1'), ADDRESS, 'group'],
    [method, (s) => s[method]('239.1.1.1', 1 as never), TYPE, 'multicastInterface'],
    [method, (s) => s[method]('239.1.1.1', ''), ADDRESS, 'multicastInterface'],
  ]),
  [
    'addMembership by a wrong interface',
    (s) => s.addMembership('239.1.1.1', 'eth0'),
    ADDRESS,
    'multicastInterface',
  ],
  ...(['addSourceSpecificMembership', 'dropSourceSpecificMembership'] as const).flatMap(
    (method): typeof callTable => [
      [method, (s) => s[method](undefined as never, '239.1.1.1'), TYPE, 'source'],
      [method, (s) => s[method]('', '239.1.1.1'), ADDRESS, 'source'],
      [method, (s) => s[method]('127.0.0.1', undefined as never), TYPE, 'group'],
      [method, (s) => s[method]('::1', '239.1.1.1'), ADDRESS, 'source'],
      [method, (s) => s[method]('127.0.0.1', '10.0.0.1'), ADDRESS, 'group'],
    ],
  ),
  ['setMulticastInterface', (s) => s.setMulticastInterface(undefined as never), TYPE, 'multicastInterface'],
  ['setMulticastInterface', (s) => s.setMulticastInterface('::'), ADDRESS, 'multicastInterface'],
  [
    'setMulticastInterface',
    (s) => s.setMulticastInterface('192.0.2.1'),
    'WRAITH_ERR_ADDRESS_NOT_AVAILABLE',
    'multicastInterface',
  ],
  ['on', (s) => s.on('no such event' as never, () => {}), TYPE, 'event'],
  ['on', (s) => s.on('drain', 1 as never), TYPE, 'listener'],
  ['once', (s) => s.once('drain', undefined as never), TYPE, 'listener'],
  ['off', (s) => s.off('drain', null as never), TYPE, 'listener'],
  ...[undefined, ...wrongTypes].map((value): (typeof callTable)[number] => [
    'connect',
    (s) => s.connect(value as never),
    TYPE,
    'port',
  ]),
  ...notWhole(1, 65_535).map((value): (typeof callTable)[number] => [
    'connect',
    (s) => s.connect(value as never),
    RANGE,
    'port',
  ]),
  ['connect', (s) => s.connect(9, 1 as never), TYPE, 'address'],
  ['connect', (s) => s.connect(9, ''), ADDRESS, 'address'],
  ['connect', (s) => s.connect(9, '::1'), ADDRESS, 'address'],
  ['connect', (s) => s.connect(9, 'no such host'), ADDRESS, 'address'],
]

test.each(callTable.map(([call, run, code, option], row) => [call, row, run, code, option] as const))(
  '%s refuses row %d of the table',
  async (_call, _row, run, code, option) => {
    const socket = await bind({ capacity: 4 })
    let error: unknown
    try {
      await run(socket)
    } catch (thrown) {
      error = thrown
    }
    expectRefusal(error, code, option)
    // The socket is as good as before.
    socket.send('x', socket.address())
    expect(socket.tryReceive()?.length).toBe(1)
  },
)

test('resizable memory is refused, where there is such a thing', async () => {
  const socket = await bind({ capacity: 4 })
  const resizable = new (ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer)(8, {
    maxByteLength: 16,
  })
  expect(() => socket.send(new Uint8Array(resizable), 9)).toThrow(
    expect.objectContaining({ code: 'WRAITH_ERR_SHARED_MEMORY' }),
  )
})

test('detached bytes are sent as what they are: none', async () => {
  const socket = await bind({ capacity: 4 })
  const bytes = new Uint8Array(8)
  structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
  socket.send(bytes, socket.address())
  expect(socket.tryReceive()?.bytes(0).length).toBe(0)
})

test('the constructor is not for users', () => {
  expect(() => new (UdpSocket as unknown as new () => unknown)()).toThrow()
})
