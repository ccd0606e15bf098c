import { describe, expect, test } from 'vitest'
import { BufferPool, type PoolToken } from 'wraith-transport'

import { childResult } from './support/child.ts'
import { expectRefusal, thrownBy } from './support/errors.ts'
import { PoolWorker } from './support/pool-workers.ts'
import { expectAudit, makePool } from './support/pools.ts'

const kind = 'wraith-transport/pool'

describe('share()', () => {
  test('gives a frozen token that can be cloned, the same each time', () => {
    const pool = makePool({ capacity: 8, shared: true })
    const token = pool.share()
    expect(token).toEqual({ kind, id: expect.stringMatching(/^[0-9a-f]{32}$/) })
    expect(Object.isFrozen(token)).toBe(true)
    expect(structuredClone(token)).toEqual(pool.share())
    expect(makePool({ capacity: 8, shared: true }).share().id).not.toBe(token.id)
  })

  test('of a private pool is refused', () => {
    expectRefusal(
      thrownBy(() => makePool({ capacity: 1 }).share()),
      { code: 'WRAITH_ERR_NOT_SHARED' },
    )
  })

  test('of an attached pool passes the token on', () => {
    const pool = makePool({ capacity: 8, shared: true })
    const attached = BufferPool.attach(pool.share())
    expect(attached.share()).toEqual(pool.share())
    attached.close()
  })

  test('of a closed pool is refused', () => {
    const pool = makePool({ capacity: 1, shared: true })
    pool.close()
    expectRefusal(
      thrownBy(() => pool.share()),
      { code: 'WRAITH_ERR_POOL_CLOSED' },
    )
  })
})

describe('attach()', () => {
  test('gives a pool over the same buffers, in this thread or another one', async () => {
    const pool = makePool({ bufferSize: 100, capacity: 8, shared: true, onExhausted: 'throw' })
    const attached = BufferPool.attach(pool.share(), { onExhausted: 'throw' })
    expect(attached).toBeInstanceOf(BufferPool)
    expect(attached).toMatchObject({ bufferSize: 100, capacity: 8, available: 8 })
    const guards = [pool.acquire(), attached.acquire()]
    await using worker = await PoolWorker.start(pool.share())
    const seen = await worker.run(({ pool, kept }) => {
      kept.push(pool.acquire())
      return {
        size: pool.bufferSize,
        capacity: pool.capacity,
        available: pool.available,
        ok: pool.audit().ok,
      }
    })
    expect(seen).toEqual({ size: 100, capacity: 8, available: 5, ok: true })
    expect(expectAudit(pool)).toMatchObject({ free: 5, lent: 1, elsewhere: 2 })
    expect(pool.dump().map(({ state }) => state)).toEqual(['lent', 'elsewhere', 'elsewhere'])
    for (const guard of guards) guard.dispose()
    attached.close()
    await attached.closed
  })

  test('no two holders have the same buffer, wherever they are', async () => {
    const pool = makePool({ bufferSize: 64, capacity: 32, shared: true, onExhausted: 'throw' })
    await using worker = await PoolWorker.start(pool.share(), { onExhausted: 'throw' })
    const others = await worker.run(({ pool, kept }) => {
      for (;;) {
        const guard = pool.tryAcquire()
        if (guard === undefined || kept.length === 16) {
          guard?.dispose()
          return kept.length
        }
        guard.bytes.fill(7)
        kept.push(guard)
      }
    })
    expect(others).toBe(16)
    const mine = []
    for (let guard = pool.tryAcquire(); guard !== undefined; guard = pool.tryAcquire()) {
      expect(guard.bytes.every((byte) => byte === 0)).toBe(true)
      guard.bytes.fill(9)
      mine.push(guard)
    }
    expect(await worker.run(({ kept }) => kept.every(({ bytes }) => bytes.every((byte) => byte === 7)))).toBe(
      true,
    )
    expect(mine.every(({ bytes }) => bytes.every((byte) => byte === 9))).toBe(true)
    expect(mine.length + others + pool.audit().elsewhere - 16).toBe(32)
    for (const guard of mine) guard.dispose()
  })

  test('has options of its own, and checks them before it attaches', () => {
    const pool = makePool({ capacity: 2, shared: true })
    const token = pool.share()
    const attached = BufferPool.attach(token, {
      onExhausted: 'throw',
      maxFallback: 3,
      leakDetection: 'stack',
    })
    expect(attached.info()).toMatchObject({ onExhausted: 'throw', leakDetection: 'stack', shared: true })
    attached.close()
    const refused = (options: object) => thrownBy(() => BufferPool.attach(token, options as never))
    expectRefusal(refused({ capacity: 3 }), { code: 'WRAITH_ERR_UNKNOWN_OPTION', option: 'capacity' })
    expectRefusal(refused({ onExhausted: 'wait' }), {
      code: 'WRAITH_ERR_OUT_OF_RANGE',
      option: 'onExhausted',
      given: '"wait"',
    })
    expectRefusal(refused({ maxFallback: -1 }), { code: 'WRAITH_ERR_OUT_OF_RANGE', option: 'maxFallback' })
    expectRefusal(refused([]), { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'BufferPool.attach options' })
    expect(pool.metrics().isolates).toHaveLength(1)
  })

  test.each([
    ['nothing', undefined],
    ['null', null],
    ['a string', '0'.repeat(32)],
    ['another kind', { kind: 'wraith-transport/udp', id: '0'.repeat(32) }],
    ['an id that is no string', { kind, id: 5 }],
    ['no id', { kind }],
  ])('of %s is refused by type', (_what, token) => {
    expectRefusal(
      thrownBy(() => BufferPool.attach(token as unknown as PoolToken)),
      {
        code: 'WRAITH_ERR_INVALID_ARG_TYPE',
        option: 'token',
      },
    )
  })

  test.each([
    ['that was forged', 'f'.repeat(32)],
    ['that is too short', 'abc'],
    ['that is no number', 'x'.repeat(32)],
    ['that is too long', '0'.repeat(33)],
  ])('of an id %s finds nothing', (_what, id) => {
    expectRefusal(
      thrownBy(() => BufferPool.attach({ kind, id })),
      {
        code: 'WRAITH_ERR_STALE_TOKEN',
        option: 'token',
      },
    )
  })

  test('of a closed pool is refused as such, also while buffers of it are out', () => {
    const pool = makePool({ capacity: 2, shared: true })
    const token = pool.share()
    const guard = pool.acquire()
    pool.close()
    expectRefusal(
      thrownBy(() => BufferPool.attach(token)),
      { code: 'WRAITH_ERR_POOL_CLOSED' },
    )
    guard.dispose()
    expectRefusal(
      thrownBy(() => BufferPool.attach(token)),
      { code: 'WRAITH_ERR_POOL_CLOSED' },
    )
  })

  test('with the token of another process finds nothing', async () => {
    const pool = makePool({ capacity: 2, shared: true })
    const seen = await childResult('attach-foreign.mjs', { args: [JSON.stringify(pool.share())] })
    expect(seen).toEqual({ code: 'WRAITH_ERR_STALE_TOKEN', wraith: true })
  })

  test('works as often as one likes, and each attachment is one of its own', () => {
    const pool = makePool({ bufferSize: 64, capacity: 64, shared: true })
    const others = Array.from({ length: 20 }, () => BufferPool.attach(pool.share()))
    expect(new Set(pool.metrics().isolates?.map(({ id }) => id)).size).toBe(21)
    const guards = others.map((other) => other.acquire())
    for (const [index, guard] of guards.entries()) {
      expectRefusal(
        thrownBy(() => pool.release(guard)),
        { code: 'WRAITH_ERR_FOREIGN_BUFFER', option: 'guard' },
      )
      others[index]?.release(guard)
    }
    for (const other of others) other.close()
    expect(expectAudit(pool).elsewhere).toBe(0)
    expect(pool.metrics().isolates).toHaveLength(1)
  })
})

describe('options', () => {
  test('of tickets are for shared pools', () => {
    expectRefusal(
      thrownBy(() => makePool({ ticketTimeout: 5 })),
      {
        code: 'WRAITH_ERR_NOT_SHARED',
        option: 'ticketTimeout',
      },
    )
    for (const [given, code] of [
      [-1, 'WRAITH_ERR_OUT_OF_RANGE'],
      [2 ** 32, 'WRAITH_ERR_OUT_OF_RANGE'],
      [1.5, 'WRAITH_ERR_OUT_OF_RANGE'],
      ['1', 'WRAITH_ERR_INVALID_ARG_TYPE'],
    ] as const) {
      const error = thrownBy(() => makePool({ shared: true, ticketTimeout: given as number }))
      expectRefusal(error, { code, option: 'ticketTimeout' })
    }
    expectRefusal(
      thrownBy(() => makePool({ shared: 1 as never })),
      {
        code: 'WRAITH_ERR_INVALID_ARG_TYPE',
        option: 'shared',
      },
    )
  })
})
