import { describe, expect, test } from 'vitest'
import type { BufferTicket } from 'wraith-transport'

import { expectRefusal, thrownBy } from './support/errors.ts'
import { PoolWorker } from './support/pool-workers.ts'
import { expectAudit, makePool } from './support/pools.ts'
import { shared, write } from './support/tickets.ts'

describe('several at once', () => {
  test('go with one ticket and come in their order', async () => {
    const pool = shared()
    const guards = pool.acquireMany(5)
    for (const [i, guard] of guards.entries()) write(guard, `number ${i}`)
    const ticket = guards.transfer()
    expect(guards.every(({ disposed }) => disposed)).toBe(true)
    await using worker = await PoolWorker.start(pool.share())
    const texts = await worker.run(({ pool }, token) => {
      const adopted = pool.adoptMany(token)
      const texts = adopted.map((guard) => guard.data.toString())
      adopted.dispose()
      return texts
    }, ticket.token)
    expect(texts).toEqual([0, 1, 2, 3, 4].map((i) => `number ${i}`))
  })

  test('with fallback buffers among them, which travel as copies', () => {
    const pool = makePool({ bufferSize: 64, capacity: 2, shared: true })
    const guards = pool.acquireMany(4)
    for (const [i, guard] of guards.entries()) write(guard, `number ${i}`)
    const ticket = guards.transfer()
    const adopted = pool.adoptMany(ticket)
    expect(adopted.map(({ data, pooled }) => `${data} ${pooled}`)).toEqual([
      'number 0 true',
      'number 1 true',
      'number 2 false',
      'number 3 false',
    ])
    adopted.dispose()
  })

  test('one ticket of several is not for adopt(), one of one is for either', () => {
    const pool = shared()
    const ticket = pool.acquireMany(2).transfer()
    expectRefusal(
      thrownBy(() => pool.adopt(ticket)),
      { code: 'WRAITH_ERR_OUT_OF_RANGE', option: 'ticket' },
    )
    pool.adoptMany(ticket).dispose()
    pool.adoptMany(pool.acquire().transfer()).dispose()
    pool.adopt(pool.acquireMany(1).transfer()).dispose()
    const none = pool.acquireMany(0).transfer()
    expectRefusal(
      thrownBy(() => pool.adopt(none)),
      { code: 'WRAITH_ERR_OUT_OF_RANGE', option: 'ticket' },
    )
  })

  test('are had all or none: when one is gone the others go home', () => {
    const pool = shared()
    const ticket = pool.acquireMany(3).transfer()
    const second = pool.share().id + ticket.token.slice(32 + 16, 32 + 32)
    const guard = pool.adopt(second)
    expectRefusal(
      thrownBy(() => pool.adoptMany(ticket)),
      { code: 'WRAITH_ERR_STALE_TICKET', option: 'ticket' },
    )
    expect(expectAudit(pool)).toMatchObject({ transit: 0, lent: 1 })
    guard.dispose()
  })

  test('are cancelled together', () => {
    const pool = shared()
    const ticket = pool.acquireMany(3).transfer()
    expect(ticket.cancel()).toBe(true)
    expect(expectAudit(pool).transit).toBe(0)
    expect(ticket.cancel()).toBe(false)
  })

  test('must come from one shared pool, or none is given away', () => {
    const [one, two] = [shared(), shared()]
    const guards = one.acquireMany(1)
    guards.push(two.acquire())
    expectRefusal(
      thrownBy(() => guards.transfer()),
      { code: 'WRAITH_ERR_FOREIGN_BUFFER' },
    )
    expect(guards.every(({ disposed }) => disposed)).toBe(true)
    for (const pool of [one, two]) expect(expectAudit(pool)).toMatchObject({ transit: 0, lent: 0 })
  })

  test('none at all is a ticket of nothing', () => {
    const pool = shared()
    const ticket: BufferTicket = pool.acquireMany(0).transfer()
    expect(pool.adoptMany(ticket)).toHaveLength(0)
  })
})
