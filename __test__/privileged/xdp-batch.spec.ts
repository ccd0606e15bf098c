import { describe, expect } from 'vitest'
import { packetStatusNames } from 'wraith-transport'
import { debugMode } from '../support/pools.js'
import { vethTest } from '../support/veth.js'
import { FarEnd, startNear, viewKinds } from '../support/xdp-ends.js'

const STALE = 'WRAITH_ERR_STALE_BATCH'

describe.each(viewKinds)('with views %s', (views) => {
  vethTest('a batch shows its frames by columns, by view and by row', {}, async (pair) => {
    const near = startNear(
      pair,
      `
      const xdp = await open({ views: '${views}' })
      print('open')
      await next()
      let batch
      await until(() => (batch = xdp.tryReceive()) !== undefined)
      const { length, offsets, lengths, queues, flags, timestamps, timestampsMs, view } = batch
      const rows = Array.from({ length }, (_, i) => {
        const bytes = batch.bytes(i)
        const seen = Buffer.from(view.buffer, view.byteOffset + offsets[i], lengths[i])
        return {
          length: lengths[i], wire: batch.wireLength(i), whole: bytes.length, truncated: batch.truncated(i),
          same: seen.equals(bytes), etherType: view.getUint16(offsets[i] + 12), queue: queues[i], flags: flags[i],
          number: numberOf(packetOf(bytes).payload), buffer: Buffer.isBuffer(bytes),
          time: Number(timestamps[i]) + timestampsMs[i], copied: batch.copy(i).equals(bytes),
        }
      })
      const copies = Array.from({ length }, (_, i) => batch.copy(i))
      const refusals = [-1, length, 0.5, '0', NaN].map((row) => thrownBy(() => batch.bytes(row)).code)
      const peer = thrownBy(() => batch.peer(0))
      batch.dispose()
      batch.dispose()
      print({ rows, refusals, peer, kept: copies.map((copy) => numberOf(packetOf(copy).payload)), disposed: batch.disposed })
      await ended(xdp)
      `,
    )
    const far = new FarEnd(pair.far)
    await near.next()
    await far.send({ count: 5, sizes: [8, 100, 1472] })
    near.tell('sent')
    const { rows, refusals, peer, ...others } = await near.next<{
      rows: object[]
      refusals: string[]
      peer: object
    }>()
    expect(rows).toEqual(
      [8, 100, 1472, 8, 100].map((size, number) => ({
        ...{ length: 42 + size, wire: 42 + size, whole: 42 + size, truncated: false, same: true },
        ...{ etherType: 0x0800, queue: 0, flags: 0, number, buffer: true, time: 0, copied: true },
      })),
    )
    expect(refusals).toEqual(new Array(5).fill('WRAITH_ERR_OUT_OF_RANGE'))
    expect(peer).toMatchObject({
      code: 'WRAITH_ERR_UNSUPPORTED',
      message: expect.stringContaining('parsePackets'),
    })
    expect(others).toEqual({ kept: [0, 1, 2, 3, 4], disposed: true })
    expect((await near.end()).code).toBe(0)
  })

  vethTest('parsePackets and parseFrames read a batch where it lies', {}, async (pair) => {
    const near = startNear(
      pair,
      `
      const xdp = await open({ views: '${views}' })
      print('open')
      await next()
      let batch
      await until(() => (batch = xdp.tryReceive()) !== undefined)
      const rowsOf = (columns, read) => Array.from({ length: columns.length }, (_, i) => read(i))
      const packets = wraith.parsePackets(batch)
      const { view } = batch
      const payload = (i) => Buffer.from(view.buffer, view.byteOffset + packets.payloadOffsets[i], packets.payloadLengths[i])
      const ports = rowsOf(packets, (i) => [packets.sourcePorts[i], packets.destinationPorts[i]])
      const numbers = rowsOf(packets, (i) => numberOf(payload(i)))
      const { ok } = packets
      // What is changed in a frame, parsing sees.
      batch.bytes(0).writeUInt16BE(7, 36)
      batch.bytes(2).writeUInt16BE(0x88b5, 12)
      wraith.parsePackets(batch, packets)
      const changed = { port: packets.destinationPorts[0], etherType: packets.etherTypes[2], ok: packets.ok }
      const frames = wraith.parseFrames(batch)
      const taken = batch.take(1)
      wraith.parsePackets(batch, packets)
      print({
        ports, numbers, ok, changed, frames: frames.length, explained: packets.explain(0) ?? null,
        after: [...packets.statuses.subarray(0, 3)], message: packets.explain(1).message,
      })
      taken.dispose()
      await ended(xdp)
      `,
    )
    const far = new FarEnd(pair.far)
    await near.next()
    await far.send({ count: 3, sizes: [50, 60, 70] })
    near.tell('sent')
    const { after, ...result } = await near.next<{ after: number[] }>()
    expect(result).toEqual({
      ports: new Array(3).fill([30_000, 6343]),
      ...{ numbers: [0, 1, 2], ok: 3, frames: 3, explained: null },
      changed: { port: 7, etherType: 0x88b5, ok: 3 },
      message: 'row 1 was taken out of the batch; read it through its guard',
    })
    expect(after.map((status) => packetStatusNames[status])).toEqual(['ok', 'out-of-bounds', 'not-ip'])
    expect((await near.end()).code).toBe(0)
  })

  vethTest('a taken frame outlives its batch and its socket; behind it lie zeros', {}, async (pair) => {
    const near = startNear(
      pair,
      `
      const xdp = await open({ views: '${views}', headroom: 64 })
      const { pool } = xdp
      print('open')
      await next()
      let batch
      await until(() => (batch = xdp.tryReceive()) !== undefined)
      const copies = [0, 1, 2].map((i) => batch.copy(i))
      const before = audited(pool)
      const [second, third] = [batch.take(1), batch.take(2)]
      const [twice, read, copied] = ['take', 'bytes', 'copy'].map((what) => thrownBy(() => batch[what](1)).code)
      const first = numberOf(packetOf(batch.bytes(0)).payload)
      batch.dispose()
      const look = (guard, copy) => ({
        length: guard.length, same: guard.data.equals(copy), pooled: guard.pooled, size: guard.bytes.length,
        zeros: guard.bytes.subarray(guard.length).every((byte) => byte === 0),
      })
      const now = audited(pool)
      const early = look(second, copies[1])
      second.dispose()
      await ended(xdp, { lent: 1 })
      print({
        batched: before.batched, lent: now.lent, posted: now.posted, twice, read, copied, first, early,
        closed: look(third, copies[2]),
      })
      third.dispose()
      await pool.closed
      audited(pool)
      print(pool.audit().free)
      `,
    )
    const far = new FarEnd(pair.far)
    await near.next()
    await far.send({ count: 3, sizes: [500, 1000, 1472] })
    near.tell('sent')
    const look = { same: true, pooled: true, zeros: true, size: 2048 }
    expect(await near.next()).toEqual({
      ...{ batched: 3, lent: 2, posted: 446, first: 0, twice: STALE, read: STALE, copied: STALE },
      early: { ...look, length: 1042 },
      closed: { ...look, length: 1514 },
    })
    expect(await near.next()).toBe(512)
    expect((await near.end()).code).toBe(0)
  })

  vethTest('a batch that has ended throws from every method, however it ended', {}, async (pair) => {
    const near = startNear(
      pair,
      `
      const xdp = await open({ views: '${views}' })
      print('open')
      const waiting = async () => {
        await next()
        let batch
        await until(() => (batch = xdp.tryReceive()) !== undefined)
        return batch
      }
      const members = ['offsets', 'lengths', 'flags', 'timestamps', 'timestampsMs', 'queues', 'view']
      const methods = ['bytes', 'copy', 'take', 'truncated', 'wireLength', 'peer']
      const codes = (batch) => [...new Set([
        ...members.map((member) => thrownBy(() => batch[member]).code),
        ...methods.map((method) => thrownBy(() => batch[method](0)).code),
        thrownBy(() => wraith.parsePackets(batch)).code,
        thrownBy(() => xdp.send(batch)).code,
      ])]
      const ends = {
        dispose: (batch) => batch.dispose(),
        'the next tryReceive': () => xdp.tryReceive(),
        consume: () => xdp.consume(() => {}).stop(),
        'Symbol.dispose': (batch) => batch[Symbol.dispose](),
        close: () => xdp.close(),
      }
      for (const [name, end] of Object.entries(ends)) {
        const batch = await waiting()
        const shown = batch.bytes(0).length
        end(batch)
        const [sendCode] = name === 'close' ? ['WRAITH_ERR_SOCKET_CLOSED'] : ['${STALE}']
        print({ name, shown, disposed: batch.disposed, codes: codes(batch).filter((code) => code !== sendCode) })
      }
      await ended(xdp)
      `,
    )
    const far = new FarEnd(pair.far)
    await near.next()
    for (const name of ['dispose', 'the next tryReceive', 'consume', 'Symbol.dispose', 'close']) {
      await far.send({ count: 1 })
      near.tell('sent')
      const codes = name === 'close' ? [STALE] : []
      expect(await near.next()).toEqual({ name, shown: 106, disposed: true, codes })
    }
    expect((await near.end()).code).toBe(0)
  })
})

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

vethTest('by default batches are long, and leave a small UMEM frames to receive into', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const come = () => Number(/wraith0: *[0-9]+ +([0-9]+)/.exec(readFileSync('/proc/self/net/dev', 'utf8'))[1])
    for (const [options, count] of [[{ frames: 4096 }, 600], [{ frames: 64 }, 40], [{ frames: 64, batchSize: 30 }, 40]]) {
      const xdp = await open(options)
      const before = come()
      print('open')
      await next()
      await until(() => come() >= before + count)
      let frames = 0
      let longest = 0
      await until(() => {
        const batch = xdp.tryReceive()
        frames += batch?.length ?? 0
        longest = Math.max(longest, batch?.length ?? 0)
        return frames === count
      })
      print(longest)
      await ended(xdp)
    }
    `,
  )
  const far = new FarEnd(pair.far)
  for (const [count, longest] of [
    [600, 256],
    [40, 14],
    [40, 30],
  ] as const) {
    expect(await near.next()).toBe('open')
    await far.send({ count })
    near.tell('sent')
    expect(await near.next()).toBe(longest)
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
