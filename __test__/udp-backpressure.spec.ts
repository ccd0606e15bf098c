import { describe, expect, test } from 'vitest'
import { BufferPool, type PooledBuffer } from 'wraith-transport'
import { bind, collect, deliver, dgram, drain, expectAllHome, texts, turns, until } from './support/udp.js'

/** How many poll handles libuv watches with, in this process. */
function polls(): number {
  const { libuv } = process.report.getReport() as unknown as {
    libuv: { type: string; is_active: boolean }[]
  }
  return libuv.filter((handle) => handle.type === 'poll' && handle.is_active).length
}

describe('when every slot is out', () => {
  test('the socket counts it, stops reading without spinning, and goes on when a guard comes home', async () => {
    const pool = new BufferPool({ capacity: 4, bufferSize: 256 })
    const guards = pool.acquireMany(4)
    const socket = await bind({ pool, batchSize: 4 })
    const got: string[] = []
    socket.consume((batch) => void got.push(...texts(batch)))
    await deliver(await dgram(), socket.address(), 'a', 'b', 'c', 'd', 'e')
    await until(() => socket.metrics().rxStarved > 0)
    await turns()
    const before = socket.metrics()
    await turns(200)
    expect(socket.metrics()).toEqual(before)
    expect(got).toEqual([])
    guards[0]?.dispose()
    await until(() => got.length === 5)
    expect(got).toEqual(['a', 'b', 'c', 'd', 'e'])
    guards.dispose()
  })

  test('taken rows of its own starve a socket, and their dispose() resumes it', async () => {
    const socket = await bind({ capacity: 4, batchSize: 4 })
    const taken: PooledBuffer[] = []
    socket.consume((batch) => {
      for (let i = 0; i < batch.length; i++) taken.push(batch.take(i))
    })
    const sent = Array.from({ length: 12 }, (_, i) => `${i}`)
    await deliver(await dgram(), socket.address(), ...sent)
    const got: string[] = []
    while (got.length < sent.length) {
      await until(() => taken.length > 0)
      const guard = taken.shift()!
      got.push(guard.data.toString())
      guard.dispose()
    }
    expect(got).toEqual(sent)
    expect(socket.metrics().rxStarved).toBeGreaterThan(0)
  })

  test('a vector that rows were taken out of fills up again when they come home', async () => {
    const socket = await bind({ capacity: 64, batchSize: 64 })
    const sender = await dgram()
    await deliver(sender, socket.address(), ...Array.from({ length: 63 }, (_, i) => `${i}`))
    const batch = socket.tryReceive()!
    const guards = Array.from({ length: batch.length }, (_, i) => batch.take(i))
    batch.dispose()
    for (const guard of guards) guard.dispose()
    await deliver(sender, socket.address(), ...Array.from({ length: 64 }, (_, i) => `${i}`))
    expect(drain(socket).map((rows) => rows.length)).toEqual([64])
  })

  test('for await waits, and tryReceive() returns undefined, until a slot is there', async () => {
    const pool = new BufferPool({ capacity: 1 })
    const guard = pool.acquire()
    const socket = await bind({ pool, batchSize: 1 })
    await deliver(await dgram(), socket.address(), 'a', 'b')
    expect(socket.tryReceive()).toBeUndefined()
    expect(socket.metrics().rxStarved).toBe(1)
    const iterator = socket[Symbol.asyncIterator]()
    const next = iterator.next()
    await turns()
    guard.dispose()
    const { value } = await next
    expect(texts(value!)).toEqual(['a'])
    await iterator.return()
    expect(texts(socket.tryReceive()!)).toEqual(['b'])
  })

  test('receiving never takes memory of the heap', async () => {
    const pool = new BufferPool({ capacity: 2, onExhausted: 'allocate' })
    const guards = pool.acquireMany(2)
    const socket = await bind({ pool, batchSize: 2 })
    await deliver(await dgram(), socket.address(), 'a')
    expect(socket.tryReceive()).toBeUndefined()
    expect(pool.metrics()).toMatchObject({ fallbackAllocations: 0, fallbackLive: 0 })
    guards.dispose()
  })
})

describe('two sockets on one pool', () => {
  test('each receives its own packets', async () => {
    const pool = new BufferPool({ capacity: 32 })
    const [a, b] = [await bind({ pool, batchSize: 8 }), await bind({ pool, batchSize: 8 })]
    const [toA, toB] = [collect(a, 40), collect(b, 40)]
    const sender = await dgram()
    for (let i = 0; i < 40; i++) {
      await deliver(sender, a.address(), `a ${i}`)
      await deliver(sender, b.address(), `b ${i}`)
    }
    expect((await toA).map((row) => row.text)).toEqual(Array.from({ length: 40 }, (_, i) => `a ${i}`))
    expect((await toB).map((row) => row.text)).toEqual(Array.from({ length: 40 }, (_, i) => `b ${i}`))
  })

  test.each(['stop', 'close'] as const)(
    'the one that starved gets the slots that %s() of the other frees',
    async (leave) => {
      const pool = new BufferPool({ capacity: 8 })
      const [a, b] = [await bind({ pool, batchSize: 8 }), await bind({ pool, batchSize: 8 })]
      const sender = await dgram()
      const first = collect(a, 1)
      await deliver(sender, a.address(), 'a')
      await first
      const second = collect(b, 1)
      await deliver(sender, b.address(), 'b')
      await until(() => b.metrics().rxStarved > 0)
      await a[leave]()
      expect((await second)[0]?.text).toBe('b')
    },
  )

  test('the pool cannot close before both are closed, and [Symbol.dispose] waits for them', async () => {
    const pool = new BufferPool({ capacity: 32 })
    const [a, b] = [await bind({ pool }), await bind({ pool })]
    const inUse = expect.objectContaining({ code: 'WRAITH_ERR_POOL_IN_USE' })
    expect(() => pool.close()).toThrow(inUse)
    await a.close()
    expect(() => pool.close()).toThrow(inUse)
    pool[Symbol.dispose]()
    pool.acquire().dispose()
    await b.close()
    await pool.closed
    expect(() => pool.acquire()).toThrow(expect.objectContaining({ code: 'WRAITH_ERR_POOL_CLOSED' }))
  })
})

test("a socket's own pool lives on while another socket receives into it", async () => {
  const first = await bind({ capacity: 16 })
  const second = await bind({ pool: first.pool, batchSize: 4 })
  await first.close()
  await deliver(await dgram(), second.address(), 'x')
  expect(texts(second.tryReceive()!)).toEqual(['x'])
  await second.close()
  await first.pool.closed
})

test('pool.close() names the socket that is bound', async () => {
  const pool = new BufferPool({ capacity: 4 })
  const socket = await bind({ pool })
  expect(() => pool.close()).toThrow(new RegExp(`127\\.0\\.0\\.1:${socket.address().port}`))
})

test('a slot given to sendOwned comes home to a socket that starved', async () => {
  const pool = new BufferPool({ capacity: 2 })
  const [one, two] = pool.acquireMany(2)
  const socket = await bind({ pool, batchSize: 2 })
  const all = collect(socket, 3)
  await deliver(await dgram(), socket.address(), 'first')
  await until(() => socket.metrics().rxStarved > 0)
  one!.length = one!.bytes.write('second')
  expect(socket.sendOwned(one!, socket.address())).toBe(true)
  expect(socket.sendOwned(two!, socket.address())).toBe(true)
  expect((await all).map((row) => row.text)).toEqual(['first', 'second', ''])
})

describe('an idle socket costs nothing', () => {
  test('without a consumer nothing is watched and no call is made', async () => {
    const before = polls()
    const socket = await bind()
    await deliver(await dgram(), socket.address(), 'waits')
    await turns(200)
    expect(polls()).toBe(before)
    expect(socket.metrics()).toMatchObject({ rxCalls: 0, rxEmptyCalls: 0 })
    expect(drain(socket).flat()).toHaveLength(1)
  })

  test.each(['stopped', 'paused', 'held'] as const)('with packets waiting, while it is %s', async (state) => {
    const before = polls()
    const socket = await bind({ batchSize: 1 })
    let release: () => void = () => {}
    let calls = 0
    socket.consume(() => {
      calls++
      if (state === 'held') return new Promise<void>((resolve) => (release = resolve))
      if (state === 'paused') socket.pause()
      else socket.stop()
      return undefined
    })
    await deliver(await dgram(), socket.address(), 'a', 'b')
    await until(() => calls === 1)
    await turns()
    const { rxCalls, rxEmptyCalls } = socket.metrics()
    await turns(200)
    expect(socket.metrics()).toMatchObject({ rxCalls, rxEmptyCalls })
    expect(polls()).toBe(before)
    socket.stop()
    release()
  })

  test('while it reads and nothing comes', async () => {
    const before = polls()
    const socket = await bind()
    const first = collect(socket, 1)
    await deliver(await dgram(), socket.address(), 'a')
    await first
    await turns()
    const { rxCalls, rxEmptyCalls } = socket.metrics()
    await turns(500)
    expect(polls()).toBe(before + 1)
    expect(socket.metrics()).toMatchObject({ rxCalls, rxEmptyCalls })
  })

  test('stop() gives the posted slots back to the pool', async () => {
    const pool = new BufferPool({ capacity: 64 })
    const socket = await bind({ pool, batchSize: 32 })
    const first = collect(socket, 1)
    await deliver(await dgram(), socket.address(), 'a')
    await first
    expect(pool.audit().posted + pool.audit().batched).toBe(32)
    socket.stop()
    expectAllHome(pool)
    expect(pool.available).toBe(64)
  })
})
