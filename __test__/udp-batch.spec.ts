import { describe, expect, test } from 'vitest'
import type { Batch, PooledBuffer } from 'wraith-transport'
import {
  backends,
  bind,
  debug,
  deliver,
  dgram,
  drain,
  failsWith,
  pattern,
  texts,
  until,
} from './support/udp.js'

const stale = failsWith('WRAITH_ERR_STALE_BATCH')

describe('a batch that has ended', () => {
  const uses: Record<string, (batch: Batch) => unknown> = {
    offsets: (batch) => batch.offsets,
    lengths: (batch) => batch.lengths,
    flags: (batch) => batch.flags,
    timestamps: (batch) => batch.timestamps,
    timestampsMs: (batch) => batch.timestampsMs,
    queues: (batch) => {
      if (batch.disposed) return batch.queues
      // A UDP socket does not know them.
      return expect(() => batch.queues).toThrow(failsWith('WRAITH_ERR_UNSUPPORTED'))
    },
    view: (batch) => batch.view,
    'bytes(0)': (batch) => batch.bytes(0),
    'peer(0)': (batch) => batch.peer(0),
    'truncated(0)': (batch) => batch.truncated(0),
    'wireLength(0)': (batch) => batch.wireLength(0),
    'copy(0)': (batch) => batch.copy(0),
    'take(0)': (batch) => batch.take(0),
  }

  test('is covered member by member', async () => {
    const socket = await bind()
    await deliver(await dgram(), socket.address(), 'x')
    const prototype = Object.getPrototypeOf(socket.tryReceive()!) as object
    const members = Object.getOwnPropertyNames(prototype).filter(
      (name) => !['constructor', 'dispose', 'disposed'].includes(name),
    )
    expect(members.sort()).toEqual(
      Object.keys(uses)
        .map((use) => use.replace('(0)', ''))
        .sort(),
    )
  })

  test.each(Object.entries(uses))('refuses %s', async (_name, use) => {
    const socket = await bind({ batchSize: 1 })
    await deliver(await dgram(), socket.address(), 'old', 'new')
    const old = socket.tryReceive()!
    use(old)
    old.dispose()
    expect(() => use(old)).toThrow(stale)
    // A later batch of the same socket does not bring it back to life.
    const next = socket.tryReceive()!
    expect(() => use(old)).toThrow(stale)
    expect(next.disposed).toBe(false)
    use(next)
  })

  test('does nothing when it is disposed of again, whatever is lent meanwhile', async () => {
    const socket = await bind({ batchSize: 1 })
    await deliver(await dgram(), socket.address(), 'old', 'new')
    const old = socket.tryReceive()!
    const next = socket.tryReceive()!
    old.dispose()
    old[Symbol.dispose]()
    expect(texts(next)).toEqual(['new'])
  })

  test('kept views show nothing of a later packet in debug mode', async () => {
    const socket = await bind({ batchSize: 1, capacity: 1 })
    await deliver(await dgram(), socket.address(), 'old', 'new')
    const kept = socket.tryReceive()!.bytes(0)
    const next = socket.tryReceive()!
    expect(texts(next)).toEqual(['new'])
    if (debug) expect(kept.length).toBe(0)
    else expect(kept.toString()).toBe('new')
  })
})

test.each([
  ['-1', -1],
  ['the length', 1],
  ['a fraction', 0.5],
  ['NaN', Number.NaN],
  ['Infinity', Number.POSITIVE_INFINITY],
  ['2^32', 2 ** 32],
  ['a string', '0'],
  ['nothing', undefined],
  ['null', null],
])('a row number that the batch does not have (%s) is refused by every method', async (_what, row) => {
  const socket = await bind()
  await deliver(await dgram(), socket.address(), 'x')
  const batch = socket.tryReceive()!
  for (const method of ['bytes', 'peer', 'truncated', 'wireLength', 'copy', 'take'] as const) {
    expect(() => batch[method](row as number), method).toThrow(failsWith('WRAITH_ERR_OUT_OF_RANGE', 'i'))
  }
})

test('columns, view and methods say the same of every row', async () => {
  const socket = await bind({ bufferSize: 300, batchSize: 32, onTruncated: 'keep' })
  const lengths = [0, 1, 2, 299, 300, 301, 400, 64]
  await deliver(await dgram(), socket.address(), ...lengths.map((length) => pattern(length)))
  const batch = socket.tryReceive()!
  expect(batch.length).toBe(lengths.length)
  for (const [i, sent] of lengths.entries()) {
    const bytes = batch.bytes(i)
    expect(batch.lengths[i]).toBe(Math.min(sent, 300))
    expect(bytes.length).toBe(batch.lengths[i])
    expect(batch.wireLength(i)).toBe(sent)
    expect(batch.truncated(i)).toBe(sent > 300)
    expect((batch.flags[i]! & 1) === 1).toBe(sent > 300)
    for (let at = 0; at < bytes.length; at++) {
      if (batch.view.getUint8(batch.offsets[i]! + at) !== bytes[at]) expect.unreachable(`row ${i} at ${at}`)
    }
    expect(Buffer.isBuffer(bytes)).toBe(true)
    expect(Buffer.isBuffer(batch.copy(i))).toBe(true)
  }
})

test('the peer of a row is frozen, and the same object for the same sender', async () => {
  const socket = await bind()
  await deliver(await dgram(), socket.address(), 'a', 'b')
  const batch = socket.tryReceive()!
  expect(batch.peer(0)).toBe(batch.peer(1))
  expect(Object.isFrozen(batch.peer(0))).toBe(true)
  expect(Object.keys(batch.peer(0))).toEqual(['address', 'family', 'port'])
})

/** Detaches memory by whatever way this Node.js leaves open for it. Some leave none, which is as well. */
function detach(memory: ArrayBuffer & { transfer?(): ArrayBuffer }): void {
  try {
    if (memory.transfer === undefined) structuredClone(memory, { transfer: [memory] })
    else memory.transfer()
  } catch (error) {
    expect((error as Error).message).toMatch(/transfer|detach/i)
  }
}

describe.each(backends)('user code that does harm, with %s', (backend) => {
  test('garbage in the columns misleads nobody but its reader', async () => {
    const socket = await bind({ backend, batchSize: 8, capacity: 16 })
    const sender = await dgram()
    for (let round = 0; round < 20; round++) {
      const sent = Array.from({ length: 8 }, (_, i) => `${round} ${i} ${'x'.repeat(i)}`)
      await deliver(sender, socket.address(), ...sent)
      const batch = socket.tryReceive()!
      batch.offsets.fill(0xffff_ffff)
      batch.lengths.fill(0xffff_ffff)
      batch.flags.fill(0xff)
      batch.timestamps.fill(2n ** 64n - 1n)
      batch.timestampsMs.fill(Number.NaN)
      expect(batch.bytes(0).toString()).toBe(sent[0])
      const taken = [batch.take(1), batch.take(7)]
      expect(taken.map((guard) => guard.data.toString())).toEqual([sent[1], sent[7]])
      expect(batch.copy(2).toString()).toBe(sent[2])
      expect(batch.peer(3).port).toBe(sender.address().port)
      expect(socket.pool.audit()).toMatchObject({ ok: true, lent: 2 })
      batch.dispose()
      for (const guard of taken) guard.dispose()
      expect(socket.pool.audit()).toMatchObject({ ok: true, lent: 0, batched: 0 })
    }
  })

  test.each(['bytes', 'view'] as const)(
    'detaching the memory through %s in the middle of a batch',
    async (way) => {
      const socket = await bind({ backend, batchSize: 4 })
      const sender = await dgram()
      await deliver(sender, socket.address(), 'zero', 'one', 'two', 'three')
      const batch = socket.tryReceive()!
      const memory = (way === 'bytes' ? batch.bytes(0).buffer : batch.view.buffer) as ArrayBuffer
      detach(memory)
      expect(batch.view.getUint8(batch.offsets[1]!)).toBe('o'.charCodeAt(0))
      expect(texts(batch)).toEqual(['zero', 'one', 'two', 'three'])
      const guard = batch.take(2)
      expect(guard.data.toString()).toBe('two')
      batch.dispose()
      guard.dispose()
      await deliver(sender, socket.address(), 'after')
      expect(drain(socket).flat()).toMatchObject([{ text: 'after' }])
    },
  )

  test('writing over the bytes of a packet changes nobody else’s', async () => {
    const socket = await bind({ backend, batchSize: 4 })
    const sender = await dgram()
    await deliver(sender, socket.address(), 'aaaa', 'bbbb', 'cccc')
    const batch = socket.tryReceive()!
    batch.bytes(1).fill(0)
    expect(texts(batch)).toEqual(['aaaa', '\0\0\0\0', 'cccc'])
    await deliver(sender, socket.address(), 'd', 'e', 'f')
    expect(
      drain(socket)
        .flat()
        .map((row) => row.text),
    ).toEqual(['d', 'e', 'f'])
  })
})

describe('take(i)', () => {
  test('keeps the content after the batch and thousands of packets more', async () => {
    const socket = await bind({ batchSize: 16, capacity: 64, bufferSize: 256 })
    const sender = await dgram()
    const kept: { guard: PooledBuffer; copy: Uint8Array }[] = []
    let count = 0
    socket.consume((batch) => {
      for (let i = 0; i < batch.length; i++) {
        if (count++ % 200 === 0) kept.push({ copy: Uint8Array.from(batch.bytes(i)), guard: batch.take(i) })
      }
    })
    const total = 4000
    for (let sent = 0; sent < total; sent += 100) {
      await deliver(
        sender,
        socket.address(),
        ...Array.from({ length: 100 }, (_, i) => pattern((sent + i) % 256, sent + i)),
      )
      await until(() => count === sent + 100)
    }
    expect(kept).toHaveLength(20)
    for (const [k, { guard, copy }] of kept.entries()) {
      expect(guard.length).toBe((k * 200) % 256)
      expect(Buffer.compare(guard.data, pattern((k * 200) % 256, k * 200))).toBe(0)
      expect(Buffer.compare(guard.data, copy)).toBe(0)
      expect(guard.pooled).toBe(true)
      guard.dispose()
    }
    expect(socket.pool.audit()).toMatchObject({ ok: true, lent: 0 })
  })

  test('shows zeros behind the packet, also after a longer one', async () => {
    const socket = await bind({ batchSize: 1, capacity: 1, bufferSize: 128 })
    const sender = await dgram()
    await deliver(sender, socket.address(), pattern(128), 'short')
    expect(socket.tryReceive()?.length).toBe(1)
    const guard = socket.tryReceive()!.take(0)
    expect(guard.data.toString()).toBe('short')
    expect(guard.bytes.subarray(5).every((byte) => byte === 0)).toBe(true)
    guard.dispose()
  })

  test('takes a row once; the others stay', async () => {
    const socket = await bind()
    await deliver(await dgram(), socket.address(), 'a', 'b', 'c')
    const batch = socket.tryReceive()!
    const guard = batch.take(1)
    expect(() => batch.take(1)).toThrow(stale)
    expect(() => batch.bytes(1)).toThrow(stale)
    expect(() => batch.copy(1)).toThrow(stale)
    expect(batch.bytes(0).toString()).toBe('a')
    expect(batch.bytes(2).toString()).toBe('c')
    batch.dispose()
    expect(guard.data.toString()).toBe('b')
    guard.dispose()
  })

  test('a taken guard is the pool’s like any other', async () => {
    const socket = await bind({ capacity: 128 })
    await deliver(await dgram(), socket.address(), 'hello')
    const guard = socket.tryReceive()!.take(0)
    expect(guard.bytes.length).toBe(socket.pool.bufferSize)
    guard.length = guard.bytes.write('changed')
    expect(guard.data.toString()).toBe('changed')
    socket.pool.release(guard)
    expect(guard.disposed).toBe(true)
    expect(() => guard.data).toThrow(failsWith('WRAITH_ERR_STALE_BUFFER'))
  })

  test('outlives the socket and its pool', async () => {
    const socket = await bind()
    await deliver(await dgram(), socket.address(), 'hello')
    const guard = socket.tryReceive()!.take(0)
    await socket.close()
    expect(guard.data.toString()).toBe('hello')
    guard.dispose()
    await socket.pool.closed
  })

  test('works on a batch whose every row is taken, again and again', async () => {
    const socket = await bind({ batchSize: 4, capacity: 8 })
    const sender = await dgram()
    for (let round = 0; round < 50; round++) {
      const sent = [0, 1, 2, 3].map((i) => `${round} ${i}`)
      await deliver(sender, socket.address(), ...sent)
      const batch = socket.tryReceive()!
      const guards = [0, 1, 2, 3].map((i) => batch.take(i))
      batch.dispose()
      expect(guards.map((guard) => guard.data.toString())).toEqual(sent)
      for (const guard of guards) guard.dispose()
    }
  })
})

test('copy(i) is the caller’s for good', async () => {
  const socket = await bind({ batchSize: 1, capacity: 1 })
  await deliver(await dgram(), socket.address(), 'first', 'second')
  const copy = socket.tryReceive()!.copy(0)
  drain(socket)
  expect(copy.toString()).toBe('first')
})
