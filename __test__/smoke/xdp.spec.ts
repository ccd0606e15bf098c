import { expect } from 'vitest'
import { vethTest } from '../support/veth.js'
import { FarEnd, startNear, viewKinds } from '../support/xdp-ends.js'

vethTest('an AF_XDP socket receives what a normal socket sends, and sends it back', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open()
    const views = []
    xdp.consume((batch) => {
      for (let i = 0; i < batch.length; i++) {
        turnRound(batch.bytes(i))
        views.push(batch.bytes(i))
      }
      let sent = 0
      while (sent < views.length && sent < batch.length) sent += xdp.send(batch)
    })
    print(xdp.info().views)
    await next()
    await until(() => xdp.metrics().txCompletions === 100)
    const { rxPackets, rxDropped } = await ended(xdp)
    print({ rxPackets, rxDropped, empty: views.every((view) => view.byteLength === 0) })
    `,
  )
  const far = new FarEnd(pair.far)
  await far.listen(30_000)
  const views = await near.next()
  expect(views).toBe(viewKinds[0])
  expect(await far.send({ count: 100, from: 30_000 })).toEqual({ sent: 100, failed: 0, wire: 0 })
  expect(await far.heard(100, 30_000)).toMatchObject({ heard: 100, different: 100, again: 0, damaged: 0 })
  near.tell('heard')
  const empty = views === 'zero-copy' ? true : expect.any(Boolean)
  expect(await near.next()).toEqual({ rxPackets: 100, rxDropped: 0, empty })
  expect(await near.end()).toEqual({ code: 0, signal: null, stderr: '' })
})
