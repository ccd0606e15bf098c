import { describe, expect, test } from 'vitest'
import { type WraithErrorCode, XdpSocket, type XdpSocketOptions } from 'wraith-transport'
import { expectRefusal, rejectionOf, thrownBy } from './support/errors.js'

const RANGE = 'WRAITH_ERR_OUT_OF_RANGE'
const TYPE = 'WRAITH_ERR_INVALID_ARG_TYPE'

type Case = readonly [option: string, value: unknown, code: WraithErrorCode, given: string, allowed: RegExp]

const numbers: Case[] = [
  ['memoryBudget', 32_767, RANGE, '32767', /32768 to 68719476736/],
  ['memoryBudget', 2 ** 37, RANGE, '137438953472', /to 68719476736/],
  ['memoryBudget', '64MiB', TYPE, '"64MiB"', /whole number/],
  ['frames', 15, RANGE, '15', /16 to 1048576/],
  ['frames', 2 ** 20 + 1, RANGE, '1048577', /16 to 1048576/],
  ['frames', 16.5, RANGE, '16.5', /whole number/],
  ['frames', null, TYPE, 'null', /whole number/],
  ['frameSize', 1500, RANGE, '1500', /2048/],
  ['frameSize', 3000, RANGE, '3000', /2048 or 4096/],
  ['frameSize', '2048', TYPE, '"2048"', /2048/],
  ['headroom', -1, RANGE, '-1', /0 to 4096/],
  ['headroom', NaN, RANGE, 'NaN', /0 to 4096/],
  ['txFrames', -1, RANGE, '-1', /0 to 1048576/],
  ['rxRing', 0, RANGE, '0', /1 to 1048576/],
  ['rxRing', 1000, RANGE, '1000', /power of two.*Use 1024/],
  ['txRing', 3, RANGE, '3', /power of two.*Use 4/],
  ['txRing', 2 ** 21, RANGE, '2097152', /0 to 1048576/],
  ['batchSize', 0, RANGE, '0', /1 to 1024/],
  ['batchSize', 1025, RANGE, '1025', /1 to 1024/],
  ['batchSize', 64n, TYPE, '64n', /whole number/],
  ['ticketTimeout', -1, RANGE, '-1', /0 to 2147483647/],
  ['ticketTimeout', Infinity, RANGE, 'Infinity', /0 to 2147483647/],
]

const words: Case[] = [
  ['mode', 'fast', RANGE, '"fast"', /'auto', 'zerocopy', 'copy', 'generic'/],
  ['mode', 5, TYPE, '5', /'auto', 'zerocopy', 'copy', 'generic'/],
  ['promiscuous', 1, TYPE, '1', /true or false/],
  ['hugePages', 'yes', TYPE, '"yes"', /true or false/],
  ['queues', 0, TYPE, '0', /array of queue numbers/],
  ['queues[1]', [0, -1], RANGE, '-1', /0 to 4095/],
  ['queues[0]', ['0'], TYPE, '"0"', /0 to 4095/],
  ['queues.length', [], RANGE, '0', /Name a queue/],
  ['busyPoll.usecs', {}, TYPE, 'undefined', /1 to 1000000/],
  ['busyPoll.usecs', { usecs: 0 }, RANGE, '0', /1 to 1000000/],
  ['busyPoll.budget', { usecs: 1, budget: 65_536 }, RANGE, '65536', /1 to 65535/],
  ['busyPoll.budget', { usecs: 1, budget: 0 }, RANGE, '0', /1 to 65535/],
  ['busyPoll options', true, TYPE, 'true', /object/],
  ['signal', {}, TYPE, 'an object', /AbortSignal/],
]

const handles: Case[] = [
  ['views', 'mapped', RANGE, '"mapped"', /'zero-copy', 'copied'/],
  ['views', 1, TYPE, '1', /'zero-copy', 'copied'/],
]

const nameOf = ([option]: Case): string => option.replace(/[.[ ].*/, '')
const titled = (cases: readonly Case[]) =>
  cases.map((each) => [`${each[0]} of ${each[3]}${each[1] === 'object' ? ' (object)' : ''}`, each] as const)

const opened = (options: unknown, name: unknown = 'lo') =>
  rejectionOf(() => XdpSocket.open(name as string, options as XdpSocketOptions))

describe.each([
  ['open', [...numbers, ...words, ...handles], opened],
  [
    'openQueues',
    [...numbers, ...words],
    (options: unknown, name: unknown = 'lo') =>
      rejectionOf(() => XdpSocket.openQueues(name as string, options as XdpSocketOptions)),
  ],
] as const)('XdpSocket.%s refuses', (call, cases, act) => {
  test.each(titled(cases))('%s, by name', async (_title, each) => {
    const [option, value, code, given, allowed] = each
    const error = await act({ filter: { udpPorts: [9] }, [nameOf(each)]: value })
    expectRefusal(error, { code, option, given, allowed })
  })

  test.each([
    [undefined, TYPE, 'undefined'],
    [5, TYPE, '5'],
    ['', RANGE, '""'],
    ['sixteen-letters-', RANGE, 'sixteen'],
    ['eth 0', RANGE, '"eth 0"'],
    ['a/b', RANGE, '"a/b"'],
  ] as const)('the interface %o', async (name, code, given) => {
    expectRefusal(await act({ filter: 'all' }, name ?? null), {
      code,
      option: 'interface',
      given: name === undefined ? 'null' : given,
    })
  })

  test('options that it does not have, and what is none', async () => {
    const unknown = await act({ filter: 'all', frame: 64 })
    expectRefusal(unknown, {
      code: 'WRAITH_ERR_UNKNOWN_OPTION',
      option: 'frame',
      allowed: /Did you mean frames\?/,
    })
    if (call === 'openQueues') {
      for (const option of ['umem', 'views']) {
        expectRefusal(await act({ filter: 'all', [option]: 'copied' }), {
          code: 'WRAITH_ERR_UNKNOWN_OPTION',
          option,
        })
      }
    }
    for (const none of [null, 5, []]) {
      expectRefusal(await act(none), {
        code: TYPE,
        option: `XdpSocket.${call} options`,
        allowed: /an object/,
      })
    }
  })

  test('no filter: what it selects never reaches the kernel, so it has to be said', async () => {
    expectRefusal(await act({}), { code: TYPE, option: 'filter', allowed: /'none' to send only/ })
  })

  test('a signal that has fired, and rejects with its reason', async () => {
    const reason = new Error('mine')
    const error = await act({ filter: 'all', signal: AbortSignal.abort(reason) })
    expectRefusal(error, { code: 'WRAITH_ERR_ABORTED', option: 'signal' })
    expect(error.cause).toBe(reason)
  })

  test('an interface that there is not, before it asks for a right', async () => {
    const error = await act({ filter: 'all' }, 'nosuchlink0')
    expectRefusal(error, {
      code: 'WRAITH_ERR_ADDRESS_NOT_AVAILABLE',
      given: '"nosuchlink0"',
      allowed: /`ip link`/,
    })
  })
})

describe('XdpSocket.attach refuses', () => {
  const token = { kind: 'wraith-transport/xdp', id: '0'.repeat(32) } as const
  test.each(titled([...handles, ['signal', 5, TYPE, '5', /AbortSignal/]]))('%s, by name', (_title, each) => {
    const [option, value, code, given, allowed] = each
    const error = thrownBy(() => XdpSocket.attach(token, { [option]: value }))
    expectRefusal(error, { code, option, given, allowed })
  })

  test('options of others, a signal that has fired, what is no token, and one that names nothing', () => {
    const other = thrownBy(() => XdpSocket.attach(token, { frames: 5 } as never))
    expectRefusal(other, { code: 'WRAITH_ERR_UNKNOWN_OPTION', option: 'frames' })
    const fired = thrownBy(() => XdpSocket.attach(token, { signal: AbortSignal.abort() }))
    expectRefusal(fired, { code: 'WRAITH_ERR_ABORTED', option: 'signal' })
    for (const none of [
      undefined,
      null,
      'x',
      {},
      { ...token, id: 'F'.repeat(32) },
      { ...token, kind: 'x' },
    ]) {
      const error = thrownBy(() => XdpSocket.attach(none as never))
      expectRefusal(error, { code: TYPE, option: 'token', allowed: /share\(\)/ })
    }
    expectRefusal(
      thrownBy(() => XdpSocket.attach(token)),
      { code: 'WRAITH_ERR_STALE_TOKEN' },
    )
  })
})

test('zero-copy views are there where ArrayBuffers can be renamed, and else refused', async () => {
  const error = await opened({ filter: 'all', views: 'zero-copy' }, 'nosuchlink0')
  if ('transfer' in ArrayBuffer.prototype) expect(error.code).toBe('WRAITH_ERR_ADDRESS_NOT_AVAILABLE')
  else {
    const given = process.versions.node
    expectRefusal(error, { code: 'WRAITH_ERR_UNSUPPORTED', option: 'views', given, allowed: /Node\.js 22/ })
  }
})
