import { describe, expect } from 'vitest'
import { debugMode } from '../support/pools.js'
import { vethTest } from '../support/veth.js'
import { FarEnd, startNear, viewKinds } from '../support/xdp-ends.js'

/** JavaScript sees 16 MiB of a UMEM at a time: so many frames of 4096 bytes, in the order in which the kernel gets them first. */
const WINDOW = 4096
const BATCH = 60
const BEFORE = WINDOW - BATCH / 2

/** Receives all but the last frames of the first window, then a batch with as many of each window. */
const acrossWindows = (views: string, source: string) => `
  const xdp = await open({ views: '${views}', frameSize: 4096, frames: 2 * ${WINDOW} })
  print('open')
  let before = 0
  await next()
  await until(() => {
    let batch
    while ((batch = xdp.tryReceive()) !== undefined) before += batch.length
    return before >= ${BEFORE}
  })
  print('received')
  await next()
  let batch
  await until(() => (batch = xdp.tryReceive()) !== undefined)
  const rows = Array.from({ length: batch.length }, (_, i) => i)
  const numbers = (read) => rows.map((i) => numberOf(packetOf(read(i)).payload))
  const seen = (i) => Buffer.from(batch.view.buffer, batch.view.byteOffset + batch.offsets[i], batch.lengths[i])
  ${source}
`

async function sendAcross(far: FarEnd, near: ReturnType<typeof startNear>): Promise<void> {
  await near.next()
  expect(await far.send({ count: BEFORE })).toEqual({ sent: BEFORE, failed: 0, wire: 0 })
  near.tell('sent')
  await near.next()
  await far.send({ count: BATCH, first: BEFORE })
  near.tell('sent')
}

const inOrder = Array.from({ length: BATCH }, (_, i) => BEFORE + i)

describe.each(viewKinds)('a batch whose frames lie far apart, with views %s,', (views) => {
  vethTest('is the same by row, by view and by columns', {}, async (pair) => {
    const near = startNear(
      pair,
      acrossWindows(
        views,
        `
        const early = batch.bytes(0)
        const memories = new Set(rows.map((i) => batch.bytes(i).buffer)).size
        const byRow = numbers((i) => batch.bytes(i))
        const byView = numbers(seen)
        const afterView = early.length
        const again = numbers((i) => batch.bytes(i))
        const packets = wraith.parsePackets(batch)
        const payload = (i) => Buffer.from(batch.view.buffer, batch.view.byteOffset + packets.payloadOffsets[i], packets.payloadLengths[i])
        const byColumns = rows.map((i) => numberOf(payload(i)))
        const taken = batch.take(1)
        const after = batch.bytes(2)
        const { view } = batch
        batch.dispose()
        const late = [early, after].map((bytes) => bytes.length)
        print({ memories, byRow, byView, again, byColumns, taken: numberOf(packetOf(taken.data).payload), afterView, late, view: view.buffer.byteLength })
        taken.dispose()
        await ended(xdp)
        `,
      ),
    )
    await sendAcross(new FarEnd(pair.far), near)
    const { memories, afterView, late, view, ...same } = await near.next<Record<string, unknown>>()
    expect(same).toEqual({
      ...{ byRow: inOrder, byView: inOrder, again: inOrder, byColumns: inOrder },
      taken: BEFORE + 1,
    })
    if (views === 'zero-copy') {
      // To see it as one, it was copied.
      expect({ memories, afterView, late, view }).toEqual({
        memories: 2,
        afterView: 0,
        late: [0, 0],
        view: 0,
      })
    } else {
      expect(memories).toBe(1)
      if (debugMode) expect({ late, view }).toEqual({ late: [0, 0], view: 0 })
    }
    expect((await near.end()).code).toBe(0)
  })

  vethTest('is sent with what was changed in it, by row and by view', {}, async (pair) => {
    const near = startNear(
      pair,
      acrossWindows(
        views,
        `
        const swap = (frame, a, b, length) => {
          const first = Buffer.from(frame.subarray(a, a + length))
          frame.copyWithin(a, b, b + length)
          frame.set(first, b)
        }
        // The Ethernet addresses, then, in copies of what they are now, those of IP.
        for (const i of rows) swap(batch.bytes(i), 0, 6, 6)
        for (const i of rows) swap(seen(i), 26, 30, 4)
        // A sender on this very machine leaves its checksum to a card that is not there: none, then.
        for (const i of rows) seen(i).writeUInt16BE(0, 40)
        const last = batch.bytes(${BATCH} - 1)
        const sent = xdp.send(batch)
        print({ sent, last: last.length })
        await next()
        await ended(xdp)
        `,
      ),
    )
    const far = new FarEnd(pair.far)
    await far.listen()
    await sendAcross(far, near)
    const { sent, last } = await near.next<{ sent: number; last: number }>()
    const heard = await far.heard(BATCH)
    expect({ sent, ...heard }).toMatchObject({ sent: BATCH, heard: BATCH, different: BATCH, damaged: 0 })
    if (views === 'zero-copy') expect(last).toBe(0)
    near.tell('end')
    expect((await near.end()).code).toBe(0)
  })
})
