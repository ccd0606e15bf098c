import { describe, expect, test } from 'vitest'
import { BufferChannel, type ChannelBatch, type ChannelToken, type PooledBuffer } from 'wraith-transport'

import { PoolWorker, turns, until } from './support/pool-workers.ts'
import { expectAudit, isZero, makePool } from './support/pools.ts'

const shared = (options = {}) =>
  makePool({ bufferSize: 64, capacity: 64, shared: true, onExhausted: 'throw', ...options })

/** Each way of sending meets each way of receiving. */
const ways = [0, 64].flatMap((send) => [0, 64].map((receive) => ({ send, receive })))

describe('between threads', () => {
  test.each(ways)('bytes arrive as they were sent, copied up to $send and $receive', async (copy) => {
    const pool = shared()
    const channel = new BufferChannel(pool, { copyUpTo: copy.send })
    await using worker = await PoolWorker.start(pool.share())
    const given = { token: channel.share(), copyUpTo: copy.receive }
    await worker.run(({ pool, notes, BufferChannel }, { token, copyUpTo }) => {
      const seen: number[] = []
      const channel = BufferChannel.attach(token, pool, { copyUpTo })
      Object.assign(notes, { seen, channel })
      let turn = 0
      channel.consume((batch) => {
        for (let i = 0; i < batch.length; i++) {
          const bytes = batch.bytes(i)
          const number = bytes.readUInt32LE(0)
          const right = bytes.subarray(4).every((byte) => byte === (number & 255))
          seen.push(right && bytes.length === 8 + (number % 56) ? number : -1)
        }
        // Every third batch is held for a while.
        return turn++ % 3 === 0 ? new Promise(setImmediate) : undefined
      })
    }, given)
    const count = 3000
    for (let number = 0; number < count; number++) {
      const guard = await pool.acquireAsync()
      guard.length = 8 + (number % 56)
      guard.bytes.fill(number & 255, 0, guard.length)
      guard.bytes.writeUInt32LE(number)
      expect(channel.send(guard)).toBe(true)
    }
    const seen = await worker.run(async ({ notes }, count) => {
      const seen = notes['seen'] as number[]
      while (seen.length < count) await new Promise(setImmediate)
      return seen
    }, count)
    expect(seen).toEqual(Array.from({ length: count }, (_, number) => number))
    await worker.run(({ notes }) => (notes['channel'] as BufferChannel).stop())
    channel.close()
  })

  test('one receives from several, each in its order', async () => {
    const pool = shared({ capacity: 256 })
    const channel = new BufferChannel(pool)
    const workers = await Promise.all([1, 2, 3].map(() => PoolWorker.start(pool.share())))
    const seen = new Map<number, number[]>()
    channel.consume((batch) => {
      for (let i = 0; i < batch.length; i++) {
        const [from = 0, number = 0] = [batch.bytes(i).readUInt32LE(0), batch.bytes(i).readUInt32LE(4)]
        seen.set(from, [...(seen.get(from) ?? []), number])
      }
    })
    const sends = workers.map((worker, from) =>
      worker.run(
        async ({ pool, BufferChannel }, { token, from }) => {
          const channel = BufferChannel.attach(token, pool)
          for (let number = 0; number < 1000; number++) {
            const guard = await pool.acquireAsync()
            guard.length = 8
            guard.bytes.writeUInt32LE(from)
            guard.bytes.writeUInt32LE(number, 4)
            channel.send(guard)
          }
        },
        { token: channel.share(), from },
      ),
    )
    await Promise.all(sends)
    const inOrder = Array.from({ length: 1000 }, (_, number) => number)
    await until(() => channel.metrics().received === 3000)
    await turns()
    expect([...seen.keys()].sort()).toEqual([0, 1, 2])
    for (const numbers of seen.values()) expect(numbers).toEqual(inOrder)
    channel.close()
    for (const worker of workers) await worker.terminate()
  })
})

describe('when a thread ends', () => {
  test('what it has sent arrives, and what it had not sent is home', async () => {
    const pool = shared({ capacity: 8 })
    const channel = new BufferChannel(pool, { copyUpTo: 0 })
    const worker = await PoolWorker.start(pool.share())
    await worker.run(({ pool, kept, BufferChannel }, token) => {
      const channel = BufferChannel.attach(token, pool, { copyUpTo: 0 })
      for (const text of ['one', 'two', 'kept']) {
        const guard = pool.acquire()
        guard.length = guard.bytes.write(text)
        if (text === 'kept') kept.push(guard)
        else channel.send(guard)
      }
    }, channel.share())
    await worker.terminate()
    expect(expectAudit(pool)).toMatchObject({ transit: 2, elsewhere: 0 })
    const batch = channel.tryReceive() as ChannelBatch
    expect([batch.length, batch.bytes(0).toString(), batch.bytes(1).toString()]).toEqual([2, 'one', 'two'])
    batch.dispose()
    channel.close()
  })

  test.each([0, 64])(
    'its batch is home, zeroed, and its successor gets the rest: copied up to %d',
    async (copyUpTo) => {
      const pool = shared({ capacity: 64 })
      const channel = new BufferChannel(pool, { copyUpTo })
      const worker = await PoolWorker.start(pool.share())
      await worker.run(
        ({ pool, notes, BufferChannel }, { token, copyUpTo }) => {
          const channel = BufferChannel.attach(token, pool, { copyUpTo })
          channel.consume((batch) => {
            batch.bytes(0).fill(0xee)
            notes['batch'] = batch
            return new Promise(() => {})
          })
          notes['channel'] = channel
        },
        { token: channel.share(), copyUpTo },
      )
      const send = (text: string) => {
        const guard = pool.acquire()
        guard.length = guard.bytes.write(text)
        channel.send(guard)
        channel.flush()
      }
      send('lost with its receiver')
      await worker.run(async ({ notes }) => {
        while (notes['batch'] === undefined) await new Promise(setImmediate)
      })
      send('for the successor')
      expect(expectAudit(pool)).toMatchObject({ batched: 1, transit: 1 })
      await worker.terminate()
      expect(expectAudit(pool)).toMatchObject({ batched: 0, transit: 1, elsewhere: 0 })
      const batch = channel.tryReceive() as ChannelBatch
      expect(batch.bytes(0).toString()).toBe('for the successor')
      channel.close()
      batch.dispose()
      const all = pool.acquireMany(64)
      expect(all.every(({ bytes }) => isZero(bytes))).toBe(true)
      all.dispose()
    },
  )

  test('and it was the last one that had the channel, what is in it goes home', async () => {
    const pool = shared({ capacity: 8 })
    const worker = await PoolWorker.start(pool.share())
    const token = await worker.run(({ pool, notes, BufferChannel }): ChannelToken => {
      const channel = new BufferChannel(pool)
      const guard = pool.acquire()
      guard.length = guard.bytes.write('secret')
      channel.send(guard)
      channel.flush()
      notes['channel'] = channel
      return channel.share()
    })
    expect(expectAudit(pool).transit).toBe(1)
    await worker.terminate()
    await until(() => pool.audit().transit === 0)
    const all = pool.acquireMany(8)
    expect(all.every(({ bytes }) => isZero(bytes))).toBe(true)
    all.dispose()
    expect(() => BufferChannel.attach(token, pool)).toThrow(/no channel that is alive/)
  })
})

test.each([0, 64])(
  'memory that user code has moved does not leave, neither to be received nor to go home: copied up to %d',
  (copyUpTo) => {
    const pool = shared({ capacity: 4 })
    const channel = new BufferChannel(pool, { copyUpTo })
    const send = (guard: PooledBuffer) => {
      guard.length = 4
      channel.send(guard)
      channel.flush()
    }
    /** Whether it was moved: in debug mode only a copy is, and Node.js 20 copies memory of addons. */
    const move = (view: Uint8Array) => {
      try {
        structuredClone(view.buffer, { transfer: [view.buffer as ArrayBuffer] })
      } catch {
        // The place where copies are read is marked as untransferable.
        expect(copyUpTo).toBe(64)
      }
      return !pool.info().debug && view.byteLength === 0 ? 1 : 0
    }
    const guard = pool.acquire()
    const inGuard = move(guard.bytes)
    send(guard)
    expect(expectAudit(pool)).toMatchObject({ transit: 1 - inGuard, quarantined: inGuard })
    channel.tryReceive()?.dispose()
    send(pool.acquire())
    const batch = channel.tryReceive() as ChannelBatch
    const inBatch = move(batch.bytes(0))
    batch.dispose()
    // The place where copies are read is no slot.
    const lost = inGuard + (copyUpTo === 0 ? inBatch : 0)
    expect(expectAudit(pool)).toMatchObject({ batched: 0, quarantined: lost })
    channel.close()
  },
)

test('the place where copies are read can be moved by nobody, or what comes later is read elsewhere', () => {
  const pool = shared({ capacity: 4 })
  const channel = new BufferChannel(pool)
  for (const text of ['first', 'second', 'third']) {
    const guard = pool.acquire()
    guard.length = guard.bytes.write(text)
    channel.send(guard)
    channel.flush()
    const batch = channel.tryReceive() as ChannelBatch
    const view = batch.bytes(0)
    expect(view.toString()).toBe(text)
    const { buffer } = view as { readonly buffer: { transfer?: () => unknown } }
    try {
      buffer.transfer?.()
    } catch {}
    batch.dispose()
  }
  channel.close()
})
