import { MessageChannel, receiveMessageOnPort } from 'node:worker_threads'
import { describe, expect, test } from 'vitest'
import { BufferPool, type PooledBuffer } from 'wraith-transport'

import { expectRefusal, thrownBy } from './support/errors.ts'
import { PoolWorker, until } from './support/pool-workers.ts'
import { debugMode, expectAudit, isZero, makePool } from './support/pools.ts'
import { shared, write } from './support/tickets.ts'

describe('transfer()', () => {
  test('empties every view of this thread, and the guard is stale', () => {
    const pool = shared()
    const guard = pool.acquire()
    const { bytes } = guard
    const views = [bytes, bytes.subarray(3), new Float64Array(bytes.buffer)]
    const ticket = guard.transfer()
    expect(views.map(({ byteLength }) => byteLength)).toEqual([0, 0, 0])
    expect(guard.disposed).toBe(true)
    expectRefusal(
      thrownBy(() => guard.bytes),
      { code: 'WRAITH_ERR_STALE_BUFFER' },
    )
    expectRefusal(
      thrownBy(() => guard.transfer()),
      { code: 'WRAITH_ERR_STALE_BUFFER' },
    )
    guard.dispose()
    expect(expectAudit(pool)).toMatchObject({ transit: 1, lent: 0 })
    pool.adopt(ticket).dispose()
  })

  test('keeps bytes and length, in the same thread and on to other ones and back', async () => {
    const pool = shared()
    await using worker = await PoolWorker.start(pool.share())
    const answer = await worker.run(({ pool }, ticket) => {
      const guard = pool.adopt(ticket)
      const text = guard.data.toString()
      guard.length = guard.bytes.write(`${text} and back`)
      return guard.transfer().token
    }, write(pool.acquire(), 'there').transfer())
    const guard = pool.adopt(answer)
    expect(guard.data.toString()).toBe('there and back')
    expect(guard.bytes).toHaveLength(64)
    expect(guard.pooled).toBe(true)
    guard.dispose()
    const again = pool.acquireMany(8)
    expect(again.every(({ bytes }) => isZero(bytes))).toBe(true)
    again.dispose()
  })

  test('is a class with one own property, which is all that a clone has', () => {
    const pool = shared()
    const ticket = pool.acquire().transfer()
    expect(Object.keys(ticket)).toEqual(['token'])
    expect(ticket.token).toMatch(/^[0-9a-f]{48}$/)
    const clone = structuredClone(ticket)
    expect(clone).toEqual({ token: ticket.token })
    pool.adopt(clone).dispose()
  })

  test('and acquire again and again: no ticket is like an earlier one of the same buffer', () => {
    const pool = shared({ capacity: 1 })
    const tokens = Array.from({ length: 100 }, () => {
      const { token } = pool.acquire().transfer()
      pool.adopt(token).dispose()
      return token
    })
    expect(new Set(tokens).size).toBe(100)
    for (const token of tokens) {
      expectRefusal(
        thrownBy(() => pool.adopt(token)),
        { code: 'WRAITH_ERR_STALE_TICKET', option: 'ticket' },
      )
    }
  })

  test('of a closed pool is refused, and the guard stays good', () => {
    const pool = shared()
    const guard = write(pool.acquire(), 'mine')
    pool.close()
    expectRefusal(
      thrownBy(() => guard.transfer()),
      { code: 'WRAITH_ERR_POOL_CLOSED' },
    )
    expect(guard.data.toString()).toBe('mine')
    guard.dispose()
  })
})

describe('adopt()', () => {
  test('works once, whoever tries', async () => {
    const pool = shared()
    await using worker = await PoolWorker.start(pool.share())
    const ticket = pool.acquire().transfer()
    await worker.run(({ pool, kept }, token) => void kept.push(pool.adopt(token)), ticket.token)
    expectRefusal(
      thrownBy(() => pool.adopt(ticket)),
      { code: 'WRAITH_ERR_STALE_TICKET', option: 'ticket' },
    )
    expect(ticket.cancel()).toBe(false)
    expect(await worker.run(({ kept }) => kept.pop()?.disposed)).toBe(false)
  })

  test('of two threads that race for the same tickets, each ticket goes to one', async () => {
    const pool = shared({ capacity: 64 })
    await using worker = await PoolWorker.start(pool.share())
    const tokens = Array.from({ length: 64 }, () => pool.acquire().transfer().token)
    const theirs = worker.run(({ pool, kept }, tokens) => {
      for (const token of tokens) {
        try {
          kept.push(pool.adopt(token))
        } catch {}
      }
      return kept.length
    }, tokens)
    const mine: PooledBuffer[] = []
    for (const token of [...tokens].reverse()) {
      try {
        mine.push(pool.adopt(token))
      } catch {}
    }
    expect(mine.length + (await theirs)).toBe(64)
    expect(expectAudit(pool)).toMatchObject({ transit: 0, lent: mine.length })
    for (const guard of mine) guard.dispose()
  })

  test('by another pool is refused, and the ticket stays good', () => {
    const pool = shared()
    const ticket = write(pool.acquire(), 'here').transfer()
    for (const other of [shared(), makePool({ capacity: 1 })]) {
      expectRefusal(
        thrownBy(() => other.adopt(ticket)),
        {
          code: 'WRAITH_ERR_FOREIGN_BUFFER',
          option: 'ticket',
        },
      )
    }
    const guard = pool.adopt(ticket)
    expect(guard.data.toString()).toBe('here')
    guard.dispose()
  })

  test('after close is refused: tickets end with the pool, and their buffers are home', async () => {
    const pool = shared()
    const ticket = pool.acquire().transfer()
    pool.close()
    expectRefusal(
      thrownBy(() => pool.adopt(ticket)),
      { code: 'WRAITH_ERR_POOL_CLOSED' },
    )
    expect(expectAudit(pool)).toMatchObject({ transit: 0, free: 8 })
    await pool.closed
  })

  test.each([
    ['nothing', undefined],
    ['a number', 5],
    ['an object', {}],
    ['an empty string', ''],
    ['half a slot', '0'.repeat(40)],
    ['letters', 'x'.repeat(48)],
    ['capital digits', 'A'.repeat(48)],
    ['a copy that is shorter than it says', `${'0'.repeat(32)}x00000005abc`],
    ['a copy without a length', `${'0'.repeat(32)}x`],
    ['bytes', new Uint8Array(48)],
  ])('of %s is refused by type', (_what, given) => {
    const pool = shared()
    for (const adopt of [() => pool.adopt(given as never), () => pool.adoptMany(given as never)]) {
      expectRefusal(thrownBy(adopt), { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'ticket' })
    }
  })

  test.each([
    ['a slot that the pool does not have', 'ffffffff00000001'],
    ['a slot that is at home', '0000000700000000'],
    ['a slot that somebody holds', '0000000000000000'],
    ['another journey', '0000000000000009'],
  ])('of a ticket that was forged for %s is refused', (_what, digits) => {
    const pool = shared()
    const ticket = pool.acquire().transfer()
    const guard = pool.acquire()
    const forged = pool.share().id + digits
    expectRefusal(
      thrownBy(() => pool.adopt(forged)),
      { code: 'WRAITH_ERR_STALE_TICKET', option: 'ticket' },
    )
    guard.dispose()
    pool.adopt(ticket).dispose()
  })
})

describe('tickets that nobody adopts', () => {
  test('are cancelled by who made them: the buffer is home, zeroed', () => {
    const pool = shared({ capacity: 1 })
    const ticket = write(pool.acquire(), 'secret').transfer()
    expect(ticket.cancel()).toBe(true)
    expect(ticket.cancel()).toBe(false)
    const guard = pool.acquire()
    expect(isZero(guard.bytes)).toBe(true)
    guard.dispose()
  })

  test('are taken back after the time-out, by who finds the pool empty', async () => {
    const pool = shared({ capacity: 1, ticketTimeout: 1 })
    const ticket = write(pool.acquire(), 'secret').transfer()
    await until(() => pool.metrics().pool?.expired === 1)
    const guard = pool.acquire()
    expect(isZero(guard.bytes)).toBe(true)
    expectRefusal(
      thrownBy(() => pool.adopt(ticket)),
      { code: 'WRAITH_ERR_STALE_TICKET', option: 'ticket' },
    )
    guard.dispose()
  })

  test('come home to one who waits, without anybody doing anything', async () => {
    const pool = shared({ capacity: 1, ticketTimeout: 5 })
    pool.acquire().transfer()
    const guard = await pool.acquireAsync()
    guard.dispose()
    expect(pool.metrics().pool).toMatchObject({ transferred: 1, expired: 1, adopted: 0 })
  })

  test('are counted by how they ended', () => {
    const pool = shared()
    pool.adopt(pool.acquire().transfer()).dispose()
    pool.acquire().transfer().cancel()
    pool.acquire().transfer()
    pool.close()
    expect(pool.metrics().pool).toMatchObject({ transferred: 3, adopted: 1, cancelled: 1, expired: 1 })
  })

  test('outlive the thread that made them', async () => {
    const pool = shared()
    const worker = await PoolWorker.start(pool.share())
    const token = await worker.run(({ pool }) => {
      const guard = pool.acquire()
      guard.length = guard.bytes.write('bequest')
      return guard.transfer().token
    })
    await worker.terminate()
    const guard = pool.adopt(token)
    expect(guard.data.toString()).toBe('bequest')
    guard.dispose()
  })
})

describe('copies', () => {
  test('are what tickets of private pools and of fallback buffers carry', () => {
    const from = makePool({ bufferSize: 64, capacity: 1 })
    const to = makePool({ bufferSize: 16, capacity: 4 })
    const bytes = Uint8Array.from({ length: 16 }, (_, i) => i * 17)
    for (const pooled of [true, false]) {
      const held = pooled ? undefined : from.acquire()
      const guard = from.acquire()
      expect(guard.pooled).toBe(pooled)
      guard.bytes.set(bytes)
      guard.length = 16
      const ticket = guard.transfer()
      expect(guard.disposed).toBe(true)
      expect(ticket.cancel()).toBe(false)
      for (const adopted of [to.adopt(structuredClone(ticket)), to.adopt(ticket.token)]) {
        expect(adopted.data).toEqual(Buffer.from(bytes))
        adopted.dispose()
      }
      held?.dispose()
    }
    expect(from.available).toBe(1)
  })

  test('must fit, and may find the pool empty', () => {
    const from = makePool({ bufferSize: 64, capacity: 1 })
    const to = makePool({ bufferSize: 4, capacity: 1, onExhausted: 'throw' })
    const ticket = write(from.acquire(), 'five!').transfer()
    expectRefusal(
      thrownBy(() => to.adopt(ticket)),
      { code: 'WRAITH_ERR_OUT_OF_RANGE', option: 'ticket' },
    )
    const small = write(from.acquire(), 'four').transfer()
    const held = to.acquire()
    expectRefusal(
      thrownBy(() => to.adopt(small)),
      { code: 'WRAITH_ERR_POOL_EXHAUSTED' },
    )
    held.dispose()
    to.adopt(small).dispose()
  })

  test('of another pool’s guard: it is disposed of; one of the same pool is passed on', () => {
    const [from, to] = [shared(), shared()]
    const guard = write(from.acquire(), 'copied')
    const copy = to.adopt(guard)
    expect(guard.disposed).toBe(true)
    expect(copy.data.toString()).toBe('copied')
    const same = to.adopt(copy)
    expect(copy.disposed).toBe(true)
    expect(same.data.toString()).toBe('copied')
    same.dispose()
    expectRefusal(
      thrownBy(() => to.adopt(same)),
      { code: 'WRAITH_ERR_STALE_BUFFER' },
    )
  })
})

test('a message that nobody reads keeps its buffer until the time-out, and no longer', async () => {
  const pool = shared({ capacity: 1, ticketTimeout: 1 })
  const { port1, port2 } = new MessageChannel()
  port1.postMessage(pool.acquire().transfer())
  const received = receiveMessageOnPort(port2) as { message: { token: string } }
  await until(() => pool.available === 1 || pool.audit().free + pool.audit().cached === 1)
  expectRefusal(
    thrownBy(() => pool.adopt(received.message)),
    { code: 'WRAITH_ERR_STALE_TICKET', option: 'ticket' },
  )
  port1.close()
})

test('in debug mode a view of a buffer lies on memory of its own, and its bytes travel all the same', () => {
  const pool = shared()
  const other = BufferPool.attach(pool.share())
  const guard = write(pool.acquire(), 'all the same')
  const { buffer } = guard.bytes
  const adopted = other.adopt(guard.transfer())
  expect(adopted.data.toString()).toBe('all the same')
  expect(buffer.byteLength).toBe(0)
  expect(adopted.bytes.buffer.byteLength).toBe(64)
  const late = adopted.bytes
  adopted.dispose()
  if (debugMode) expect(late.byteLength).toBe(0)
  other.close()
})
