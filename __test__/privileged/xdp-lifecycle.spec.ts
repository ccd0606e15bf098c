import { describe, expect } from 'vitest'
import { vethTest } from '../support/veth.js'
import { FarEnd, startNear } from '../support/xdp-ends.js'

const CLEAN = { code: 0, signal: null, stderr: '' }

vethTest('a hundred reopenings all work, and each receives', { queues: 2 }, async (pair) => {
  const near = startNear(
    pair,
    `
    import { readdirSync } from 'node:fs'
    const descriptors = () => readdirSync('/proc/self/fd').length
    const counts = { came: 0, opened: 0 }
    let before
    for (let round = 0; round < 100; round++) {
      const xdp = await open({ frames: 64 })
      counts.opened++
      if (round === 5) before = descriptors()
      if (round % 10 === 0) {
        print('send')
        let batch
        await until(() => (batch = xdp.tryReceive()) !== undefined)
        counts.came += batch.length
        await next()
      }
      await ended(xdp)
    }
    print({ ...counts, grown: Math.max(0, descriptors() - before) })
    `,
  )
  const far = new FarEnd(pair.far)
  for (let round = 0; round < 100; round += 10) {
    expect(await near.next()).toBe('send')
    await far.send({ count: 1, first: round })
    near.tell('sent')
  }
  expect(await near.next()).toEqual({ came: 10, opened: 100, grown: 0 })
  expect(await near.end()).toEqual(CLEAN)
})

vethTest(
  'close() with a batch out, inside of a handler, while frames are being sent, and twice',
  {},
  async (pair) => {
    const near = startNear(
      pair,
      `
    const ends = {
      'with a batch out': async (xdp) => {
        let batch
        await until(() => (batch = xdp.tryReceive()) !== undefined)
        const bytes = batch.bytes(0)
        await ended(xdp)
        return [batch.disposed, thrownBy(() => batch.bytes(0)).code]
      },
      'in its handler': async (xdp) => {
        const seen = []
        await new Promise((resolve) => xdp.consume((batch) => {
          const closing = xdp.close()
          seen.push(batch.disposed, thrownBy(() => batch.length && batch.bytes(0)).code)
          closing.then(resolve)
        }))
        await ended(xdp)
        return seen
      },
      'in a loop': async (xdp) => {
        let turns = 0
        for await (const batch of xdp) {
          turns++
          void xdp.close()
          if (!batch.disposed) throw new Error('it is alive')
        }
        await ended(xdp)
        return turns
      },
      'while a promise holds its batch': async (xdp) => {
        let done
        await new Promise((resolve) => xdp.consume(async (batch) => {
          resolve()
          await xdp.closed
          done = batch.disposed
        }))
        await ended(xdp)
        return done
      },
    }
    for (const [name, end] of Object.entries(ends)) {
      const xdp = await open()
      print(name)
      await next()
      let closes = 0
      xdp.on('close', () => closes++)
      const result = await end(xdp)
      const calls = ['tryReceive', 'consume', 'share', 'setFilter', 'send'].map((call) =>
        thrownBy(() => xdp[call](call === 'consume' ? () => {} : call === 'setFilter' ? 'all' : [])).code)
      const { queues, ...info } = xdp.info()
      const loop = await rejectionOf(async () => { for await (const _ of xdp) throw new Error('it reads') })
      print({ result, calls: [...new Set(calls)], loop: loop.code, closes, same: xdp.close() === xdp.closed, metrics: xdp.metrics() === xdp.metrics(), interface: info.interface, ref: xdp.hasRef() })
    }
    const xdp = await open({ filter: 'none', frames: 512 })
    const guards = Array.from({ length: 256 }, (_, seq) => guardOf(xdp.pool, frameOf(datagram(seq, 64))))
    const sent = xdp.send(guards)
    const first = xdp.close()
    const second = xdp.close()
    await first
    await ended(xdp)
    print({ sent, same: first === second, completed: true })
    `,
    )
    const far = new FarEnd(pair.far)
    const stale = 'WRAITH_ERR_STALE_BATCH'
    for (const [name, result] of [
      ['with a batch out', [true, stale]],
      ['in its handler', [true, stale]],
      ['in a loop', 1],
      ['while a promise holds its batch', true],
    ]) {
      expect(await near.next()).toBe(name)
      await far.send({ count: 1 })
      near.tell('sent')
      expect(await near.next()).toEqual({
        ...{ result, calls: ['WRAITH_ERR_SOCKET_CLOSED'], loop: 'WRAITH_ERR_SOCKET_CLOSED' },
        ...{ closes: 1, same: true, metrics: true, interface: 'wraith0', ref: false },
      })
    }
    expect(await near.next()).toEqual({ sent: 256, same: true, completed: true })
    expect(await near.end()).toEqual(CLEAN)
  },
)

vethTest('a signal closes: before, while it opens, and while it reads', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const before = await rejectionOf(() => open({ signal: AbortSignal.abort(new Error('mine')) }))
    const controller = new AbortController()
    const opening = rejectionOf(() => open({ signal: controller.signal }))
    controller.abort()
    const during = await opening
    // What was opened meanwhile is gone: it can be opened.
    const after = new AbortController()
    const xdp = await open({ signal: after.signal })
    xdp.consume(() => {})
    after.abort()
    await xdp.closed
    await ended(xdp)
    const disposed = await open()
    disposed[Symbol.dispose]()
    await disposed.closed
    const asynchronous = await open()
    await asynchronous[Symbol.asyncDispose]()
    await ended(asynchronous)
    const never = new AbortController()
    const closed = await open({ signal: never.signal })
    await ended(closed)
    never.abort()
    print([before, during].map(({ code, option }) => [code, option]))
    `,
  )
  expect(await near.next()).toEqual(new Array(2).fill(['WRAITH_ERR_ABORTED', 'signal']))
  expect(await near.end()).toEqual(CLEAN)
  expect(pair.near.run('ip -d link show wraith0')).not.toContain('xdp')
})

vethTest(
  'the pool is the socket’s: it cannot be closed before, it adds up, and guards outlive both',
  {},
  async (pair) => {
    const near = startNear(
      pair,
      `
    const xdp = await open({ frames: 64, txFrames: 16 })
    const { pool } = xdp
    const refused = thrownBy(() => pool.close())
    const states = []
    const look = () => {
      const { capacity, free, cached, lent, batched, posted, op } = audited(pool)
      states.push([capacity, free + cached, lent, batched, posted, op])
    }
    look()
    const guard = guardOf(pool, Buffer.from('kept'))
    look()
    const [sent, waiting] = [guardOf(pool, frameOf(datagram(0, 64))), pool.acquireMany(14)]
    look()
    const waits = pool.acquireAsync()
    xdp.send(sent)
    ;(await waits).dispose()
    waiting.dispose()
    await ended(xdp, { lent: 1 })
    look()
    const stillGood = guard.data.toString()
    const codes = [thrownBy(() => pool.acquire()).code, (await rejectionOf(() => pool.acquireAsync())).code, thrownBy(() => BufferPool.attach(pool.share())).code]
    guard.dispose()
    await pool.closed
    look()
    print({ refused, states, stillGood, codes, info: [pool.info().shared, pool.capacity, pool.bufferSize, pool.info().memoryBytes >= 64 * 2048] })
    `,
    )
    const { states, ...others } = await near.next<{ states: number[][] }>()
    expect(others).toEqual({
      refused: {
        code: 'WRAITH_ERR_POOL_IN_USE',
        message: 'the AF_XDP socket on wraith0 still receives into this pool. Close it first.',
      },
      ...{
        stillGood: 'kept',
        codes: new Array(3).fill('WRAITH_ERR_POOL_CLOSED'),
        info: [true, 64, 2048, true],
      },
    })
    expect(states).toEqual([
      [64, 16, 0, 0, 48, 0],
      [64, 15, 1, 0, 48, 0],
      [64, 0, 16, 0, 48, 0],
      [64, 63, 1, 0, 0, 0],
      [64, 64, 0, 0, 0, 0],
    ])
    expect(await near.end()).toEqual(CLEAN)
  },
)

describe('the process ends by itself', () => {
  const states = {
    'has no consumer': '',
    'is paused': 'xdp.consume(() => {}); xdp.pause()',
    'was stopped': 'xdp.consume(() => {}); xdp.stop()',
    'is unref’d and reads': 'xdp.unref().consume(() => {})',
    'was unref’d while it reads': 'xdp.consume(() => {}); xdp.unref()',
    'is closed': 'xdp.consume(() => {}); void xdp.close()',
    'has an iterator that nobody asks': 'xdp[Symbol.asyncIterator]()',
    'has sent': 'xdp.send(guardOf(xdp.pool, frameOf(datagram(0, 64))))',
    'was shared': 'xdp.share()',
  }
  vethTest('when the socket does not read, closed or not', {}, async (pair) => {
    for (const [state, act] of Object.entries(states)) {
      const near = startNear(pair, `const xdp = await open()\n${act}`)
      expect(await near.end(), state).toEqual(CLEAN)
    }
    expect(pair.near.run('ip -d link show wraith0')).not.toContain('xdp')
  })

  vethTest('but not while it reads', {}, async (pair) => {
    const far = new FarEnd(pair.far)
    const acts = {
      reads: 'xdp.consume(seen)',
      'was unref’d and ref’d': 'xdp.unref().consume(seen); xdp.ref()',
      'was paused and resumed': 'xdp.pause().consume(seen); xdp.resume()',
      'is iterated': 'void (async () => { for await (const batch of xdp) seen(batch) })()',
    }
    for (const [state, act] of Object.entries(acts)) {
      const near = startNear(
        pair,
        `
        const xdp = await open()
        const seen = (batch) => { print([batch.length]); void xdp.close() }
        ${act}
        print(xdp.hasRef())
        `,
      )
      expect(await near.next(), state).toBe(true)
      await far.send({ count: 1 })
      expect(await near.next(), state).toEqual([1])
      expect(await near.end(), state).toEqual(CLEAN)
    }
  })
})
