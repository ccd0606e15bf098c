import { once } from 'node:events'
import { expect } from 'vitest'
import { childPath } from '../support/child.js'
import { expectOneThingToDo } from '../support/errors.js'
import { type VethOptions, vethTest } from '../support/veth.js'
import { startNear } from '../support/xdp-ends.js'

interface Refused {
  readonly code: string
  readonly option?: string
  readonly message: string
}

/** Each has to be refused as it says, and the interface is as it was. */
function refusedTest(
  name: string,
  veth: VethOptions,
  cases: readonly (readonly [options: string, code: string, option: string | undefined, words: RegExp])[],
): void {
  vethTest(name, veth, async (pair) => {
    const near = startNear(
      pair,
      `
      for (const options of [${cases.map(([options]) => options).join(', ')}]) {
        print(await rejectionOf(() => XdpSocket.open('wraith0', { filter: { udpPorts: [PORT] }, ...options })))
      }
      `,
    )
    for (const [options, code, option, words] of cases) {
      const refused = await near.next<Refused>()
      expect({ options, code: refused.code, option: refused.option }).toEqual({ options, code, option })
      expect(refused.message).toMatch(words)
      expectOneThingToDo(refused.message)
    }
    expect((await near.end()).code).toBe(0)
    expect(pair.near.run('ip -d link show wraith0')).not.toContain('xdp')
  })
}

const RANGE = 'WRAITH_ERR_OUT_OF_RANGE'

refusedTest('what does not add up on this interface is refused by name, with the numbers', { queues: 2 }, [
  [
    '{ memoryBudget: 40_000 }',
    RANGE,
    'memoryBudget',
    /^memoryBudget is 40000 bytes, which gives each of 2 queues 9 frames.*16 are needed/,
  ],
  ['{ queues: [2] }', RANGE, 'queues', /queues is \[2\]; wraith0 has queues 0 to 1/],
  ['{ queues: [1, 1] }', RANGE, 'queues', /each may be named once/],
  ['{ headroom: 1800 }', RANGE, 'headroom', /headroom is 1800; with frames of 2048 bytes/],
  ['{ frames: 64, txFrames: 65 }', RANGE, 'txFrames', /txFrames is 65; each queue has 64 frames/],
  ['{ frames: 64, txFrames: 64 }', RANGE, 'txFrames', /leaves none of 64 frames/],
  [
    '{ frames: 2 ** 20 }',
    RANGE,
    'frames',
    /makes a UMEM of 4294967296 bytes for 2 queues.*Lower memoryBudget or frames/,
  ],
  [
    "{ filter: 'none', txRing: 0 }",
    RANGE,
    undefined,
    /txRing is 0: the socket could neither receive nor send/,
  ],
  [
    "{ mode: 'zerocopy', frames: 64 }",
    'WRAITH_ERR_UNSUPPORTED',
    undefined,
    /no zero-copy AF_XDP for queue 0 of wraith0.*mode auto or copy/,
  ],
])

refusedTest('an MTU larger than a frame is refused with the frame that would do', { mtu: 3000 }, [
  [
    '{}',
    'WRAITH_ERR_MESSAGE_TOO_LARGE',
    undefined,
    /MTU of wraith0 is 3000.*up to an MTU of 1774\. Use frameSize 4096/,
  ],
  [
    '{ headroom: 256 }',
    'WRAITH_ERR_MESSAGE_TOO_LARGE',
    undefined,
    /256 bytes of headroom.*Use frameSize 4096/,
  ],
  [
    '{ frameSize: 4096, headroom: 1000 }',
    'WRAITH_ERR_MESSAGE_TOO_LARGE',
    undefined,
    /`ip link set dev wraith0 mtu 2822`/,
  ],
])

refusedTest('one larger than any frame is refused with the command that lowers it', { mtu: 9000 }, [
  ['{}', 'WRAITH_ERR_MESSAGE_TOO_LARGE', undefined, /`ip link set dev wraith0 mtu 1774`/],
  ['{ frameSize: 4096 }', 'WRAITH_ERR_MESSAGE_TOO_LARGE', undefined, /`ip link set dev wraith0 mtu 3822`/],
])

vethTest(
  'another program and another process are named as what is in the way, and only while they are there',
  {},
  async (pair) => {
    const near = startNear(
      pair,
      `
    for (;;) {
      const filter = await next()
      if (filter === 'end') break
      const refused = await rejectionOf(() => open({ filter }))
      if (refused.returned !== undefined) await ended(refused.returned)
      print(refused.returned === undefined ? refused : 'opened')
    }
    `,
    )
    const tried = (filter: unknown): Promise<Refused | string> => {
      near.tell(filter)
      return near.next()
    }
    const program = pair.near.spawn('perl', [childPath('foreign-xdp.pl'), 'wraith0'])
    await once(program.stdout, 'data')
    const id = /prog\/xdp id (\d+)/.exec(pair.near.run('ip -d link show wraith0'))?.[1]
    const foreign = (await tried({ udpPorts: [9] })) as Refused
    expect(foreign.code).toBe('WRAITH_ERR_ADDRESS_IN_USE')
    expect(foreign.message).toContain(`${id}`)
    expectOneThingToDo(foreign.message)
    program.stdin.end()
    await once(program, 'close')
    expect(await tried({ udpPorts: [9] })).toBe('opened')

    const other = startNear(
      pair,
      "const xdp = await open({ filter: 'none' })\nprint('open')\nawait next()\nawait ended(xdp)",
    )
    expect(await other.next()).toBe('open')
    const bound = (await tried({ udpPorts: [9] })) as Refused
    expect(bound).toMatchObject({
      code: 'WRAITH_ERR_ADDRESS_IN_USE',
      message: expect.stringMatching(/Another AF_XDP socket is bound to queue 0 of wraith0.*`queues`/),
    })
    other.tell('close')
    expect((await other.end()).code).toBe(0)
    expect(await tried({ udpPorts: [9] })).toBe('opened')
    near.tell('end')
    expect((await near.end()).code).toBe(0)
  },
)

vethTest(
  "'none' has no program to be changed from or to; other filters are read as in open",
  {},
  async (pair) => {
    const near = startNear(
      pair,
      `
    const sends = await open({ filter: 'none' })
    const refused = [thrownBy(() => sends.setFilter('all'))]
    await ended(sends)
    const xdp = await open()
    const before = xdp.info()
    refused.push(thrownBy(() => xdp.setFilter('none')), thrownBy(() => xdp.setFilter()), thrownBy(() => xdp.setFilter({ udpPorts: [70_000] })))
    const kept = xdp.info().filter
    xdp.setFilter({ udpPorts: [1, 2] })
    const { filter, programId } = xdp.info()
    print({ refused, kept, filter, changed: programId !== before.programId })
    await ended(xdp)
    `,
    )
    expect(await near.next()).toMatchObject({
      refused: [
        { code: 'WRAITH_ERR_UNSUPPORTED', option: 'filter' },
        { code: 'WRAITH_ERR_UNSUPPORTED', option: 'filter' },
        { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'filter' },
        { code: RANGE, option: 'filter.udpPorts[0]' },
      ],
      ...{ kept: 'udp/6343', filter: 'udp/1,2', changed: true },
    })
    expect((await near.end()).code).toBe(0)
  },
)
