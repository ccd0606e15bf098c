import { describe, expect } from 'vitest'
import { packetStatusNames } from 'wraith-transport'
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
