import { describe, expect, test } from 'vitest'
import { BufferChannel, type ChannelBatch } from 'wraith-transport'

import { filled, shared, texts } from './support/channels.ts'
import { expectRefusal, rejectionOf, thrownBy } from './support/errors.ts'
import { turns } from './support/pool-workers.ts'
import { expectAudit } from './support/pools.ts'

describe('consume()', () => {
  test('hands out batch after batch, one at a time, and each ends with the handler or its promise', async () => {
    const pool = shared()
    const channel = new BufferChannel(pool)
    const seen: string[] = []
    const batches: ChannelBatch[] = []
    let go = (): void => {}
    channel.consume((batch) => {
      batches.push(batch)
      seen.push(...texts(batch))
      if (batches.length > 1) return undefined
      return new Promise<void>((resolve) => {
        go = resolve
      })
    })
    channel.send(filled(pool, 'first'))
    await turns()
    channel.send(filled(pool, 'second'))
    await turns()
    expect(seen).toEqual(['first'])
    expect(batches[0]?.disposed).toBe(false)
    go()
    await turns()
    expect(seen).toEqual(['first', 'second'])
    expect(batches.every(({ disposed }) => disposed)).toBe(true)
    channel.close()
  })

  test('goes on after a handler that throws', async () => {
    const pool = shared()
    const channel = new BufferChannel(pool)
    const seen: string[] = []
    const caught: unknown[] = []
    const listeners = process.listeners('uncaughtException')
    process.removeAllListeners('uncaughtException')
    process.on('uncaughtException', (error) => caught.push(error.message))
    channel.consume((batch) => {
      seen.push(...texts(batch))
      if (seen.length === 1) throw new Error('mine')
    })
    channel.send(filled(pool, 'one'))
    channel.flush()
    await turns()
    channel.send(filled(pool, 'two'))
    await turns()
    process.removeAllListeners('uncaughtException')
    for (const listener of listeners) process.on('uncaughtException', listener)
    expect(seen).toEqual(['one', 'two'])
    expect(caught).toEqual(['mine'])
    channel.close()
  })

  test('is one at a time, whichever way and whichever handle', async () => {
    const pool = shared()
    const channel = new BufferChannel(pool)
    const other = BufferChannel.attach(structuredClone(channel.share()), pool)
    channel.consume(() => {})
    for (const second of [
      () => channel.consume(() => {}),
      () => channel.tryReceive(),
      () => other.consume(() => {}),
      () => other.tryReceive(),
    ])
      expectRefusal(thrownBy(second), { code: 'WRAITH_ERR_BUSY' })
    expectRefusal(await rejectionOf(() => other[Symbol.asyncIterator]().next()), { code: 'WRAITH_ERR_BUSY' })
    channel.stop()
    channel.stop()
    channel.send(filled(pool, 'for the other'))
    channel.flush()
    const theirs = other.tryReceive()
    expect(texts(theirs)).toEqual(['for the other'])
    theirs?.dispose()
    expectRefusal(
      thrownBy(() => channel.consume('handler' as never)),
      { code: 'WRAITH_ERR_INVALID_ARG_TYPE', option: 'handler' },
    )
    channel.close()
  })

  test('left by stop() inside the handler has its batch ended, and the rest waits', async () => {
    const pool = shared()
    const channel = new BufferChannel(pool, { copyUpTo: 0 })
    let batch: ChannelBatch | undefined
    channel.consume((given) => {
      batch = given
      channel.stop()
    })
    channel.sendMany(Array.from({ length: 40 }, () => filled(pool, 'x')))
    await turns()
    expect(batch?.disposed).toBe(true)
    expect(expectAudit(pool)).toMatchObject({ batched: 0, transit: 8 })
    channel.close()
  })
})

describe('for await', () => {
  test('gives each batch until the next one, and leaving it is stop()', async () => {
    const pool = shared()
    const channel = new BufferChannel(pool).unref().ref()
    const seen: string[] = []
    let last: ChannelBatch | undefined
    const loop = (async () => {
      for await (const batch of channel) {
        expect(last?.disposed ?? true).toBe(true)
        last = batch
        seen.push(...texts(batch))
        if (seen.includes('end')) break
      }
    })()
    channel.send(filled(pool, 'a'))
    await turns()
    channel.send(filled(pool, 'b'))
    channel.send(filled(pool, 'end'))
    await loop
    expect(seen).toEqual(['a', 'b', 'end'])
    expect(last?.disposed).toBe(true)
    channel.consume(() => {})
    channel.close()
  })

  test('ends when the channel is closed, or when it is told to return while it waits', async () => {
    const pool = shared()
    const channel = new BufferChannel(pool)
    const waits = channel[Symbol.asyncIterator]()
    const next = waits.next()
    await turns()
    await waits.return(undefined)
    expect(await next).toEqual({ value: undefined, done: true })
    const other = BufferChannel.attach(channel.share(), pool)
    const loop = (async () => {
      for await (const _ of other) throw new Error('nothing was sent')
    })()
    await turns()
    channel.close()
    await loop
    expect(other.closed).toBe(true)
  })
})
