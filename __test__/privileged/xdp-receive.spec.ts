import { describe, expect } from 'vitest'
import { NEAR, NEAR6, type VethPair, vethTest } from '../support/veth.js'
import { FarEnd, type Sent, startNear, viewKinds } from '../support/xdp-ends.js'

interface Came {
  readonly came: number
  readonly once: number
  readonly again: number
  readonly sizes: readonly number[]
  readonly versions: readonly number[]
  readonly rxPackets: number
  readonly rxDropped: number
}

/** Receives with `consume` until it is told how many came, and says which did. */
const counting = (options: string): string => `
const xdp = await open({ frames: 4096, ...${options} })
const tally = new Tally()
xdp.consume((batch) => tally.batch(batch))
print('open')
const wanted = await next()
await until(() => tally.came + xdp.metrics().rxDropped >= wanted)
const { rxPackets, rxDropped } = await ended(xdp)
print({ ...tally.summary(), rxPackets, rxDropped })
`

/** Every datagram that arrived, once and whole. */
function expectAll(came: Came, { sent, failed, wire }: Sent): void {
  expect({ failed, dropped: came.rxDropped }).toEqual({ failed: 0, dropped: 0 })
  expect({ came: came.came, once: came.once, again: came.again, rxPackets: came.rxPackets }).toEqual({
    came: sent - wire,
    once: sent - wire,
    again: 0,
    rxPackets: sent - wire,
  })
}

async function received(
  pair: VethPair,
  options: string,
  send: (far: FarEnd) => Promise<Sent>,
  far = new FarEnd(pair.far),
): Promise<Came> {
  const near = startNear(pair, counting(options))
  await near.next()
  const sent = await send(far)
  near.tell(sent.sent - sent.wire)
  const came = await near.next<Came>()
  expectAll(came, sent)
  expect(await near.end()).toEqual({ code: 0, signal: null, stderr: '' })
  return came
}

describe.each(viewKinds)('with views %s', (views) => {
  const v4 = [8, 18, 63, 64, 511, 1024, 1472]
  vethTest('every IPv4 datagram of a normal sender comes once and whole, up to the MTU', {}, async (pair) => {
    const options = `{ views: '${views}' }`
    const came = await received(pair, options, (far) => far.send({ count: 2100, sizes: v4 }))
    expect(came).toMatchObject({ sizes: v4, versions: [4] })
  })

  const v6 = [8, 512, 1452]
  vethTest('every IPv6 datagram does', {}, async (pair) => {
    const options = `{ views: '${views}' }`
    const came = await received(pair, options, (far) => far.send({ count: 900, sizes: v6, to: NEAR6 }))
    expect(came).toMatchObject({ sizes: v6, versions: [6] })
  })

  const large = [3000, 3422]
  vethTest(
    'packets of a larger MTU come into frames of 4096 bytes, with headroom',
    { mtu: 3450 },
    async (pair) => {
      const options = `{ views: '${views}', frameSize: 4096, headroom: 14, batchSize: 7 }`
      const came = await received(pair, options, (far) => far.send({ count: 300, sizes: large }))
      expect(came.sizes).toEqual(large)
    },
  )

  vethTest('flows spread over the queues, and every datagram of each comes', { queues: 4 }, async (pair) => {
    const near = startNear(
      pair,
      `
      const xdp = await open({ views: '${views}' })
      const tally = new Tally()
      const queuesOf = new Map()
      const rows = [0, 0, 0, 0]
      xdp.consume((batch) => {
        for (let i = 0; i < batch.length; i++) {
          const { from } = packetOf(batch.bytes(i))
          const queue = batch.queues[i]
          rows[queue]++
          queuesOf.set(from, (queuesOf.get(from) ?? new Set()).add(queue))
        }
        tally.batch(batch)
      })
      print(xdp.info())
      const wanted = await next()
      await until(() => tally.came >= wanted)
      const { queues, rxDropped } = await ended(xdp)
      print({
        ...tally.summary(), rows, rxDropped,
        metrics: queues.map(({ queue, rxPackets }) => [queue, rxPackets]),
        flows: queuesOf.size,
        scattered: [...queuesOf.values()].filter((queues) => queues.size > 1).length,
      })
      `,
    )
    const far = new FarEnd(pair.far)
    expect(await near.next()).toMatchObject({ queues: [0, 1, 2, 3], interfaceQueues: 4, views })
    const { sent, wire, failed } = await far.send({ count: 1920, flows: 64 })
    near.tell(sent - wire)
    const { rows, metrics, ...came } = await near.next<{ rows: number[]; metrics: [number, number][] }>()
    expect(came).toMatchObject({ once: 1920 - wire, again: 0, rxDropped: 0, flows: 64, scattered: 0 })
    expect(failed).toBe(0)
    expect(metrics).toEqual(rows.map((count, queue) => [queue, count]))
    expect(rows.filter((count) => count > 0).length).toBeGreaterThan(1)
    expect((await near.end()).code).toBe(0)
  })
})

vethTest('the queue column says which queue each frame came through', { queues: 4 }, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open()
    const seen = {}
    let came = 0
    xdp.consume((batch) => {
      for (let i = 0; i < batch.length; i++) {
        const group = Math.floor(numberOf(packetOf(batch.bytes(i)).payload) / 1000)
        const key = group + ' through ' + batch.queues[i]
        seen[key] = (seen[key] ?? 0) + 1
        came++
      }
    })
    print('open')
    const wanted = await next()
    await until(() => came >= wanted)
    print(seen)
    await ended(xdp)
    `,
  )
  const far = new FarEnd(pair.far)
  await near.next()
  for (const queue of [2, 0, 3, 1]) {
    await far.queue(queue, 4)
    expect(await far.send({ count: 50, first: queue * 1000 })).toEqual({ sent: 50, failed: 0, wire: 0 })
  }
  near.tell(200)
  expect(await near.next()).toEqual({
    '0 through 0': 50,
    '1 through 1': 50,
    '2 through 2': 50,
    '3 through 3': 50,
  })
  expect((await near.end()).code).toBe(0)
})

vethTest(
  'of several queues only those that were asked for are bound; the others stay the kernel’s',
  { queues: 4 },
  async (pair) => {
    const near = startNear(
      pair,
      `
    const kernel = await dgram('udp4', NEAR)
    const { port } = kernel.address()
    const heard = []
    kernel.on('message', (payload) => heard.push(numberOf(payload)))
    const xdp = await open({ queues: [3, 1], filter: { udpPorts: [port] } })
    const tally = new Tally()
    xdp.consume((batch) => tally.batch(batch))
    print({ port, text: String(xdp.info()), queues: xdp.info().queues })
    await next()
    await until(() => tally.came + heard.length >= 200)
    print({ ours: [0, 1, 2, 3].map((queue) => tally.has(queue * 1000)), came: tally.came, heard: heard.length })
    kernel.close()
    await ended(xdp)
    `,
    )
    const far = new FarEnd(pair.far)
    const { port, text, queues } = await near.next<{ port: number; text: string; queues: number[] }>()
    expect(queues).toEqual([1, 3])
    expect(text).toMatch(/^wraith0: 2 of 4 queues, copy, native, 512×2048 B, driver veth, filter /)
    for (const queue of [0, 1, 2, 3]) {
      await far.queue(queue, 4)
      expect(await far.send({ count: 50, first: queue * 1000, ports: [port] })).toMatchObject({
        sent: 50,
        wire: 0,
      })
    }
    near.tell('sent')
    expect(await near.next()).toEqual({ ours: [false, true, false, true], came: 100, heard: 100 })
    expect((await near.end()).code).toBe(0)
  },
)

vethTest('frames that nobody reads wait in the ring, and those beyond it are counted', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open({ frames: 64, txFrames: 16 })
    print('open')
    const wanted = await next()
    await until(() => xdp.metrics().rxDropped + 48 >= wanted)
    const before = xdp.metrics()
    const tally = new Tally()
    xdp.consume((batch) => tally.batch(batch))
    await until(() => tally.came === 48)
    print({ waited: tally.summary().once, rxDropped: before.rxDropped, drops: before.drops, queues: before.queues.length })
    await next()
    await until(() => tally.came === 48 + 40)
    await ended(xdp)
    print(tally.summary())
    `,
  )
  const far = new FarEnd(pair.far)
  await near.next()
  const { sent, wire } = await far.send({ count: 100 })
  near.tell(sent - wire)
  const { drops, ...first } = await near.next<{
    drops: { reason: string; frames: number; remedy: string }[]
  }>()
  expect(first).toEqual({ waited: 48, rxDropped: sent - wire - 48, queues: 1 })
  expect(drops).toEqual([
    { reason: 'fillRingEmpty', frames: sent - wire - 48, remedy: expect.stringContaining('memoryBudget') },
  ])
  expect(await far.send({ count: 40, first: 1000 })).toMatchObject({ sent: 40, wire: 0 })
  near.tell('sent')
  expect(await near.next()).toMatchObject({ came: 88, once: 88, again: 0 })
  expect((await near.end()).code).toBe(0)
})

vethTest('an RX ring that is full drops, and says to read more often', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open({ rxRing: 32 })
    print('open')
    const wanted = await next()
    await until(() => xdp.metrics().rxDropped + 32 >= wanted)
    const tally = new Tally()
    xdp.consume((batch) => tally.batch(batch))
    await until(() => tally.came === 32)
    print((await ended(xdp)).drops)
    `,
  )
  const far = new FarEnd(pair.far)
  await near.next()
  const { sent, wire } = await far.send({ count: 100 })
  near.tell(sent - wire)
  expect(await near.next()).toEqual([
    { reason: 'rxRingFull', frames: sent - wire - 32, remedy: expect.stringContaining('rxRing') },
  ])
  expect((await near.end()).code).toBe(0)
})

vethTest('with generic attachment and with busy polling everything comes as well', {}, async (pair) => {
  const far = new FarEnd(pair.far)
  for (const options of [
    "{ mode: 'generic' }",
    '{ busyPoll: { usecs: 20, budget: 16 } }',
    '{ promiscuous: true }',
  ]) {
    await received(pair, options, () => far.send({ count: 300, sizes: [64, 1400], to: NEAR }), far)
  }
})
