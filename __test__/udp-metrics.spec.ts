import { describe, expect, test } from 'vitest'
import { backends, bind, collect, deliver, dgram, drain, failsWith, turns, until } from './support/udp.js'

const NAMES = [
  'icmpErrors',
  'ownershipFaults',
  'peerCacheMisses',
  'rxAbandoned',
  'rxBatches',
  'rxBytes',
  'rxCalls',
  'rxDroppedByKernel',
  'rxDroppedByKernelAtBatch',
  'rxDroppedTruncated',
  'rxEmptyCalls',
  'rxFullBatches',
  'rxPackets',
  'rxStarved',
  'rxTruncated',
  'txBytes',
  'txErrors',
  'txPackets',
  'txQueued',
  'txUnsent',
  'txWouldBlock',
]

test('a fresh socket has every counter at zero, frozen', async () => {
  const metrics = (await bind()).metrics()
  expect(Object.keys(metrics).sort()).toEqual(NAMES)
  expect(new Set(Object.values(metrics))).toEqual(new Set([0]))
  expect(Object.isFrozen(metrics)).toBe(true)
})

describe.each(backends)('counted through %s', (backend) => {
  test('packets, bytes, batches and calls of a drained buffer', async () => {
    const socket = await bind({ backend, batchSize: 4 })
    await deliver(await dgram(), socket.address(), ...Array.from({ length: 10 }, () => '12345'))
    expect(drain(socket).map((rows) => rows.length)).toEqual([4, 4, 2])
    expect(socket.metrics()).toMatchObject({
      rxPackets: 10,
      rxBytes: 50,
      rxBatches: 3,
      rxFullBatches: 2,
      rxCalls: 4,
      rxEmptyCalls: 1,
      peerCacheMisses: 1,
    })
  })

  test('a partial batch needs no second call to know that nothing is left', async () => {
    const socket = await bind({ backend, batchSize: 4 })
    const all = collect(socket, 3)
    await deliver(await dgram(), socket.address(), 'a', 'b', 'c')
    await all
    await turns()
    expect(socket.metrics()).toMatchObject({ rxPackets: 3, rxEmptyCalls: 0 })
  })
})

test('metrics() is a snapshot: an earlier one does not change', async () => {
  const socket = await bind()
  const before = socket.metrics()
  await deliver(await dgram(), socket.address(), 'x')
  drain(socket)
  expect(before.rxPackets).toBe(0)
  expect(socket.metrics().rxPackets).toBe(1)
})

test('after close() the metrics are those of the last moment', async () => {
  const socket = await bind()
  await deliver(await dgram(), socket.address(), 'x')
  drain(socket)
  const closed = socket.close()
  const last = socket.metrics()
  expect(last.rxPackets).toBe(1)
  await closed
  expect(socket.metrics()).toBe(last)
  expect(() => socket.info()).toThrow(failsWith('WRAITH_ERR_SOCKET_CLOSED'))
})

test('sends and what is refused of them', async () => {
  const socket = await bind()
  socket.send('12345', socket.address())
  expect(() => socket.send(new Uint8Array(65_508), socket.address())).toThrow(
    failsWith('WRAITH_ERR_MESSAGE_TOO_LARGE'),
  )
  expect(socket.metrics()).toMatchObject({ txPackets: 1, txBytes: 5, txErrors: 1, icmpErrors: 0 })
})

test('what two sockets count adds up to what went between them', async () => {
  const [a, b] = [await bind({ recvBufferSize: 8192 }), await bind({ recvBufferSize: 8192 })]
  let got = 0
  b.consume((batch) => {
    got += batch.length
  })
  for (let i = 0; i < 3000; i++) {
    a.send(`${i}`, b.address())
    if (i % 500 === 0) await turns(2)
  }
  const arrived = (): number => b.metrics().rxPackets + b.metrics().rxDroppedByKernel
  await until(() => arrived() === a.metrics().txPackets)
  expect(a.metrics().txPackets).toBe(3000)
  expect(got).toBe(b.metrics().rxPackets)
  expect(b.metrics().rxDroppedByKernel).toBeGreaterThan(0)
})
