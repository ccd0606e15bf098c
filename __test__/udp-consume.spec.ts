import { AsyncLocalStorage } from 'node:async_hooks'
import { describe, expect, test } from 'vitest'
import type { Batch } from 'wraith-transport'
import { backends, bind, collect, deliver, dgram, failsWith, texts, turns, until } from './support/udp.js'

describe.each(backends)('consume through %s', (backend) => {
  test('hands over every batch of a synchronous handler, in order', async () => {
    const socket = await bind({ backend, batchSize: 4 })
    const sent = Array.from({ length: 100 }, (_, i) => `packet ${i}`)
    const all = collect(socket, sent.length)
    await deliver(await dgram(), socket.address(), ...sent)
    expect((await all).map((row) => row.text)).toEqual(sent)
    expect(socket.metrics().rxPackets).toBe(sent.length)
  })

  test('reads on after a handler whose promise settles at once', async () => {
    const socket = await bind({ backend })
    const got: string[] = []
    socket.consume(async (batch) => {
      got.push(...texts(batch))
    })
    const sender = await dgram()
    for (let i = 0; i < 20; i++) {
      await deliver(sender, socket.address(), `${i}`)
      await until(() => got.length === i + 1)
    }
    expect(got).toEqual(Array.from({ length: 20 }, (_, i) => `${i}`))
  })

  test("holds the batch, and calls for no other, until the handler's promise settles", async () => {
    const socket = await bind({ backend, batchSize: 2 })
    const batches: { batch: Batch; settle: () => void }[] = []
    let running = 0
    socket.consume((batch) => {
      running++
      return new Promise<void>((settle) => batches.push({ batch, settle })).then(() => {
        running--
      })
    })
    const sender = await dgram()
    await deliver(sender, socket.address(), '0', '1', '2', '3', '4')
    const got: string[] = []
    while (got.length < 5) {
      await until(() => batches.length > 0)
      await turns()
      expect(running).toBe(1)
      expect(batches).toHaveLength(1)
      const { batch, settle } = batches.pop()!
      expect(batch.disposed).toBe(false)
      got.push(...texts(batch))
      settle()
      await until(() => batch.disposed)
    }
    expect(got).toEqual(['0', '1', '2', '3', '4'])
  })

  test('runs next ticks and promises of one batch before the next batch, as dgram does', async () => {
    const order = async (start: (log: (what: string) => void) => Promise<void>): Promise<string[]> => {
      const seen: string[] = []
      const log = (what: string): void => {
        seen.push(what)
        process.nextTick(() => seen.push(`tick ${what}`))
        queueMicrotask(() => seen.push(`microtask ${what}`))
        void Promise.resolve().then(() => seen.push(`promise ${what}`))
      }
      await start(log)
      await until(() => seen.length === 12)
      return seen
    }
    const sender = await dgram()
    const theirs = await order(async (log) => {
      const receiver = await dgram()
      receiver.on('message', (message) => log(message.toString()))
      await deliver(sender, receiver.address(), 'a', 'b', 'c')
    })
    const ours = await order(async (log) => {
      const socket = await bind({ backend, batchSize: 1 })
      socket.consume((batch) => log(batch.bytes(0).toString()))
      await deliver(sender, socket.address(), 'a', 'b', 'c')
    })
    expect(ours).toEqual(theirs)
  })
})

test('the handler and what it awaits see the AsyncLocalStorage store of the consume() call', async () => {
  const storage = new AsyncLocalStorage<string>()
  const socket = await bind()
  const seen: (string | undefined)[] = []
  storage.run('of consume', () => {
    socket.consume(async () => {
      seen.push(storage.getStore())
      await null
      seen.push(storage.getStore())
      await new Promise(setImmediate)
      seen.push(storage.getStore())
    })
  })
  const sender = await dgram()
  await storage.run('of the sender', () => deliver(sender, socket.address(), 'x'))
  await until(() => seen.length === 3)
  expect(seen).toEqual(['of consume', 'of consume', 'of consume'])
  expect(storage.getStore()).toBeUndefined()
})

test('stop() inside the handler ends its batch, and leaves the rest to the next consumer', async () => {
  const socket = await bind({ batchSize: 1 })
  const first: string[] = []
  let batch: Batch | undefined
  socket.consume((given) => {
    batch = given
    first.push(...texts(given))
    socket.stop()
    expect(given.disposed).toBe(true)
  })
  await deliver(await dgram(), socket.address(), 'a', 'b', 'c')
  await until(() => first.length === 1)
  await turns()
  expect(first).toEqual(['a'])
  expect(() => batch?.bytes(0)).toThrow(failsWith('WRAITH_ERR_STALE_BATCH'))
  expect((await collect(socket, 2)).map((row) => row.text)).toEqual(['b', 'c'])
})

test.each([
  ['sync', (next: () => void) => next()],
  ['sync that throws later', (next: () => void) => void next()],
  ['in a promise', (next: () => void) => Promise.resolve().then(next)],
  ['in a next tick', (next: () => void) => process.nextTick(next)],
])('another consumer may take over inside the handler (%s)', async (_how, when) => {
  const socket = await bind({ batchSize: 1 })
  const got: string[] = []
  socket.consume((batch) => {
    got.push(`first ${texts(batch)}`)
    when(() => {
      socket.stop()
      socket.consume((next) => void got.push(`second ${texts(next)}`))
    })
  })
  const sender = await dgram()
  await deliver(sender, socket.address(), 'a', 'b')
  await until(() => got.length === 2)
  await deliver(sender, socket.address(), 'c')
  await until(() => got.length === 3)
  expect(got).toEqual(['first a', 'second b', 'second c'])
})

test('a batch received by hand after stop() inside the handler stays good after the handler', async () => {
  const socket = await bind({ batchSize: 1 })
  let second: Batch | undefined
  socket.consume(() => {
    socket.stop()
    second = socket.tryReceive()
  })
  await deliver(await dgram(), socket.address(), 'a', 'b')
  await until(() => second !== undefined)
  await turns()
  expect(second?.disposed).toBe(false)
  expect(texts(second!)).toEqual(['b'])
})

test('pause() inside the handler lets its batch finish, and resume() reads on', async () => {
  const socket = await bind({ batchSize: 1 })
  const got: string[] = []
  socket.consume((batch) => {
    socket.pause()
    got.push(...texts(batch))
  })
  await deliver(await dgram(), socket.address(), 'a', 'b', 'c')
  for (const count of [1, 2, 3]) {
    await until(() => got.length === count)
    await turns()
    expect(got).toHaveLength(count)
    expect(socket.paused).toBe(true)
    socket.resume()
  }
  expect(got).toEqual(['a', 'b', 'c'])
})

test.each([
  ['at once', (resume: () => void) => resume()],
  ['in a promise', (resume: () => void) => void Promise.resolve().then(resume)],
  ['in a next tick', (resume: () => void) => process.nextTick(resume)],
  ['in a later turn', (resume: () => void) => void setImmediate(resume)],
])('pause() inside the handler and resume() %s loses no packet', async (_when, run) => {
  const socket = await bind({ batchSize: 1 })
  const got: string[] = []
  socket.consume((batch) => {
    got.push(...texts(batch))
    socket.pause()
    run(() => socket.resume())
  })
  const sender = await dgram()
  await deliver(sender, socket.address(), 'a', 'b')
  await until(() => got.length === 2)
  await deliver(sender, socket.address(), 'c')
  await until(() => got.length === 3)
  expect(got).toEqual(['a', 'b', 'c'])
})

test('resume() before the first await of an async handler does not let a second batch in', async () => {
  const socket = await bind({ batchSize: 1 })
  let [running, most, done] = [0, 0, 0]
  socket.consume(async () => {
    most = Math.max(most, ++running)
    socket.pause()
    socket.resume()
    await new Promise(setImmediate)
    running--
    done++
  })
  await deliver(await dgram(), socket.address(), 'a', 'b', 'c')
  await until(() => done === 3)
  expect(most).toBe(1)
})

test('close() inside the handler ends the batch and the socket', async () => {
  const socket = await bind({ batchSize: 1 })
  let calls = 0
  socket.consume((batch) => {
    calls++
    void socket.close()
    expect(() => batch.bytes(0)).toThrow(failsWith('WRAITH_ERR_STALE_BATCH'))
  })
  await deliver(await dgram(), socket.address(), 'a', 'b')
  await socket.closed
  expect(calls).toBe(1)
})

test('close() while a promise holds the batch ends it, and the promise may settle later', async () => {
  const socket = await bind()
  let settle: () => void = () => {}
  let held: Batch | undefined
  socket.consume((batch) => {
    held = batch
    return new Promise<void>((resolve) => {
      settle = resolve
    })
  })
  await deliver(await dgram(), socket.address(), 'a')
  await until(() => held !== undefined)
  await socket.close()
  expect(held?.disposed).toBe(true)
  settle()
  await turns()
})

test('dispose() inside the handler ends the batch early', async () => {
  const socket = await bind({ batchSize: 1 })
  const got: string[] = []
  socket.consume((batch) => {
    got.push(...texts(batch))
    batch.dispose()
    batch.dispose()
    expect(() => batch.lengths).toThrow(failsWith('WRAITH_ERR_STALE_BATCH'))
  })
  await deliver(await dgram(), socket.address(), 'a', 'b', 'c')
  await until(() => got.length === 3)
  expect(got).toEqual(['a', 'b', 'c'])
})

test('a second consumer of any kind is refused while there is one', async () => {
  const socket = await bind()
  socket.consume(() => {})
  const busy = failsWith('WRAITH_ERR_BUSY')
  expect(() => socket.consume(() => {})).toThrow(busy)
  expect(() => socket.tryReceive()).toThrow(busy)
  await expect(socket[Symbol.asyncIterator]().next()).rejects.toEqual(busy)
  socket.stop()
  socket.consume(() => {})
})

test('a thenable that is no promise holds the batch as well', async () => {
  const socket = await bind({ batchSize: 1 })
  const got: string[] = []
  socket.consume((batch) => ({
    // biome-ignore lint/suspicious/noThenProperty: this is what is tested
    then: (resolve: () => void) => {
      got.push(...texts(batch))
      setImmediate(resolve)
    },
  }))
  await deliver(await dgram(), socket.address(), 'a', 'b')
  await until(() => got.length === 2)
  expect(got).toEqual(['a', 'b'])
})
