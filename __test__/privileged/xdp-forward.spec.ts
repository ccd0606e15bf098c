import { execFileSync } from 'node:child_process'
import { expect } from 'vitest'
import { Namespace } from '../support/netns.js'
import type { NodeProcess } from '../support/node-process.js'
import { FAR, NEAR, type VethPair, vethTest } from '../support/veth.js'
import { FarEnd, startNear, xdpNear } from '../support/xdp-ends.js'

const CLEAN = { code: 0, signal: null, stderr: '' }

/** A second wire, from `wraith2` in the near namespace to `wraith3` in another one, in the same network. */
function secondWire({ near }: VethPair): Namespace {
  const beyond = new Namespace()
  const link = `link add wraith2 netns ${near.name} address 02:00:00:00:00:0c type veth peer name wraith3 netns ${beyond.name} address 02:00:00:00:00:0d`
  execFileSync('ip', link.split(' '), { stdio: 'pipe' })
  near.run('ip link set wraith2 up')
  beyond.run('ip addr add 192.0.2.3/24 dev wraith3')
  beyond.run('ip link set wraith3 up')
  beyond.run(`ip neigh add ${FAR} lladdr 02:00:00:00:00:0c dev wraith3 nud permanent`)
  beyond.run(`ip neigh add ${NEAR} lladdr 02:00:00:00:00:0c dev wraith3 nud permanent`)
  // Carrier comes a moment after both ends are up.
  for (let look = 0; look < 2000; look++) {
    if (/ UP /.test(beyond.run('ip -br link show wraith3'))) return beyond
  }
  throw new Error('wraith3 does not come up')
}

/** Gives every frame the addresses of the other wire, and its UDP checksum, which a veth leaves unfinished, is left out. */
const REWRITE = `
  const toBeyond = Buffer.from('02000000000d02000000000c', 'hex')
  const rewrite = (batch) => {
    for (let i = 0; i < batch.length; i++) {
      const frame = batch.bytes(i)
      frame.set(toBeyond, 0)
      frame.writeUInt16BE(0, 40)
    }
  }
`

async function forwarded(pair: VethPair, umem: boolean): Promise<void> {
  using beyond = secondWire(pair)
  const near = startNear(
    pair,
    `${REWRITE}
    const first = await open({ txFrames: ${umem ? 256 : 64}, filter: { udpPorts: [PORT] } })
    const second = await XdpSocket.open('wraith2', { filter: 'none', ${umem ? 'umem: first, frames: 64' : 'frames: 512'} })
    const [pools, others] = [first.pool, second.pool]
    let stays = 0
    first.consume((batch) => {
      rewrite(batch)
      let sent = 0
      while (sent < batch.length) {
        const now = second.send(batch, ${umem ? '{}' : '{ rows: Array.from({ length: batch.length - sent }, (_, i) => sent + i) }'})
        sent += now
      }
      try {
        batch.bytes(0)
        stays++
      } catch {}
    })
    print({ capacity: [pools.capacity, others.capacity] })
    await next()
    await until(() => second.metrics().txCompletions === 600)
    print({ stays: stays > 0, rx: first.metrics().rxPackets, tx: second.metrics().txPackets, own: first.metrics().txPackets })
    // Each goes on without the other.
    await second.close()
    const guard = first.pool.acquire()
    guard.dispose()
    faultless(second.metrics())
    await ended(first)
    const { posted, op, batched } = second.pool.audit()
    print({ posted, op, batched })
    `,
  )
  const far = new FarEnd(pair.far)
  const beyondEnd = new FarEnd(beyond)
  await beyondEnd.listen()
  // The frames are for the near end, whose address the far one of the other wire has as well.
  beyond.run(`ip addr add ${NEAR}/32 dev wraith3`)
  expect(await near.next()).toEqual({ capacity: umem ? [512, 512] : [512, 512] })
  for (let first = 0; first < 600; first += 100) {
    expect(await far.send({ count: 100, first, sizes: [8, 900, 1472] })).toMatchObject({ wire: 0, failed: 0 })
    await beyondEnd.heard(first + 100)
  }
  near.tell('sent')
  expect(await beyondEnd.heard(600)).toMatchObject({ heard: 600, different: 600, again: 0, damaged: 0 })
  expect(await near.next()).toEqual({ stays: !umem, rx: 600, tx: 600, own: 0 })
  expect(await near.next()).toEqual({ posted: 0, op: 0, batched: 0 })
  expect(await near.end()).toEqual(CLEAN)
}

vethTest('frames are forwarded where they lie to an interface that uses the same UMEM', {}, (pair) =>
  forwarded(pair, true),
)

vethTest('and are copied to one that has its own; the rows stay', {}, (pair) => forwarded(pair, false))

vethTest(
  'a UMEM that cannot be used is refused: of nothing, of a closed socket, of split queues',
  {},
  async (pair) => {
    using beyond = secondWire(pair)
    const near = startNear(
      pair,
      `
    const second = (options) => rejectionOf(() => XdpSocket.open('wraith2', { filter: 'none', frames: 16, ...options }))
    const wrong = [await second({ umem: {} }), await second({ umem: 5 })]
    const closed = await open()
    await closed.close()
    wrong.push(await second({ umem: closed }))
    const [token] = await XdpSocket.openQueues('wraith0', { filter: { udpPorts: [PORT] }, frames: 64 })
    const split = XdpSocket.attach(token)
    wrong.push(await second({ umem: split }))
    await ended(split)
    const small = await open({ frames: 64, txFrames: 8 })
    wrong.push(await rejectionOf(() => XdpSocket.open('wraith2', { filter: { udpPorts: [9] }, frames: 64, umem: small })))
    await ended(small)
    print(wrong)
    `,
    )
    expect(beyond.name).not.toBe(pair.near.name)
    const wrong = await near.next<{ code: string; option?: string; message: string }[]>()
    expect(wrong).toMatchObject([
      { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'umem' },
      { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'umem' },
      { code: 'WRAITH_ERR_SOCKET_CLOSED' },
      { code: 'WRAITH_ERR_UNSUPPORTED', message: expect.stringContaining('XdpSocket.open()') },
      { code: 'WRAITH_ERR_OUT_OF_RANGE', message: expect.stringContaining('txFrames') },
    ])
    expect(await near.end()).toEqual(CLEAN)
  },
)

vethTest('two sockets send to each other over the wire', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open()
    let came = 0
    xdp.consume((batch) => {
      came += batch.length
      for (let i = 0; i < batch.length; i++) turnRound(batch.bytes(i))
      if (xdp.send(batch) !== batch.length && came < 0) throw new Error()
    })
    print('open')
    await next()
    await until(() => xdp.metrics().txCompletions === 1000)
    print([came, xdp.metrics().txPackets])
    await ended(xdp)
    `,
  )
  const far: NodeProcess = pair.far.start(
    `${xdpNear}
    const xdp = await XdpSocket.open('wraith1', { filter: { udpPorts: { src: [PORT] } }, frames: 512 })
    print('open')
    await next()
    // To the near end: the frame that it would send to us, turned round.
    const frame = (seq) => {
      const bytes = frameOf(datagram(seq, 200), { from: PORT, to: 40_000 })
      turnRound(bytes)
      return bytes
    }
    const tally = new Tally()
    xdp.consume((batch) => tally.batch(batch))
    let seq = 0
    while (seq < 1000) {
      const guards = Array.from({ length: 20 }, (_, i) => guardOf(xdp.pool, frame(seq + i)))
      let sent = 0
      while (sent < 20) sent += xdp.send(guards.slice(sent))
      seq += 20
      await until(() => tally.came + xdp.metrics().rxDropped >= seq)
    }
    print({ ...tally.summary(), dropped: xdp.metrics().rxDropped })
    await ended(xdp)
    `,
  )
  expect(await near.next()).toBe('open')
  expect(await far.next()).toBe('open')
  far.tell('go')
  expect(await far.next()).toMatchObject({ came: 1000, once: 1000, again: 0, sizes: [200], dropped: 0 })
  near.tell('done')
  expect(await near.next()).toEqual([1000, 1000])
  expect(await near.end()).toEqual(CLEAN)
  expect(await far.end()).toEqual(CLEAN)
})
