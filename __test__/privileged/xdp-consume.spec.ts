import { expect } from 'vitest'
import { vethTest } from '../support/veth.js'
import { FarEnd, startNear } from '../support/xdp-ends.js'

vethTest('a handler’s promise holds its batch, and no other comes until it settles', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open({ batchSize: 4 })
    const tally = new Tally()
    let [calls, out, most] = [0, 0, 0]
    let release
    xdp.consume(async (batch) => {
      calls++
      most = Math.max(most, ++out)
      if (calls === 1) {
        print('held')
        await new Promise((resolve) => { release = resolve })
      }
      await new Promise(setImmediate)
      tally.batch(batch)
      out--
    })
    print('open')
    await next()
    // The loop goes round, frames wait, and the handler is not called again.
    for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate)
    print({ calls, batched: audited(xdp.pool).batched })
    release()
    await until(() => tally.came === 40)
    print({ most, ...tally.summary() })
    await ended(xdp)
    `,
  )
  const far = new FarEnd(pair.far)
  await near.next()
  await far.send({ count: 1 })
  expect(await near.next()).toBe('held')
  await far.send({ count: 39, first: 1 })
  near.tell('sent')
  expect(await near.next()).toEqual({ calls: 1, batched: 1 })
  expect(await near.next()).toMatchObject({ most: 1, came: 40, once: 40 })
  expect((await near.end()).code).toBe(0)
})

vethTest(
  'a loop that is left reads no more, and what it had not seen is the next consumer’s',
  {},
  async (pair) => {
    const near = startNear(
      pair,
      `
    const xdp = await open({ batchSize: 3 })
    const tally = new Tally()
    print('open')
    await next()
    let stale
    for await (const batch of xdp) {
      tally.batch(batch)
      stale = batch
      if (tally.came >= 6) break
    }
    const left = { came: tally.came, disposed: stale.disposed, posted: audited(xdp.pool).batched }
    try {
      for await (const batch of xdp) {
        tally.batch(batch)
        throw new Error('mine')
      }
    } catch ({ message }) {
      left.threw = message
    }
    const iterator = xdp[Symbol.asyncIterator]()
    const { value } = await iterator.next()
    tally.batch(value)
    left.busy = thrownBy(() => xdp.consume(() => {})).code
    const ends = await iterator.return('done')
    left.after = [value.disposed, ends.done, ends.value]
    const waits = xdp[Symbol.asyncIterator]()
    const rest = await waits.next()
    tally.batch(rest.value)
    const never = waits.next()
    xdp.stop()
    left.stopped = (await never).done
    print({ ...left, once: tally.summary().once })
    await ended(xdp)
    `,
    )
    const far = new FarEnd(pair.far)
    await near.next()
    await far.send({ count: 15 })
    near.tell('sent')
    expect(await near.next()).toEqual({
      ...{ came: 6, disposed: true, posted: 0, threw: 'mine', busy: 'WRAITH_ERR_BUSY' },
      ...{ after: [true, true, 'done'], stopped: true, once: 15 },
    })
    expect((await near.end()).code).toBe(0)
  },
)

vethTest(
  'a throw in the handler is an uncaught exception, and the next batch comes all the same',
  {},
  async (pair) => {
    const near = startNear(
      pair,
      `
    const xdp = await open({ batchSize: 2 })
    const thrown = []
    process.on('uncaughtException', ({ message }) => thrown.push(message))
    const rejected = []
    process.on('unhandledRejection', ({ message }) => rejected.push(message))
    const tally = new Tally()
    let stale
    const storage = new AsyncLocalStorage()
    const contexts = new Set()
    storage.run('mine', () => xdp.consume((batch) => {
      contexts.add(storage.getStore())
      tally.batch(batch)
      stale = batch
      if (tally.came <= 10) throw new Error('at ' + tally.came)
      if (tally.came <= 20) return Promise.reject(new Error('at ' + tally.came))
    }))
    print('open')
    await next()
    await until(() => tally.came === 30)
    print({ thrown: thrown.length, rejected: rejected.length, once: tally.summary().once, contexts: [...contexts], disposed: stale.disposed })
    await ended(xdp)
    `,
    )
    const far = new FarEnd(pair.far)
    await near.next()
    let first = 0
    // Pairs, so that each throws by itself.
    for (; first < 30; first += 2) await far.send({ count: 2, first })
    near.tell('sent')
    const { thrown, rejected, ...others } = await near.next<{ thrown: number; rejected: number }>()
    expect(others).toEqual({ once: 30, contexts: ['mine'], disposed: true })
    expect(thrown).toBeGreaterThanOrEqual(5)
    expect(rejected).toBeGreaterThanOrEqual(5)
    expect((await near.end()).code).toBe(0)
  },
)

vethTest('pause, resume and stop: frames wait in the ring meanwhile, and none is lost', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open()
    const tally = new Tally()
    const turns = async () => { for (let turn = 0; turn < 50; turn++) await new Promise(setImmediate) }
    const seen = {}
    xdp.consume((batch) => tally.batch(batch))
    xdp.pause()
    print('paused')
    await next()
    await turns()
    seen.paused = [tally.came, xdp.paused]
    xdp.resume()
    await until(() => tally.came === 20)
    seen.resumed = xdp.paused
    xdp.stop()
    print('stopped')
    await next()
    await turns()
    seen.stopped = tally.came
    const batch = xdp.tryReceive()
    tally.batch(batch)
    seen.received = batch.length
    seen.none = xdp.tryReceive() === undefined
    // From inside of the handler.
    let calls = 0
    xdp.consume((batch) => {
      tally.batch(batch)
      if (++calls === 1) xdp.pause()
    })
    print('consumes')
    await next()
    await until(() => xdp.paused)
    await turns()
    seen.pausedInside = calls
    xdp.resume()
    await until(() => tally.came === 60)
    xdp.stop()
    xdp.stop()
    seen.twice = thrownBy(() => xdp.consume(1)).code
    print({ ...seen, ...tally.summary() })
    await ended(xdp)
    `,
  )
  const far = new FarEnd(pair.far)
  for (const state of ['paused', 'stopped', 'consumes']) {
    expect(await near.next()).toBe(state)
    const first = { paused: 0, stopped: 20, consumes: 40 }[state] ?? 0
    await far.send({ count: 10, first })
    await far.send({ count: 10, first: first + 10 })
    near.tell('sent')
  }
  expect(await near.next()).toMatchObject({
    ...{
      paused: [0, true],
      resumed: false,
      stopped: 20,
      received: 20,
      none: true,
      twice: 'WRAITH_ERR_INVALID_ARG_TYPE',
    },
    ...{ came: 60, once: 60, again: 0 },
  })
  expect((await near.end()).code).toBe(0)
})

vethTest(
  'busyLoop looks again and again, says how many there were, and ends when it is told',
  {},
  async (pair) => {
    const near = startNear(
      pair,
      `
    const xdp = await open({ batchSize: 8 })
    const tally = new Tally()
    const began = performance.now()
    const nothing = xdp.busyLoop(() => { throw new Error('nothing was sent') }, 20)
    const empty = performance.now() - began >= 20
    print('spins')
    let batches = 0
    let stale
    // Meanwhile nothing else of this thread runs: it ends because of what the handler says.
    const frames = xdp.busyLoop((batch) => {
      batches++
      stale = batch
      tally.batch(batch)
      return tally.came < 100
    }, 20_000)
    const disposed = stale.disposed
    const refused = [thrownBy(() => xdp.busyLoop(() => {}, -1)), thrownBy(() => xdp.busyLoop(() => {}, 60_001)), thrownBy(() => xdp.busyLoop(5))]
    xdp.consume(() => {})
    const busy = thrownBy(() => xdp.busyLoop(() => {}, 1)).code
    xdp.stop()
    print('again')
    await next()
    const threw = thrownBy(() => xdp.busyLoop((batch) => { stale = batch; throw new RangeError('mine') }, 20_000)).message
    print({ nothing, empty, frames, once: tally.summary().once, disposed, refused: refused.map(({ code }) => code), busy, threw, over: stale.disposed })
    await ended(xdp)
    print(thrownBy(() => xdp.busyLoop(() => {}, 1)).code)
    `,
    )
    const far = new FarEnd(pair.far)
    expect(await near.next()).toBe('spins')
    await far.send({ count: 100 })
    expect(await near.next()).toBe('again')
    await far.send({ count: 1 })
    near.tell('sent')
    expect(await near.next()).toEqual({
      ...{
        nothing: 0,
        empty: true,
        frames: 100,
        once: 100,
        disposed: true,
        busy: 'WRAITH_ERR_BUSY',
        threw: 'mine',
        over: true,
      },
      refused: ['WRAITH_ERR_OUT_OF_RANGE', 'WRAITH_ERR_OUT_OF_RANGE', 'WRAITH_ERR_INVALID_ARG_TYPE'],
    })
    expect(await near.next()).toBe('WRAITH_ERR_SOCKET_CLOSED')
    expect((await near.end()).code).toBe(0)
  },
)

vethTest('all frames taken: the socket starves, and reads on when guards come home', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open({ frames: 64, txFrames: 8, batchSize: 16 })
    const { pool } = xdp
    const guards = []
    const tally = new Tally()
    let hold = true
    xdp.consume((batch) => {
      tally.batch(batch)
      if (hold) for (let i = 0; i < batch.length; i++) guards.push(batch.take(i))
    })
    let sent = 0
    while (guards.length < 64) {
      print('more')
      sent += await next()
      await until(() => tally.came + xdp.metrics().rxDropped === sent)
    }
    // All that there are: now everything is dropped.
    print('more')
    sent += await next()
    await until(() => tally.came + xdp.metrics().rxDropped === sent && xdp.metrics().rxStarved > 0)
    const { rxDropped, rxStarved, drops } = xdp.metrics()
    const full = audited(pool)
    const waits = pool.acquireAsync()
    hold = false
    for (const guard of guards.splice(0)) guard.dispose()
    ;(await waits).dispose()
    // Nothing comes, and yet the kernel gets what came home, but for what rests in the magazine.
    await until(() => pool.audit().posted >= 48)
    print({ rxDropped, starved: rxStarved > 0, reasons: drops.map(({ reason }) => reason), lent: full.lent, posted: full.posted })
    await next()
    await until(() => tally.came === 64 + 30)
    print({ ...tally.summary(), dropped: xdp.metrics().rxDropped - rxDropped })
    await ended(xdp)
    `,
  )
  const far = new FarEnd(pair.far)
  let arrived = 0
  let said = await near.next<string | { rxDropped: number }>()
  for (; said === 'more'; said = await near.next()) {
    const { sent, wire } = await far.send({ count: 50, first: arrived })
    arrived += sent - wire
    near.tell(sent - wire)
  }
  expect(said).toEqual({
    rxDropped: arrived - 64,
    starved: true,
    reasons: ['fillRingEmpty'],
    lent: 64,
    posted: 0,
  })
  expect(await far.send({ count: 30, first: 10_000, burst: 4 })).toMatchObject({ sent: 30, wire: 0 })
  near.tell('sent')
  expect(await near.next()).toMatchObject({ came: 94, once: 94, again: 0, dropped: 0 })
  expect((await near.end()).code).toBe(0)
})
