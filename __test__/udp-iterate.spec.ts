import { describe, expect, test } from 'vitest'
import type { Batch } from 'wraith-transport'
import {
  backends,
  bind,
  collect,
  deliver,
  dgram,
  drain,
  failsWith,
  texts,
  turns,
  until,
} from './support/udp.js'

describe.each(backends)('for await through %s', (backend) => {
  test('yields every packet in order, however they trickle in', async () => {
    const socket = await bind({ backend, batchSize: 4 })
    const got: string[] = []
    const loop = (async () => {
      for await (const batch of socket) got.push(...texts(batch))
    })()
    const sender = await dgram()
    for (let i = 0; i < 10; i++) {
      await deliver(sender, socket.address(), `${i} a`, `${i} b`)
      await until(() => got.length === 2 * (i + 1))
    }
    await deliver(sender, socket.address(), ...Array.from({ length: 50 }, (_, i) => `burst ${i}`))
    await until(() => got.length === 70)
    expect(got.slice(20)).toEqual(Array.from({ length: 50 }, (_, i) => `burst ${i}`))
    await socket.close()
    await loop
  })

  test('break gives the batch back and stops reading; nothing that waits is lost', async () => {
    const socket = await bind({ backend, batchSize: 2 })
    await deliver(await dgram(), socket.address(), 'a', 'b', 'c', 'd', 'e')
    let last: Batch | undefined
    for await (const batch of socket) {
      expect(texts(batch)).toEqual(['a', 'b'])
      last = batch
      break
    }
    expect(() => last?.bytes(0)).toThrow(failsWith('WRAITH_ERR_STALE_BATCH'))
    const { rxCalls } = socket.metrics()
    await turns()
    expect(socket.metrics().rxCalls).toBe(rxCalls)
    expect(socket.pool.audit()).toMatchObject({ posted: 0, batched: 0, ok: true })
    expect((await collect(socket, 3)).map((row) => row.text)).toEqual(['c', 'd', 'e'])
  })
})

test('a batch ends with the turn of the loop that it belongs to', async () => {
  const socket = await bind({ batchSize: 1 })
  await deliver(await dgram(), socket.address(), 'a', 'b', 'c')
  const batches: Batch[] = []
  for await (const batch of socket) {
    expect(batches.every((earlier) => earlier.disposed)).toBe(true)
    batches.push(batch)
    await turns(3)
    expect(batch.disposed).toBe(false)
    if (batches.length === 3) break
  }
  expect(batches.map((batch) => batch.disposed)).toEqual([true, true, true])
})

test('a throw in the body leaves the loop as break does', async () => {
  const socket = await bind({ batchSize: 1 })
  await deliver(await dgram(), socket.address(), 'a', 'b')
  const loop = async (): Promise<void> => {
    for await (const batch of socket) throw new Error(`of the body at ${texts(batch)}`)
  }
  await expect(loop()).rejects.toThrow('of the body at a')
  expect(drain(socket).flat()).toMatchObject([{ text: 'b' }])
})

test('loops may follow one another, and packets come to whichever runs', async () => {
  const socket = await bind({ batchSize: 1 })
  const sender = await dgram()
  for (let round = 0; round < 5; round++) {
    await deliver(sender, socket.address(), `${round}`)
    for await (const batch of socket) {
      expect(texts(batch)).toEqual([`${round}`])
      break
    }
  }
})

test('close() ends a loop that waits', async () => {
  const socket = await bind()
  const loop = (async () => {
    for await (const _ of socket) expect.unreachable('nothing was sent')
    return 'ended'
  })()
  await turns()
  await socket.close()
  expect(await loop).toBe('ended')
})

test('close() in the body ends the loop and its batch', async () => {
  const socket = await bind({ batchSize: 1 })
  await deliver(await dgram(), socket.address(), 'a', 'b')
  let count = 0
  for await (const batch of socket) {
    count++
    void socket.close()
    expect(() => batch.bytes(0)).toThrow(failsWith('WRAITH_ERR_STALE_BATCH'))
  }
  expect(count).toBe(1)
})

test('stop() ends a loop that waits, and another consumer may start', async () => {
  const socket = await bind()
  const loop = (async () => {
    for await (const _ of socket) expect.unreachable('nothing was sent')
  })()
  await turns()
  socket.stop()
  const next = collect(socket, 1)
  await loop
  await deliver(await dgram(), socket.address(), 'x')
  expect((await next)[0]?.text).toBe('x')
})

test('return() ends an iterator that waits, without a packet', async () => {
  const socket = await bind()
  const iterator = socket[Symbol.asyncIterator]()
  const waiting = iterator.next()
  await turns()
  expect(await iterator.return()).toEqual({ value: undefined, done: true })
  expect(await waiting).toEqual({ value: undefined, done: true })
  await deliver(await dgram(), socket.address(), 'x')
  expect((await collect(socket, 1))[0]?.text).toBe('x')
})

test('throw() ends an iterator that waits, without a packet', async () => {
  const socket = await bind()
  const iterator = socket[Symbol.asyncIterator]()
  const waiting = iterator.next()
  await expect(iterator.throw(new Error('mine'))).rejects.toThrow('mine')
  expect(await waiting).toEqual({ value: undefined, done: true })
  await deliver(await dgram(), socket.address(), 'x')
  expect((await collect(socket, 1))[0]?.text).toBe('x')
})

test('return() of an iterator that is not the consumer leaves the consumer alone', async () => {
  const socket = await bind()
  const all = collect(socket, 1)
  await socket[Symbol.asyncIterator]().return()
  await deliver(await dgram(), socket.address(), 'x')
  expect((await all)[0]?.text).toBe('x')
})

test('an iterator that waits reads nothing while the socket is paused', async () => {
  const socket = await bind()
  socket.pause()
  const iterator = socket[Symbol.asyncIterator]()
  const next = iterator.next()
  await deliver(await dgram(), socket.address(), 'x')
  await turns()
  expect(socket.metrics().rxCalls).toBe(0)
  socket.resume()
  const { value } = await next
  expect(texts(value as Batch)).toEqual(['x'])
  await iterator.return()
})

test('plain next() calls without a loop and without dispose never dead-lock', async () => {
  const socket = await bind({ batchSize: 2, capacity: 2 })
  const sender = await dgram()
  const iterator = socket[Symbol.asyncIterator]()
  for (let i = 0; i < 50; i++) {
    const next = iterator.next()
    await deliver(sender, socket.address(), `${i}`)
    expect(texts((await next).value as Batch)).toEqual([`${i}`])
  }
})

test('a second loop is refused while one runs, and the first goes on', async () => {
  const socket = await bind({ batchSize: 1 })
  const sender = await dgram()
  await deliver(sender, socket.address(), 'a', 'b')
  const got: string[] = []
  for await (const batch of socket) {
    got.push(...texts(batch))
    const second = async (): Promise<void> => {
      for await (const _ of socket) expect.unreachable('two consumers')
    }
    await expect(second()).rejects.toEqual(failsWith('WRAITH_ERR_BUSY'))
    if (got.length === 2) break
  }
  expect(got).toEqual(['a', 'b'])
})

test('iterating a closed socket is refused', async () => {
  const socket = await bind()
  await socket.close()
  await expect(socket[Symbol.asyncIterator]().next()).rejects.toEqual(failsWith('WRAITH_ERR_SOCKET_CLOSED'))
})

test.each(['for await', 'consume', 'async consume'])(
  'timers fire while %s is under endless load',
  async (kind) => {
    const socket = await bind({ batchSize: 8, recvBufferSize: 1 << 20 })
    const to = socket.address()
    // Each batch sends what the next ones will be: there is always more to receive, without end.
    const more = (batch: Batch): void => {
      for (let i = 0; i < batch.length; i++) socket.send(batch.bytes(i), to)
    }
    let fired = 0
    const timer = setInterval(() => {
      fired++
    }, 1)
    for (let i = 0; i < 64; i++) socket.send(`${i}`, to)
    if (kind === 'for await') {
      for await (const batch of socket) {
        more(batch)
        if (fired >= 5) break
      }
    } else {
      socket.consume(kind === 'consume' ? more : async (batch) => more(batch))
      await until(() => fired >= 5)
      socket.stop()
    }
    clearInterval(timer)
    expect(socket.metrics().rxPackets).toBeGreaterThan(64)
  },
)

describe('tryReceive', () => {
  test('returns what waits in the kernel, and undefined when nothing does', async () => {
    const socket = await bind({ batchSize: 2 })
    expect(socket.tryReceive()).toBeUndefined()
    await deliver(await dgram(), socket.address(), 'a', 'b', 'c')
    expect(drain(socket).map((rows) => rows.map((row) => row.text))).toEqual([['a', 'b'], ['c']])
    expect(socket.tryReceive()).toBeUndefined()
  })

  test('lends a batch until the next call', async () => {
    const socket = await bind({ batchSize: 1 })
    await deliver(await dgram(), socket.address(), 'a')
    const batch = socket.tryReceive()!
    expect(texts(batch)).toEqual(['a'])
    expect(socket.tryReceive()).toBeUndefined()
    expect(() => batch.bytes(0)).toThrow(failsWith('WRAITH_ERR_STALE_BATCH'))
  })

  test('lends a batch until dispose()', async () => {
    const socket = await bind()
    await deliver(await dgram(), socket.address(), 'a')
    const batch = socket.tryReceive()!
    batch.dispose()
    expect(batch.disposed).toBe(true)
    expect(socket.pool.audit()).toMatchObject({ batched: 0 })
  })

  test('lends a batch until a consumer starts', async () => {
    const socket = await bind({ batchSize: 1 })
    await deliver(await dgram(), socket.address(), 'a', 'b')
    const batch = socket.tryReceive()!
    expect((await collect(socket, 1))[0]?.text).toBe('b')
    expect(batch.disposed).toBe(true)
  })

  test('works while the socket is paused', async () => {
    const socket = await bind()
    socket.pause()
    await deliver(await dgram(), socket.address(), 'a')
    expect(texts(socket.tryReceive()!)).toEqual(['a'])
  })
})
