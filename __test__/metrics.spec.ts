import { describe, expect, test } from 'vitest'
import { type BufferPool, type ThresholdEvent, UdpSocket } from 'wraith-transport'

import { Monitor } from '../ts/pool/monitor.ts'
import { childResult } from './support/child.ts'
import { expectAudit, makePool } from './support/pools.ts'

describe('metrics()', () => {
  test('of a new pool are zeros beside its size', () => {
    const metrics = makePool({ bufferSize: 100, capacity: 8 }).metrics()
    expect(metrics).toEqual({
      capacity: 8,
      bufferSize: 100,
      available: 8,
      lent: 0,
      heldBySources: 0,
      quarantined: 0,
      utilization: 0,
      acquires: 0,
      releases: 0,
      exhaustions: 0,
      exhaustionRate: 0,
      fallbackAllocations: 0,
      fallbackLive: 0,
      leaked: 0,
      waits: 0,
      waiting: 0,
      cachedElsewhere: 0,
    })
    expect(Object.isFrozen(metrics)).toBe(true)
  })

  test('count every acquire, release, refusal and fallback', () => {
    const pool = makePool({ bufferSize: 100, capacity: 4, maxFallback: 2 })
    const guards = pool.acquireMany(4)
    pool.tryAcquire()
    guards.push(pool.acquire(), pool.acquire())
    expect(() => pool.acquire()).toThrow()
    expect(pool.metrics()).toMatchObject({
      available: 0,
      lent: 4,
      utilization: 1,
      acquires: 8,
      releases: 0,
      exhaustions: 4,
      exhaustionRate: 0.5,
      fallbackAllocations: 2,
      fallbackLive: 2,
    })
    guards[0]?.dispose()
    guards[5]?.dispose()
    expect(pool.metrics()).toMatchObject({
      available: 1,
      lent: 3,
      utilization: 0.75,
      releases: 2,
      fallbackAllocations: 2,
      fallbackLive: 1,
    })
    guards.dispose()
    expect(pool.metrics()).toMatchObject({
      available: 4,
      lent: 0,
      utilization: 0,
      acquires: 8,
      releases: 6,
      exhaustions: 4,
      exhaustionRate: 0.5,
      fallbackLive: 0,
      leaked: 0,
      quarantined: 0,
    })
  })

  test('are a snapshot: later calls do not change it', () => {
    const pool = makePool({ capacity: 2 })
    const before = pool.metrics()
    pool.acquire().dispose()
    expect(before.acquires).toBe(0)
    expect(pool.metrics()).toMatchObject({ acquires: 1, releases: 1 })
  })

  test('stay exact over many acquires', () => {
    const pool = makePool({ bufferSize: 64, capacity: 100, onExhausted: 'throw' })
    for (let round = 0; round < 200; round++) pool.acquireMany(100).dispose()
    expect(pool.metrics()).toMatchObject({
      acquires: 20_000,
      releases: 20_000,
      exhaustions: 0,
      available: 100,
    })
  })

  test('count slots that a socket holds, and those handed over with a row', async () => {
    const pool = makePool({ bufferSize: 64, capacity: 32, onExhausted: 'throw' })
    const socket = await UdpSocket.bind({ address: '127.0.0.1', pool, batchSize: 4 })
    const seen = new Promise<void>((resolve, reject) => {
      socket.consume((batch) => {
        try {
          const { posted, batched } = expectAudit(pool)
          expect(batched).toBe(1)
          expect(pool.metrics()).toMatchObject({ lent: 0, heldBySources: posted + batched, acquires: 0 })
          const guard = batch.take(0)
          expect(pool.metrics()).toMatchObject({ lent: 1, acquires: 1, releases: 0 })
          guard.dispose()
          expect(pool.metrics()).toMatchObject({ lent: 0, acquires: 1, releases: 1 })
          resolve()
        } catch (error) {
          reject(error)
        }
      })
    })
    socket.send('x', socket.address().port)
    await seen
    await socket.close()
    expect(pool.metrics()).toMatchObject({ heldBySources: 0, available: 32 })
  })

  test('count a guard that was sent as released', async () => {
    const pool = makePool({ capacity: 1, onExhausted: 'throw' })
    const socket = await UdpSocket.bind({ address: '127.0.0.1', pool })
    const guard = pool.acquire()
    guard.length = 1
    socket.sendOwned(guard, socket.address())
    expect(pool.metrics()).toMatchObject({ lent: 0, acquires: 1, releases: 1, available: 1 })
    await socket.close()
  })
})

describe('the monitor', () => {
  const quiet = { acquires: 0, exhaustions: 0, utilization: 0 }

  test('sees pressure above 0.8, and its end at 0.7', () => {
    const monitor = new Monitor(0)
    const at = (utilization: number) => monitor.look(0, { ...quiet, utilization })
    expect(at(0.8)).toEqual([])
    expect(at(0.81)).toEqual([{ event: 'pressure', active: true, value: 0.81 }])
    expect(at(1)).toEqual([])
    expect(at(0.75)).toEqual([])
    expect(at(0.7001)).toEqual([])
    expect(at(0.7)).toEqual([{ event: 'pressure', active: false, value: 0.7 }])
    expect(at(0.75)).toEqual([])
    expect(at(0.8)).toEqual([])
    expect(at(0.9)).toHaveLength(1)
  })

  /** One window of 1024 acquires, of which so many found the pool empty. */
  const windows = () => {
    const monitor = new Monitor(0)
    const total = { acquires: 0, exhaustions: 0 }
    return (refused: number) => {
      total.acquires += 1024
      total.exhaustions += refused
      return monitor.look(0, { ...total, utilization: 0 })
    }
  }

  test('sees exhaustion above 1 % of 1024 acquires, and its end at 0.5 %', () => {
    const look = windows()
    expect(look(0)).toEqual([])
    expect(look(10)).toEqual([])
    expect(look(11)).toEqual([{ event: 'exhaustion', active: true, value: 11 / 1024 }])
    expect(look(1024)).toEqual([])
    expect(look(8)).toEqual([])
    expect(look(6)).toEqual([])
    expect(look(5)).toEqual([{ event: 'exhaustion', active: false, value: 5 / 1024 }])
    expect(look(10)).toEqual([])
    expect(look(1024)).toHaveLength(1)
  })

  test('judges a second of few acquires as it judges 1024 of them, and no shorter time', () => {
    const monitor = new Monitor(5000)
    expect(monitor.look(5999, { acquires: 10, exhaustions: 10, utilization: 0 })).toEqual([])
    expect(monitor.look(6000, { acquires: 20, exhaustions: 20, utilization: 0 })).toEqual([
      { event: 'exhaustion', active: true, value: 1 },
    ])
    expect(monitor.look(7000, { acquires: 20, exhaustions: 20, utilization: 0 })).toEqual([])
    expect(monitor.look(7001, { acquires: 21, exhaustions: 20, utilization: 0 })).toEqual([
      { event: 'exhaustion', active: false, value: 0 },
    ])
    expect(monitor.exhaustionRate).toBe(0)
  })
})

/** Events are emitted in a microtask of the acquire that crossed the threshold. */
const delivered = () => Promise.resolve()

describe("'pressure'", () => {
  function watched(): { pool: BufferPool; events: ThresholdEvent[] } {
    // At level 'stack' every acquire is looked at.
    const pool = makePool({ capacity: 10, leakDetection: 'stack', onExhausted: 'throw' })
    const events: ThresholdEvent[] = []
    pool.on('pressure', (event) => events.push(event))
    return { pool, events }
  }

  test('comes once when utilization goes above 0.8, and once when it is back at 0.7', async () => {
    const { pool, events } = watched()
    const guards = pool.acquireMany(8)
    await delivered()
    expect(events).toEqual([])
    guards.push(pool.acquire())
    expect(events).toEqual([])
    await delivered()
    expect(events).toHaveLength(1)
    expect(events[0]).toMatchObject({ active: true, metrics: { lent: 9, available: 1, capacity: 10 } })
    expect(events[0]?.value).toBeCloseTo(0.9)
    expect(Object.isFrozen(events[0])).toBe(true)
    guards.push(pool.acquire())
    for (const guard of guards.splice(0, 3)) guard.dispose()
    guards.push(pool.acquire())
    await delivered()
    expect(events).toHaveLength(1)
    for (const guard of guards.splice(0, 2)) guard.dispose()
    guards.push(pool.acquire())
    await delivered()
    expect(events).toHaveLength(2)
    expect(events[1]).toMatchObject({ active: false, metrics: { lent: 7 } })
    expect(events[1]?.value).toBeCloseTo(0.7)
    guards.dispose()
  })

  test('is seen within 128 acquires at the other levels', async () => {
    const pool = makePool({ bufferSize: 64, capacity: 1000, leakDetection: 'off', onExhausted: 'throw' })
    const values: number[] = []
    pool.on('pressure', ({ value }) => values.push(value))
    const guards = pool.acquireMany(1000)
    await delivered()
    expect(values).toHaveLength(1)
    expect(values[0]).toBeGreaterThan(0.8)
    expect(values[0]).toBeLessThanOrEqual(0.928)
    guards.dispose()
  })

  test('goes to a listener of once one time, and to none that was taken away', async () => {
    const pool = makePool({ capacity: 10, leakDetection: 'stack' })
    const heard: string[] = []
    const off = () => heard.push('off')
    pool
      .once('pressure', () => heard.push('once'))
      .on('pressure', off)
      .on('pressure', () => heard.push('on'))
      .off('pressure', off)
    for (let round = 0; round < 2; round++) {
      pool.acquireMany(10).dispose()
      pool.acquire().dispose()
      await delivered()
    }
    expect(heard).toEqual(['once', 'on', 'on', 'on', 'on'])
  })

  test('what a listener throws is an uncaught exception, and acquire gives its buffer all the same', async () => {
    const seen = await childResult<{ acquired: number; uncaught: string[] }>('listener-throws.mjs')
    expect(seen).toEqual({ acquired: 10, uncaught: ['thrown by the listener'] })
  })
})

describe("'exhaustion'", () => {
  test('comes once when acquires find the pool empty, and once when they do not any more', async () => {
    const pool = makePool({ capacity: 1, onExhausted: 'throw' })
    const events: ThresholdEvent[] = []
    pool.on('exhaustion', (event) => events.push(event))
    const guard = pool.acquire()
    for (let i = 0; i < 3000; i++) pool.tryAcquire()
    await delivered()
    expect(events).toHaveLength(1)
    expect(events[0]).toMatchObject({ active: true, metrics: { available: 0, lent: 1 } })
    expect(events[0]?.value).toBeGreaterThan(0.01)
    expect(events[0]?.metrics.exhaustions).toBeGreaterThan(0)
    guard.dispose()
    for (let i = 0; i < 5000; i++) pool.acquire().dispose()
    await delivered()
    expect(events).toHaveLength(2)
    expect(events[1]).toMatchObject({ active: false })
    expect(events[1]?.value).toBeLessThanOrEqual(0.005)
    expect(pool.metrics()).toMatchObject({ acquires: 8001, exhaustions: 3000, exhaustionRate: 3000 / 8001 })
  })

  test('comes for fallback buffers as well: they cost what the pool was to save', async () => {
    const pool = makePool({ bufferSize: 64, capacity: 1 })
    const active: boolean[] = []
    pool.once('exhaustion', (event) => active.push(event.active))
    const guard = pool.acquire()
    for (let i = 0; i < 3000; i++) pool.acquire().dispose()
    await delivered()
    expect(active).toEqual([true])
    guard.dispose()
    expect(pool.metrics()).toMatchObject({ fallbackAllocations: 3000, fallbackLive: 0, releases: 3001 })
  })
})
