import { describe, expect } from 'vitest'
import { vethTest } from '../support/veth.js'
import { FarEnd, type Heard, startNear, viewKinds } from '../support/xdp-ends.js'

const whole = (count: number): Partial<Heard> => ({ heard: count, different: count, again: 0, damaged: 0 })

vethTest(
  'guards arrive at a normal socket, once and whole, and their buffers come home',
  {},
  async (pair) => {
    const near = startNear(
      pair,
      `
    const xdp = await open({ filter: 'none' })
    const { pool } = xdp
    const frame = (seq, size) => frameOf(datagram(seq, size))
    const sizes = [8, 9, 500, 1472]
    print(xdp.info())
    await next()
    const one = guardOf(pool, frame(0, 8))
    const sent = [xdp.send(one)]
    const given = [one.disposed, thrownBy(() => one.bytes).code, thrownBy(() => xdp.send(one)).code]
    const many = Array.from({ length: 99 }, (_, i) => guardOf(pool, frame(1 + i, sizes[i % 4])))
    sent.push(xdp.send(many), xdp.send([]))
    const all = many.every((guard) => guard.disposed)
    await until(() => xdp.metrics().txCompletions === 100)
    const { txPackets, txBytes } = xdp.metrics()
    print({ sent, given, all, txPackets, txBytes, op: audited(pool).op })
    // A buffer that was sent is clean for its next holder.
    const again = pool.acquireMany(512)
    print(again.every((guard) => guard.bytes.every((byte) => byte === 0)))
    again.dispose()
    await ended(xdp)
    `,
    )
    const far = new FarEnd(pair.far)
    await far.listen()
    const info = { attach: 'no program', filter: 'none', fillFramesPerQueue: 0, rxRing: 0, txRing: 512 }
    expect(await near.next()).toMatchObject(info)
    near.tell('go')
    const sizes = [8, ...Array.from({ length: 99 }, (_, i) => [8, 9, 500, 1472][i % 4] ?? 0)]
    expect(await near.next()).toEqual({
      ...{
        sent: [1, 99, 0],
        given: [true, 'WRAITH_ERR_STALE_BUFFER', 'WRAITH_ERR_STALE_BUFFER'],
        all: true,
        op: 0,
      },
      ...{ txPackets: 100, txBytes: sizes.reduce((sum, size) => sum + 42 + size, 0) },
    })
    expect(await far.heard(100)).toMatchObject({ ...whole(100), peers: ['192.0.2.1 40000'] })
    expect(await near.next()).toBe(true)
    expect((await near.end()).code).toBe(0)
  },
)

vethTest('guards of other pools are copied, and given away all the same', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open({ filter: 'none' })
    const own = new BufferPool({ bufferSize: 2048, capacity: 4 })
    const shared = new BufferPool({ shared: true, bufferSize: 2048, capacity: 8 })
    const pools = [own, shared, xdp.pool, own, own, own, shared]
    // The fifth of 'own' is a fallback buffer of the heap.
    const guards = [...pools, own].map((pool, seq) => guardOf(pool, frameOf(datagram(seq, 300))))
    const { pooled } = guards.at(-1)
    await next()
    const sent = xdp.send(guards)
    print({ sent, pooled, disposed: guards.every((guard) => guard.disposed), own: own.available, shared: shared.audit().lent })
    await until(() => xdp.metrics().txCompletions === 8)
    await ended(xdp)
    own.close()
    shared.close()
    await Promise.all([own.closed, shared.closed])
    `,
  )
  const far = new FarEnd(pair.far)
  await far.listen()
  near.tell('go')
  expect(await near.next()).toEqual({ sent: 8, pooled: false, disposed: true, own: 4, shared: 0 })
  expect(await far.heard(8)).toMatchObject(whole(8))
  expect((await near.end()).code).toBe(0)
})

vethTest('what cannot be sent is refused, and is still its holder’s', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open({ filter: 'none' })
    const { pool } = xdp
    const good = guardOf(pool, frameOf(datagram(0, 100)))
    const short = guardOf(pool, Buffer.alloc(13, 1))
    const none = pool.acquire()
    const big = new BufferPool({ bufferSize: 4096, capacity: 1 })
    const long = guardOf(big, Buffer.alloc(2049, 1))
    const stale = pool.acquire()
    stale.dispose()
    const acts = {
      short: () => xdp.send(short), none: () => xdp.send(none), long: () => xdp.send(long), stale: () => xdp.send(stale),
      twice: () => xdp.send([good, good]), second: () => xdp.send([good, short]), nothing: () => xdp.send([undefined]),
      bytes: () => xdp.send(Buffer.alloc(60)), rows: () => xdp.send(good, { rows: [0] }), queue: () => xdp.send(good, { queue: 1 }),
      negative: () => xdp.send(good, { queue: -1 }), option: () => xdp.send(good, { que: 0 }),
    }
    const refused = Object.fromEntries(Object.entries(acts).map(([name, act]) => [name, thrownBy(act)]))
    const kept = [good, short, none, long].map((guard) => guard.disposed)
    const { lent, op } = audited(pool)
    const before = { text: numberOf(packetOf(good.data).payload), txPackets: xdp.metrics().txPackets }
    await next()
    const sent = xdp.send(good)
    print({ refused, kept, lent, op, before, sent })
    for (const guard of [short, none, long]) guard.dispose()
    await until(() => xdp.metrics().txCompletions === 1)
    await ended(xdp)
    print(thrownBy(() => xdp.send([])).code)
    big.close()
    `,
  )
  const far = new FarEnd(pair.far)
  await far.listen()
  near.tell('go')
  const { refused, ...others } = await near.next<{ refused: Record<string, object> }>()
  const range = (option: string, given: string) => ({
    ...{ code: 'WRAITH_ERR_OUT_OF_RANGE', option, message: expect.stringContaining(given) },
  })
  expect(refused).toMatchObject({
    short: range('frames[0].length', '14 to 2048, but 13'),
    none: range('frames[0].length', 'but 0 was given'),
    long: range('frames[0].length', 'but 2049 was given'),
    stale: { code: 'WRAITH_ERR_STALE_BUFFER' },
    twice: { code: 'WRAITH_ERR_STALE_BUFFER', option: 'frames[1]' },
    second: range('frames[1].length', 'but 13 was given'),
    nothing: { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'frames[0]' },
    bytes: { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'frames' },
    rows: { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'rows' },
    queue: {
      code: 'WRAITH_ERR_OUT_OF_RANGE',
      message: expect.stringContaining('queue is 1; bound here are 0'),
    },
    negative: range('queue', 'but -1 was given'),
    option: { code: 'WRAITH_ERR_UNKNOWN_OPTION', option: 'que' },
  })
  expect(others).toEqual({
    ...{ kept: [false, false, false, false], lent: 3, op: 0, before: { text: 0, txPackets: 0 }, sent: 1 },
  })
  expect(await far.heard(1)).toMatchObject(whole(1))
  expect(await near.next()).toBe('WRAITH_ERR_SOCKET_CLOSED')
  expect((await near.end()).code).toBe(0)
})

vethTest("more frames than the TX ring holds: a short count, then 'drain' and the rest", {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open({ filter: 'none', txRing: 32 })
    const guards = Array.from({ length: 400 }, (_, seq) => guardOf(xdp.pool, frameOf(datagram(seq, 64))))
    await next()
    const drains = []
    const counts = []
    let at = 0
    while (at < guards.length) {
      const sent = xdp.send(guards.slice(at))
      counts.push(sent)
      at += sent
      const states = guards.map((guard) => guard.disposed)
      if (states.indexOf(false) !== (at < 400 ? at : -1)) throw new Error('not the first ones were taken')
      if (at < guards.length) await new Promise((resolve) => xdp.once('drain', resolve))
      // The other end is to read what has come.
      await until(() => xdp.metrics().txCompletions === at)
    }
    print({ most: Math.max(...counts), sum: at, rounds: counts.length, blocked: xdp.metrics().txWouldBlock > 0 })
    await ended(xdp)
    `,
  )
  const far = new FarEnd(pair.far)
  await far.listen()
  near.tell('go')
  const { rounds, ...others } = await near.next<{ rounds: number }>()
  expect(others).toEqual({ most: 32, sum: 400, blocked: true })
  expect(rounds).toBeGreaterThanOrEqual(13)
  expect(await far.heard(400)).toMatchObject(whole(400))
  expect((await near.end()).code).toBe(0)
})

vethTest('who waits for a buffer gets one that was sent', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open({ filter: 'none', frames: 16 })
    const { pool } = xdp
    await next()
    for (let round = 0; round < 20; round++) {
      const guards = Array.from({ length: 16 }, (_, i) => guardOf(pool, frameOf(datagram(16 * round + i, 64))))
      if (pool.tryAcquire() !== undefined) throw new Error('there is a seventeenth')
      const waits = [pool.acquireAsync(), pool.acquireAsync()]
      let sent = 0
      while (sent < 16) {
        sent += xdp.send(guards.slice(sent))
        await new Promise(setImmediate)
      }
      for (const guard of await Promise.all(waits)) guard.dispose()
      await until(() => pool.available === 16)
    }
    print(xdp.metrics().txCompletions)
    await ended(xdp)
    `,
  )
  const far = new FarEnd(pair.far)
  await far.listen()
  near.tell('go')
  expect(await near.next()).toBe(320)
  expect(await far.heard(320)).toMatchObject(whole(320))
  expect((await near.end()).code).toBe(0)
})

vethTest('a socket without a TX ring refuses to send, and receives', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open({ txRing: 0 })
    const other = new BufferPool({ bufferSize: 2048, capacity: 1 })
    const guard = guardOf(other, frameOf(datagram(0, 64)))
    const refused = thrownBy(() => xdp.send(guard))
    print({ refused, disposed: guard.disposed, txRing: xdp.info().txRing, fill: xdp.info().fillFramesPerQueue })
    await next()
    let batch
    await until(() => (batch = xdp.tryReceive()) !== undefined)
    print({ length: batch.length, refused: thrownBy(() => xdp.send(batch)).code, has: batch.bytes(0).length })
    guard.dispose()
    other.close()
    await ended(xdp)
    `,
  )
  const far = new FarEnd(pair.far)
  expect(await near.next()).toMatchObject({
    refused: { code: 'WRAITH_ERR_UNSUPPORTED', message: expect.stringContaining('txRing') },
    ...{ disposed: false, txRing: 0, fill: 512 },
  })
  await far.send({ count: 1 })
  near.tell('sent')
  expect(await near.next()).toEqual({ length: 1, refused: 'WRAITH_ERR_UNSUPPORTED', has: 106 })
  expect((await near.end()).code).toBe(0)
})

describe.each(viewKinds)('with views %s', (views) => {
  vethTest('received frames are turned round where they lie, and every one comes back', {}, async (pair) => {
    const near = startNear(
      pair,
      `
      const xdp = await open({ views: '${views}' })
      let sent = 0
      xdp.consume((batch) => {
        for (let i = 0; i < batch.length; i++) turnRound(batch.bytes(i))
        const rows = batch.length
        let now = 0
        while (now < rows) now += xdp.send(batch)
        if (!batch.disposed && thrownBy(() => batch.bytes(0)).code !== 'WRAITH_ERR_STALE_BATCH') throw new Error('it is still there')
        sent += now
      })
      print('open')
      await next()
      await until(() => xdp.metrics().txCompletions === 2000)
      const { rxPackets, txPackets } = await ended(xdp)
      print({ sent, rxPackets, txPackets })
      `,
    )
    const far = new FarEnd(pair.far)
    await near.next()
    await far.listen(30_000)
    // From the port that listens: it is the one that is answered.
    let first = 0
    for (; first < 2000; first += 100) {
      expect(await far.send({ count: 100, first, sizes: [8, 700, 1472], from: 30_000 })).toMatchObject({
        wire: 0,
        failed: 0,
      })
      await far.heard(first + 100, 30_000)
    }
    near.tell('done')
    expect(await far.heard(2000, 30_000)).toMatchObject({ ...whole(2000), peers: ['192.0.2.1 6343'] })
    expect(await near.next()).toEqual({ sent: 2000, rxPackets: 2000, txPackets: 2000 })
    expect((await near.end()).code).toBe(0)
  })

  vethTest(
    'chosen rows are sent, and through another queue; the others stay',
    { queues: 2 },
    async (pair) => {
      const near = startNear(
        pair,
        `
      const xdp = await open({ views: '${views}' })
      print('open')
      await next()
      let batch
      await until(() => (batch = xdp.tryReceive()) !== undefined)
      const { length } = batch
      const queue = batch.queues[0]
      for (let i = 0; i < length; i++) turnRound(batch.bytes(i))
      const taken = batch.take(5)
      const refused = [[0, 0], [length], [-1], [5], 'all', [0.5]].map((rows) => thrownBy(() => xdp.send(batch, { rows })))
      const sent = [
        xdp.send(batch, { rows: [3, 1] }), xdp.send(batch, { rows: [] }), xdp.send(batch, { rows: [0], queue: 1 - queue }),
      ]
      const again = thrownBy(() => xdp.send(batch, { rows: [2, 3] }))
      const rest = [2, 4].map((row) => numberOf(packetOf(batch.bytes(row)).payload))
      sent.push(xdp.send(taken, { queue: 1 - queue }), xdp.send(batch), xdp.send(batch))
      batch.dispose()
      await until(() => xdp.metrics().txCompletions === 6)
      const { queues } = await ended(xdp)
      print({ length, sent, rest, refused, again, by: [queue, 1 - queue].map((at) => queues[at].txPackets) })
      `,
      )
      const far = new FarEnd(pair.far)
      await near.next()
      await far.listen(30_000)
      await far.send({ count: 6, from: 30_000 })
      near.tell('sent')
      const { refused, again, ...others } = await near.next<{ refused: object[]; again: object }>()
      expect(refused).toMatchObject([
        { code: 'WRAITH_ERR_STALE_BATCH', option: 'rows' },
        { code: 'WRAITH_ERR_OUT_OF_RANGE' },
        { code: 'WRAITH_ERR_OUT_OF_RANGE' },
        { code: 'WRAITH_ERR_STALE_BATCH', option: 'rows' },
        { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'rows' },
        { code: 'WRAITH_ERR_OUT_OF_RANGE' },
      ])
      expect(again).toMatchObject({ code: 'WRAITH_ERR_STALE_BATCH', option: 'rows' })
      expect(others).toEqual({ length: 6, sent: [2, 0, 1, 1, 2, 0], rest: [2, 4], by: [4, 2] })
      expect(await far.heard(6, 30_000)).toMatchObject(whole(6))
      expect((await near.end()).code).toBe(0)
    },
  )
})
