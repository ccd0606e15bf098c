import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import type { XdpFinding, XdpProbe } from 'wraith-transport'
import { missingForNamespaces } from '../support/netns.js'
import { CapableNode, LOCKED_MEMORY, missingForCapabilities } from '../support/unprivileged.js'
import { VethPair } from '../support/veth.js'
import { xdpTools } from '../support/xdp.js'

// As docs/xdp-rights.md has it.
const RECIPE = 'cap_net_admin,cap_net_raw,cap_bpf,cap_ipc_lock=ep'
const AMBIENT = '+net_admin,+net_raw,+bpf,+ipc_lock'
/** Bytes of the frames of one queue by default. */
const FRAMES = 64 * 1024 * 1024

interface Outcome {
  uid: number
  probed: XdpProbe
  tried: { returned?: string; code?: string; message?: string }
  opened: { frames?: number; code?: string; message?: string }
}

const aboutProcess = ({ findings }: XdpProbe): XdpFinding[] =>
  findings.filter(({ about }) => about === 'process')

const reason = missingForNamespaces() ?? missingForCapabilities()

describe('a user who is not root, by a copy of Node.js with capabilities of its own', () => {
  let pair: VethPair
  let capable: CapableNode
  beforeAll(() => {
    if (reason !== undefined) return
    pair = new VethPair()
    capable = new CapableNode()
  })
  afterAll(() => {
    capable?.[Symbol.dispose]()
    pair?.[Symbol.dispose]()
  })

  function rightsTest(
    name: string,
    { file, ambient }: { file?: string | undefined; ambient?: string },
    check: (outcome: Outcome) => void,
  ): void {
    test(name, async (context) => {
      if (reason !== undefined) {
        console.warn(`${name}: ${reason}`)
        context.skip(reason)
      }
      capable.grant(file)
      check(
        await pair.near.resultOf<Outcome>(
          `${xdpTools}
          const frame = Buffer.concat([Buffer.alloc(12), Buffer.from([0x88, 0xb5]), Buffer.alloc(46)])
          print({
            uid: process.getuid(),
            probed: probe('wraith0'),
            tried: thrownBy(() => testFilter({ etherTypes: [0x88b5] }, frame)),
            opened: await XdpSocket.open('wraith0', { filter: { etherTypes: [0x88b5] } }).then(
              async (xdp) => {
                const frames = xdp.info().framesPerQueue
                await xdp.close()
                return { frames }
              },
              ({ code, message }) => ({ code, message }),
            ),
          })
          `,
          capable.options(ambient),
        ),
      )
    })
  }

  rightsTest('has what it needs with four capabilities', { file: RECIPE }, allThere)

  // AmbientCapabilities= with NoNewPrivileges=yes.
  rightsTest('has what it needs from a service manager', { ambient: AMBIENT }, allThere)

  function allThere({ uid, probed, tried, opened }: Outcome): void {
    expect(uid).toBe(65_534)
    expect(probed).toMatchObject({ ready: true, missingCapabilities: [] })
    expect(probed).not.toHaveProperty('lockedMemoryBytes')
    expect(aboutProcess(probed)).toEqual([])
    expect(tried).toEqual({ returned: 'socket' })
    expect(opened).toEqual({ frames: FRAMES / 2048 })
  }

  rightsTest(
    'lacks nothing but memory that may be locked with three, and is told what lifts that limit',
    { file: 'cap_net_admin,cap_net_raw,cap_bpf=ep' },
    ({ probed, tried, opened }) => {
      expect(opened.code).toBe('WRAITH_ERR_NO_MEMORY')
      expect(opened.message).toContain('RLIMIT_MEMLOCK')
      expect(probed).toMatchObject({
        ready: false,
        missingCapabilities: [],
        lockedMemoryBytes: LOCKED_MEMORY,
      })
      expect(aboutProcess(probed)).toMatchObject([
        { severity: 'blocking', what: expect.stringContaining(`take ${FRAMES} by default`) },
      ])
      const [{ remedy } = { remedy: '' }] = aboutProcess(probed)
      for (const word of ['`ulimit -l 65536`', 'LimitMEMLOCK=', 'CAP_IPC_LOCK', 'memoryBudget']) {
        expect(remedy).toContain(word)
      }
      expect(tried).toEqual({ returned: 'socket' })
    },
  )

  for (const [what, capabilities, missing] of [
    ['all of them', undefined, ['CAP_NET_ADMIN', 'CAP_NET_RAW', 'CAP_BPF']],
    ['CAP_NET_ADMIN and CAP_BPF', 'cap_net_raw=ep', ['CAP_NET_ADMIN', 'CAP_BPF']],
    ['CAP_NET_RAW', 'cap_net_admin,cap_bpf=ep', ['CAP_NET_RAW']],
    ['CAP_BPF', 'cap_net_admin,cap_net_raw=ep', ['CAP_BPF']],
  ] as const) {
    rightsTest(
      `is told exactly what is missing: ${what}`,
      { file: capabilities },
      ({ probed, tried, opened }) => {
        expect(probed).toMatchObject({ ready: false, missingCapabilities: missing })
        const lacks = aboutProcess(probed).filter((finding) => finding.what.includes('lacks'))
        expect(lacks).toMatchObject([
          { severity: 'blocking', what: `This process lacks ${missing.join(', ')}` },
        ])
        const recipe = `\`setcap ${missing.join(',').toLowerCase()}=ep <the program>\``
        expect(lacks[0]?.remedy).toContain(recipe)
        expect([tried.code, opened.code]).toEqual(['WRAITH_ERR_PERMISSION', 'WRAITH_ERR_PERMISSION'])
        expect(opened.message).toContain(`grant ${missing.join(', ')}:`)
        expect(tried.message).toContain(recipe)
        expect(tried.message).toContain(`grant ${missing.join(', ')}:`)
      },
    )
  }

  test('has no use of NODE_OPTIONS, which such a Node.js ignores, but of the environment', async (context) => {
    if (reason !== undefined) {
      console.warn(reason)
      context.skip(reason)
    }
    capable.grant(RECIPE)
    const env = { PATH: process.env['PATH'], NODE_OPTIONS: '--title=by-options', OURS: 'seen' }
    const seen = await pair.near.resultOf<[string, string]>('print([process.title, process.env.OURS])', {
      ...capable.options(),
      env,
    })
    expect(seen[0]).not.toBe('by-options')
    expect(seen[1]).toBe('seen')
  })
})
