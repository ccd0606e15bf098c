import { describe, expect, test } from 'vitest'
import { BufferChannel, BufferPool, type ChannelBatch, type PooledBuffer } from 'wraith-transport'

import { filled, shared, texts } from './support/channels.ts'
import { expectRefusal, thrownBy } from './support/errors.ts'
import { turns } from './support/pool-workers.ts'
import { debugMode, expectAudit, isZero, makePool } from './support/pools.ts'

/** Both ways in which bytes travel: copied, and in the very same slot. */
const ways = [
  ['copied', { copyUpTo: 64 }],
  ['in the same buffer', { copyUpTo: 0 }],
] as const

describe.each(ways)('bytes that travel %s', (_way, options) => {
  test('arrive in their order, at most 32 together', () => {
    const pool = shared()
    const channel = new BufferChannel(pool, options)
    const sent = Array.from({ length: 40 }, (_, i) => `number ${i}`)
    expect(channel.sendMany(sent.map((text) => filled(pool, text)))).toBe(40)
    channel.flush()
    expect(channel.queued).toBe(40)
    expect(expectAudit(pool).transit).toBe(40)
    const first = channel.tryReceive()
    expect(texts(first)).toEqual(sent.slice(0, 32))
    expect(expectAudit(pool)).toMatchObject({ transit: 8, batched: 32 })
    const second = channel.tryReceive()
    expect(first?.disposed).toBe(true)
    expect(texts(second)).toEqual(sent.slice(32))
    expect(channel.tryReceive()).toBeUndefined()
    expect(channel.metrics()).toEqual({ queued: 0, capacity: 64, sent: 40, received: 40, dropped: 0 })
    channel.close()
  })

  test('leave at the end of the turn, and no view of them is left', async () => {
    const pool = shared()
    const channel = new BufferChannel(pool, options)
    const guard = filled(pool, 'soon')
    const views = [guard.bytes, guard.bytes.subarray(1)]
    expect(channel.send(guard)).toBe(true)
    expect(guard.disposed).toBe(true)
    expectRefusal(
      thrownBy(() => channel.send(guard)),
      { code: 'WRAITH_ERR_STALE_BUFFER' },
    )
    expect(channel.tryReceive()).toBeUndefined()
    expect(channel.queued).toBe(1)
    await undefined
    await undefined
    // A copied buffer is at home, zeroed, like any that was disposed of; another one has left.
    const gone = views.every((view) => view.byteLength === 0 || (options.copyUpTo > 0 && isZero(view)))
    expect(gone).toBe(true)
    expect(texts(channel.tryReceive())).toEqual(['soon'])
    channel.close()
  })

  test('go home zeroed when their batch ends, and its views are not theirs any more', () => {
    const pool = shared({ capacity: 8 })
    const channel = new BufferChannel(pool, options)
    channel.send(filled(pool, 'secret'))
    channel.flush()
    const batch = channel.tryReceive() as ChannelBatch
    const view = batch.bytes(0)
    expect(batch.bytes(0)).toBe(view)
    view.write('SECRET')
    batch.dispose()
    batch.dispose()
    if (debugMode || options.copyUpTo === 0) expect(view.byteLength).toBe(0)
    for (const late of [() => batch.bytes(0), () => batch.copy(0), () => batch.take(0)])
      expectRefusal(thrownBy(late), { code: 'WRAITH_ERR_STALE_BATCH' })
    expect(expectAudit(pool)).toMatchObject({ batched: 0, transit: 0 })
    const all = pool.acquireMany(8)
    expect(all.every(({ bytes }) => isZero(bytes))).toBe(true)
    all.dispose()
    channel.close()
  })

  test('can be taken out of the batch, with what was written to them, and sent on', () => {
    const pool = shared()
    const channel = new BufferChannel(pool, options)
    for (const text of ['one', 'two', 'three']) channel.send(filled(pool, text))
    channel.flush()
    const batch = channel.tryReceive() as ChannelBatch
    batch.bytes(1).write('TWO')
    const [second, third] = [batch.take(1), batch.take(2)]
    expect(batch.copy(0).toString()).toBe('one')
    for (const late of [() => batch.bytes(1), () => batch.take(1)])
      expectRefusal(thrownBy(late), { code: 'WRAITH_ERR_OUT_OF_RANGE', option: 'i' })
    batch.dispose()
    expect([second, third].map(({ data }) => data.toString())).toEqual(['TWO', 'three'])
    expect(second.pooled).toBe(true)
    expect(channel.send(second)).toBe(true)
    channel.flush()
    expect(texts(channel.tryReceive())).toEqual(['TWO'])
    third.dispose()
    channel.close()
  })

  test('of no length at all arrive, too', () => {
    const pool = shared()
    const channel = new BufferChannel(pool, options)
    channel.send(pool.acquire())
    channel.flush()
    expect(texts(channel.tryReceive())).toEqual([''])
    channel.close()
  })
})

test('when no buffer is free to copy into, the very same one goes', () => {
  const pool = shared({ capacity: 2 })
  const channel = new BufferChannel(pool)
  const [first, second] = [filled(pool, 'first'), filled(pool, 'second')]
  channel.sendMany([first, second])
  channel.flush()
  expect(expectAudit(pool).transit).toBe(2)
  expect(texts(channel.tryReceive())).toEqual(['first', 'second'])
  channel.close()
})

describe('send()', () => {
  test('of a full channel leaves the guard as it is', () => {
    const pool = shared()
    const channel = new BufferChannel(pool, { capacity: 2 })
    const guards = ['a', 'b', 'c'].map((text) => filled(pool, text))
    expect(channel.sendMany(guards)).toBe(2)
    const [, , third] = guards as [PooledBuffer, PooledBuffer, PooledBuffer]
    expect(channel.send(third)).toBe(false)
    channel.flush()
    expect(channel.send(third)).toBe(false)
    expect(third.data.toString()).toBe('c')
    expect(texts(channel.tryReceive())).toEqual(['a', 'b'])
    expect(channel.send(third)).toBe(true)
    channel.close()
  })

  test('of a buffer of another pool, or of the heap, sends a copy', () => {
    const pool = shared({ capacity: 2, onExhausted: 'allocate' })
    const other = makePool({ bufferSize: 128, capacity: 1 })
    const channel = new BufferChannel(pool)
    const held = pool.acquireMany(2)
    const fallback = filled(pool, 'from the heap')
    expect(fallback.pooled).toBe(false)
    expect(channel.send(fallback)).toBe(false)
    expect(fallback.data.toString()).toBe('from the heap')
    held.dispose()
    expect(channel.send(fallback)).toBe(true)
    const foreign = filled(other, 'from elsewhere')
    expect(channel.send(foreign)).toBe(true)
    expect(foreign.disposed).toBe(true)
    channel.flush()
    expect(texts(channel.tryReceive())).toEqual(['from the heap', 'from elsewhere'])
    const large = filled(other, 'x'.repeat(65))
    expectRefusal(
      thrownBy(() => channel.send(large)),
      { code: 'WRAITH_ERR_OUT_OF_RANGE', option: 'guard' },
    )
    large.dispose()
    channel.close()
  })

  test.each([
    ['nothing', undefined],
    ['bytes', new Uint8Array(4)],
    ['an object', {}],
  ])('of %s is refused by type', (_what, given) => {
    const pool = shared()
    const channel = new BufferChannel(pool)
    expectRefusal(
      thrownBy(() => channel.send(given as never)),
      { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'guard' },
    )
    channel.close()
  })
})

describe('close()', () => {
  test('brings home what is in it, and refuses the rest', async () => {
    const pool = shared()
    using channel = new BufferChannel(pool)
    const other = BufferChannel.attach(channel.share(), pool)
    const [sent, pending, late] = ['sent', 'pending', 'late'].map((text) => filled(pool, text)) as [
      PooledBuffer,
      PooledBuffer,
      PooledBuffer,
    ]
    other.send(sent)
    other.flush()
    other.send(pending)
    channel.close()
    channel.close()
    await turns()
    expect(expectAudit(pool)).toMatchObject({ transit: 0, lent: 1 })
    for (const refused of [
      () => other.send(late),
      () => channel.send(late),
      () => other.consume(() => {}),
      () => channel.tryReceive(),
      () => channel.share(),
    ])
      expectRefusal(thrownBy(refused), { code: 'WRAITH_ERR_CHANNEL_CLOSED' })
    expect([channel.closed, other.closed]).toEqual([true, true])
    late.dispose()
    expect(other.metrics()).toMatchObject({ queued: 0, received: 0, dropped: 1 })
  })

  test('of the pool ends its channels; leaving the pool ends this handle alone', async () => {
    const pool = shared()
    const member = BufferPool.attach(pool.share(), { onExhausted: 'throw' })
    const channel = new BufferChannel(pool)
    const theirs = BufferChannel.attach(channel.share(), member)
    theirs.send(filled(member, 'sent before leaving'))
    theirs.consume(() => {})
    member.close()
    expect(theirs.closed).toBe(true)
    const guard = filled(pool, 'x')
    expectRefusal(
      thrownBy(() => theirs.send(guard)),
      { code: 'WRAITH_ERR_CHANNEL_CLOSED' },
    )
    expect(channel.closed).toBe(false)
    expect(texts(channel.tryReceive())).toEqual(['sent before leaving'])
    channel.stop()
    channel.send(guard)
    pool.close()
    expect(channel.closed).toBe(true)
    await pool.closed
    expect(expectAudit(pool)).toMatchObject({ free: 64, transit: 0 })
  })
})

describe('a token', () => {
  test.each([
    ['nothing', undefined],
    ['a text', 'text'],
    ['a pool’s token', { kind: 'wraith-transport/pool', id: '0'.repeat(32) }],
    ['a token without an id', { kind: 'wraith-transport/channel' }],
    ['a token with letters', { kind: 'wraith-transport/channel', id: 'x'.repeat(32) }],
  ])('that is %s is refused by type', (_what, token) => {
    const pool = shared()
    expectRefusal(
      thrownBy(() => BufferChannel.attach(token as never, pool)),
      { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'token' },
    )
  })

  test('that is forged, of another pool’s channel, or of a closed one is refused by its code', () => {
    const [pool, other] = [shared(), shared()]
    const channel = new BufferChannel(pool)
    const token = channel.share()
    const forged = { ...token, id: '0'.repeat(32) }
    expectRefusal(
      thrownBy(() => BufferChannel.attach(forged, pool)),
      { code: 'WRAITH_ERR_STALE_TOKEN', option: 'token' },
    )
    expectRefusal(
      thrownBy(() => BufferChannel.attach(token, other)),
      { code: 'WRAITH_ERR_FOREIGN_BUFFER', option: 'pool' },
    )
    channel.close()
    expectRefusal(
      thrownBy(() => BufferChannel.attach(token, pool)),
      { code: 'WRAITH_ERR_CHANNEL_CLOSED' },
    )
  })

  test('is frozen, and a plain object', () => {
    const pool = shared()
    const channel = new BufferChannel(pool)
    const token = channel.share()
    expect(Object.isFrozen(token)).toBe(true)
    expect(structuredClone(token)).toEqual(token)
    expect(token.id).toMatch(/^[0-9a-f]{32}$/)
    channel.close()
  })
})

describe('new BufferChannel()', () => {
  test.each([
    ['capacity', { capacity: 0 }, 'WRAITH_ERR_OUT_OF_RANGE'],
    ['capacity', { capacity: '8' }, 'WRAITH_ERR_INVALID_ARG_TYPE'],
    ['copyUpTo', { copyUpTo: -1 }, 'WRAITH_ERR_OUT_OF_RANGE'],
    ['copyUpTo', { copyUpTo: 65_537 }, 'WRAITH_ERR_OUT_OF_RANGE'],
    ['capacty', { capacty: 8 }, 'WRAITH_ERR_UNKNOWN_OPTION'],
  ])('names a wrong option: %s', (option, options, code) => {
    const pool = shared()
    const channel = new BufferChannel(pool)
    for (const make of [
      () => new BufferChannel(pool, options as never),
      () => BufferChannel.attach(channel.share(), pool, options as never),
    ])
      expectRefusal(thrownBy(make), { code: code as 'WRAITH_ERR_OUT_OF_RANGE', option })
    channel.close()
  })

  test('wants a shared pool that is open', () => {
    expectRefusal(
      thrownBy(() => new BufferChannel(makePool({ capacity: 1 }))),
      { code: 'WRAITH_ERR_NOT_SHARED', option: 'pool' },
    )
    expectRefusal(
      thrownBy(() => new BufferChannel({} as never)),
      { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'pool' },
    )
    const pool = shared()
    const { share } = new BufferChannel(pool)
    expect(share).toBeTypeOf('function')
    pool.close()
    expectRefusal(
      thrownBy(() => new BufferChannel(pool)),
      { code: 'WRAITH_ERR_POOL_CLOSED' },
    )
  })
})
