import { expect } from 'vitest'
import { vethTest } from '../support/veth.js'
import { FarEnd, startNear } from '../support/xdp-ends.js'

const CLEAN = { code: 0, signal: null, stderr: '' }

vethTest(
  'two workers have a queue each, and get what comes through it and nothing else',
  { queues: 2 },
  async (pair) => {
    const near = startNear(
      pair,
      `
    const tokens = await XdpSocket.openQueues('wraith0', { filter: { udpPorts: [PORT] }, frames: 512 })
    const worker = (token) => startWorker(\`
      const { Tally, ended } = await import(workerData.tools)
      const xdp = XdpSocket.attach(workerData.token)
      const tally = new Tally()
      const queues = new Set()
      xdp.consume((batch) => {
        for (let i = 0; i < batch.length; i++) queues.add(batch.queues[i])
        tally.batch(batch)
      })
      parentPort.postMessage(xdp.info().queues)
      parentPort.on('message', async (wanted) => {
        while (tally.came < wanted) await new Promise(setImmediate)
        const { rxPackets, rxDropped } = await ended(xdp)
        parentPort.postMessage({ ...tally.summary(), queues: [...queues], rxPackets, rxDropped })
        parentPort.close()
      })
    \`, { token, tools })
    const workers = tokens.map(worker)
    const exits = Promise.all(workers.map((worker) => once(worker, 'exit')))
    print(await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0])))
    const wanted = await next()
    const results = workers.map(async (worker, i) => {
      worker.postMessage(wanted[i])
      return (await once(worker, 'message'))[0]
    })
    print(await Promise.all(results))
    await exits
    // The last handles were closed: the queues are free.
    print(tokens.map((token) => thrownBy(() => XdpSocket.attach(token)).code))
    await ended(await open())
    `,
    )
    const far = new FarEnd(pair.far)
    expect(await near.next()).toEqual([[0], [1]])
    const sent: number[] = []
    for (const [queue, count] of [
      [0, 400],
      [1, 300],
    ] as const) {
      await far.queue(queue, 2)
      const { wire } = await far.send({ count, first: 1000 * queue })
      sent.push(count - wire)
    }
    near.tell(sent)
    expect(await near.next()).toMatchObject(
      sent.map((count, queue) => ({
        ...{ came: count, once: count, again: 0, queues: [queue], rxPackets: count, rxDropped: 0 },
      })),
    )
    expect(await near.next()).toEqual(new Array(2).fill('WRAITH_ERR_STALE_TOKEN'))
    expect(await near.end()).toEqual(CLEAN)
  },
)

vethTest('who has the lease reads and sends, others are told that they have not', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open()
    const guard = guardOf(xdp.pool, frameOf(datagram(0, 64)))
    xdp.consume(() => {})
    const reading = thrownBy(() => xdp.share())
    xdp.stop()
    const token = xdp.share()
    const second = XdpSocket.attach(token)
    const refused = {
      attach: () => XdpSocket.attach(token), consume: () => xdp.consume(() => {}), receive: () => xdp.tryReceive(),
      send: () => xdp.send(guard), busyLoop: () => xdp.busyLoop(() => {}, 1),
    }
    const codes = Object.entries(refused).map(([name, act]) => [name, thrownBy(act).code])
    const iterates = (await rejectionOf(async () => { for await (const _ of xdp) break })).code
    const kept = [guard.disposed, xdp.metrics().queues.length, xdp.info().interface, thrownBy(() => xdp.setFilter({ udpPorts: [PORT, 1] })).code ?? 'set']
    print({ reading: reading.code, token, json: JSON.parse(JSON.stringify(token)), codes, iterates, kept, filter: second.info().filter })
    await next()
    const tally = new Tally()
    await until(() => {
      const batch = second.tryReceive()
      if (batch !== undefined) tally.batch(batch)
      batch?.dispose()
      return tally.came === 5
    })
    const counted = [xdp.metrics().rxPackets, second.metrics().rxPackets]
    // The lease goes back and forth.
    second.share()
    const sent = (xdp.tryReceive(), xdp.send(guard))
    const now = [thrownBy(() => second.tryReceive()).code, thrownBy(() => second.consume(() => {})).code]
    await until(() => xdp.metrics().txCompletions === 1)
    xdp.share()
    const again = thrownBy(() => second.consume(() => {})).code ?? 'reads'
    await xdp.close()
    const alive = second.metrics().rxPackets
    await ended(second)
    print({ came: tally.came, counted, sent, now, again, alive, gone: thrownBy(() => XdpSocket.attach(token)).code })
    await ended(await open())
    `,
  )
  const far = new FarEnd(pair.far)
  const { token, json, ...refused } = await near.next<{ token: object; json: object }>()
  expect(token).toEqual({ kind: 'wraith-transport/xdp', id: expect.stringMatching(/^[0-9a-f]{32}$/) })
  expect(json).toEqual(token)
  const busy = 'WRAITH_ERR_BUSY'
  expect(refused).toEqual({
    ...{ reading: busy, iterates: busy, kept: [false, 1, 'wraith0', 'set'], filter: 'udp/6343,1' },
    codes: ['attach', 'consume', 'receive', 'send', 'busyLoop'].map((name) => [name, busy]),
  })
  await far.send({ count: 5 })
  near.tell('sent')
  expect(await near.next()).toEqual({
    ...{ came: 5, counted: [5, 5], sent: 1, now: [busy, busy], again: 'reads', alive: 5 },
    gone: 'WRAITH_ERR_STALE_TOKEN',
  })
  expect(await near.end()).toEqual(CLEAN)
})

vethTest('a token of another process, or one that nobody gave out, names nothing', {}, async (pair) => {
  const owner = startNear(
    pair,
    'const xdp = await open()\nprint(xdp.share())\nawait next()\nxdp.tryReceive()\nawait ended(xdp)',
  )
  const token = await owner.next<{ kind: string; id: string }>()
  const other = startNear(
    pair,
    `
    const { kind, id } = await next()
    const tokens = [{ kind, id }, { kind, id: 'f'.repeat(32) }, { kind, id: id.slice(1) }, { kind: 'other', id }, id, null, undefined, 5]
    print(tokens.map((token) => thrownBy(() => XdpSocket.attach(token)).code))
    print(await rejectionOf(() => open()))
    `,
  )
  other.tell(token)
  expect(await other.next()).toEqual([
    ...new Array(2).fill('WRAITH_ERR_STALE_TOKEN'),
    ...new Array(6).fill('WRAITH_ERR_INVALID_ARG_TYPE'),
  ])
  expect(await other.next()).toMatchObject({ code: 'WRAITH_ERR_ADDRESS_IN_USE' })
  expect(await other.end()).toEqual(CLEAN)
  owner.tell('done')
  expect(await owner.end()).toEqual(CLEAN)
})

vethTest('a taken frame goes to another thread as a ticket, and is read there', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open()
    const worker = startWorker(\`
      const { numberOf, packetOf, audited } = await import(workerData.tools)
      const pool = BufferPool.attach(workerData.token)
      parentPort.on('message', (ticket) => {
        if (ticket === null) return parentPort.close()
        const guard = pool.adopt(ticket)
        const seen = { number: numberOf(packetOf(guard.data).payload), length: guard.length, zeros: guard.bytes.subarray(guard.length).every((byte) => byte === 0) }
        guard.dispose()
        parentPort.postMessage(seen)
      })
    \`, { token: xdp.pool.share(), tools })
    const seen = []
    worker.on('message', (value) => seen.push(value))
    xdp.consume((batch) => {
      for (let i = 0; i < batch.length; i++) worker.postMessage(batch.take(i).transfer().token)
    })
    print('open')
    await next()
    await until(() => seen.length === 300)
    worker.postMessage(null)
    await once(worker, 'exit')
    print({ numbers: new Set(seen.map(({ number }) => number)).size, lengths: [...new Set(seen.map(({ length }) => length))], zeros: seen.every(({ zeros }) => zeros) })
    await ended(xdp)
    `,
  )
  const far = new FarEnd(pair.far)
  await near.next()
  expect(await far.send({ count: 300, sizes: [100] })).toMatchObject({ sent: 300, wire: 0 })
  near.tell('sent')
  expect(await near.next()).toEqual({ numbers: 300, lengths: [142], zeros: true })
  expect(await near.end()).toEqual(CLEAN)
})

vethTest('who waits for a buffer and a socket that starves get one in turn', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open({ frames: 32, txFrames: 4 })
    const { pool } = xdp
    const guards = []
    xdp.consume((batch) => {
      for (let i = 0; i < batch.length; i++) guards.push(batch.take(i))
    })
    let sent = 0
    while (guards.length < 32) {
      print('more')
      sent += await next()
      await until(() => xdp.metrics().rxPackets + xdp.metrics().rxDropped === sent)
    }
    await until(() => xdp.metrics().rxStarved > 0)
    const granted = []
    const waits = Array.from({ length: 6 }, () => pool.acquireAsync().then((guard) => granted.push(guard)))
    await new Promise(setImmediate)
    for (const guard of guards.splice(0, 8)) guard.dispose()
    // The socket was the first to wait, and waits again when it has got one: it does not have to wait for all the others.
    await Promise.all(waits)
    await until(() => pool.audit().posted > 0)
    const { posted } = audited(pool)
    for (const guard of [...granted, ...guards]) guard.dispose()
    print({ granted: granted.length, posted: posted >= 1 })
    await ended(xdp)
    `,
  )
  const far = new FarEnd(pair.far)
  let first = 0
  let said = await near.next()
  for (; said === 'more'; said = await near.next()) {
    const { sent, wire } = await far.send({ count: 20, first })
    first += 20
    near.tell(sent - wire)
  }
  expect(said).toEqual({ granted: 6, posted: true })
  expect(await near.end()).toEqual(CLEAN)
})
