import { expect } from 'vitest'
import { debugMode } from '../support/pools.js'
import { vethTest } from '../support/veth.js'
import { FarEnd, startNear, viewKinds } from '../support/xdp-ends.js'

// In debug mode a copied batch is emptied as well; otherwise its memory is JavaScript's own and may be looked at for ever.
for (const views of viewKinds.filter((kind) => kind === 'zero-copy' || debugMode)) {
  vethTest(
    `views ${views} are empty when their batch has ended, or a row of it has left`,
    {},
    async (pair) => {
      const near = startNear(
        pair,
        `
      const xdp = await open({ views: '${views}' })
      print('open')
      const sizes = (views) => [...new Set(views.map((view) => {
        try {
          return view.byteLength
        } catch (error) {
          return error.name
        }
      }))]
      const shown = (batch) => {
        const bytes = Array.from({ length: batch.length }, (_, i) => batch.bytes(i))
        const { view } = batch
        return [...bytes, bytes[0].subarray(3, 9), new Uint8Array(bytes[0].buffer, 5), new Uint8Array(view.buffer), view]
      }
      const ends = {
        dispose: (batch) => batch.dispose(),
        'the next tryReceive': () => xdp.tryReceive(),
        take: (batch) => batch.take(0).dispose(),
        'a row that is sent': (batch) => xdp.send(batch, { rows: [0] }),
        'all that is sent': (batch) => xdp.send(batch),
        close: () => xdp.close(),
      }
      for (const [name, end] of Object.entries(ends)) {
        await next()
        let batch
        await until(() => (batch = xdp.tryReceive()) !== undefined)
        const views = shown(batch)
        const before = sizes(views).includes(0)
        end(batch)
        const rest = batch.disposed || name === 'all that is sent' ? [] : [numberOf(packetOf(batch.bytes(1)).payload)]
        const again = batch.disposed || batch.view.byteLength
        print({ name, before, after: sizes(views), text: views[0].toString(), rest, again: again > 0 })
      }
      await ended(xdp)
      `,
      )
      const far = new FarEnd(pair.far)
      await near.next()
      for (const name of [
        'dispose',
        'the next tryReceive',
        'take',
        'a row that is sent',
        'all that is sent',
        'close',
      ]) {
        await far.send({ count: 2, sizes: [300] })
        near.tell('sent')
        const { after, ...others } = await near.next<{ after: (number | string)[] }>()
        // What is left of a batch is the very memory that was copied, and shows no frame of the kernel's.
        const mid = views === 'copied' && !['dispose', 'the next tryReceive', 'close'].includes(name)
        if (!mid) expect(after).toEqual([0, 'TypeError'])
        expect(others).toMatchObject({ name, before: false, again: true })
        if (!mid) expect(others).toMatchObject({ text: '' })
        if (name === 'take' || name === 'a row that is sent') expect(others).toMatchObject({ rest: [1] })
      }
      expect((await near.end()).code).toBe(0)
    },
  )
}

vethTest('a copied batch is memory of JavaScript’s own: what was kept stays as it is', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open({ views: 'copied' })
    print(xdp.info().views)
    const batches = async () => {
      await next()
      let batch
      await until(() => (batch = xdp.tryReceive()) !== undefined)
      return batch
    }
    const first = await batches()
    const bytes = first.bytes(0)
    const inPool = audited(xdp.pool).batched
    const moved = structuredClone(bytes.buffer, { transfer: [bytes.buffer] })
    first.dispose()
    print('first')
    const second = await batches()
    const view = second.bytes(0)
    print({ inPool, moved: moved.byteLength > 0, second: numberOf(packetOf(view).payload) })
    for (const _ of ['same size', 'another', 'the first again']) {
      const batch = await batches()
      const bytes = batch.bytes(0)
      print({ again: bytes === view, length: bytes.length, number: numberOf(packetOf(bytes).payload) })
    }
    await ended(xdp)
    `,
  )
  const far = new FarEnd(pair.far)
  expect(await near.next()).toBe('copied')
  await far.send({ count: 1 })
  near.tell('sent')
  expect(await near.next()).toBe('first')
  await far.send({ count: 1, first: 1 })
  near.tell('sent')
  expect(await near.next()).toEqual({ inPool: 1, moved: true, second: 1 })
  // Debug mode gives each batch memory of its own, so that a late look at an earlier one fails.
  for (const [number, size, again] of [
    [2, 64, !debugMode],
    [3, 100, false],
    [4, 64, false],
  ] as const) {
    await far.send({ count: 1, first: number, sizes: [size] })
    near.tell('sent')
    expect(await near.next()).toEqual({ again, length: 42 + size, number })
  }
  expect((await near.end()).code).toBe(0)
})

vethTest('who moves the UMEM away has closed its queues, and is told so', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const views = '${viewKinds[0]}'
    const move = (batch) => {
      const { buffer } = batch.view
      structuredClone(buffer, { transfer: [buffer] })
      return thrownBy(() => batch.bytes(0).length)
    }
    const waiting = async (xdp) => {
      print('open')
      await next()
      let batch
      await until(() => (batch = xdp.tryReceive()) !== undefined)
      return batch
    }
    const asked = await open({ views })
    const batch = await waiting(asked)
    const read = move(batch)
    batch.dispose()
    const receive = thrownBy(() => asked.tryReceive()).code ?? 'nothing'
    const guard = new BufferPool({ bufferSize: 2048, capacity: 1 }).acquire()
    guard.length = 60
    const send = thrownBy(() => asked.send(guard)).code ?? 'sent'
    await asked.close()
    const listening = await open({ views })
    const errors = []
    listening.on('error', ({ code, message }) => errors.push({ code, message }))
    let calls = 0
    listening.consume((batch) => {
      calls++
      move(batch)
    })
    print('open')
    await next()
    if (views === 'zero-copy') await listening.closed
    await until(() => calls === 1)
    await listening.close()
    print({ views, read: read.code ?? read.returned, receive, send, errors })
    // The queue is free.
    await ended(await open())
    `,
  )
  const far = new FarEnd(pair.far)
  for (const _ of ['asked', 'told']) {
    expect(await near.next()).toBe('open')
    await far.send({ count: 1 })
    near.tell('sent')
  }
  const { views, ...result } = await near.next<{ views: string }>()
  if (views === 'copied') expect(result).toEqual({ read: 106, receive: 'nothing', send: 'sent', errors: [] })
  else {
    const code = 'WRAITH_ERR_STALE_BUFFER'
    expect(result).toEqual({
      ...{
        read: code,
        receive: code,
        send: expect.stringMatching(/^WRAITH_ERR_(SOCKET_CLOSED|BUSY|POOL_CLOSED)$/),
      },
      errors: [{ code, message: expect.stringContaining('moved') }],
    })
  }
  expect((await near.end()).code).toBe(0)
})
