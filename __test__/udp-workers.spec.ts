import { describe, expect, test } from 'vitest'
import { resultOf } from './support/udp-process.js'
import { situations, terminations } from './support/udp-workers.js'

// The main thread of these processes does not load the package: the addon lives and dies with the workers.

const often = new Set<string>([
  'inside its handler',
  'while a promise holds its batch',
  'while it iterates',
  'while it sends',
])

describe('a worker that alone loaded the addon and is terminated', () => {
  test.each(situations.map((situation) => [situation, often.has(situation) ? 30 : 5] as const))(
    '%s, %d times: no abort, the port is free again, no memory is lost',
    async (situation, times) => {
      const { rounds, slabs, exits } = await terminations(situation, times)
      expect(rounds).toBe(times)
      expect(exits).toEqual([1])
      expect(slabs).toBe(0)
    },
  )
})

const bare = { bare: true }

test('a worker ends by itself when its socket has no consumer', async () => {
  const codes = await resultOf<number[]>(
    `
    const codes = []
    for (let i = 0; i < 5; i++) {
      const worker = startWorker("await UdpSocket.bind({ address: '127.0.0.1' })")
      codes.push((await once(worker, 'exit'))[0])
    }
    print(codes)
    `,
    bare,
  )
  expect(codes).toEqual([0, 0, 0, 0, 0])
})

test("an uncaught exception in a worker's handler is that worker's error, and frees its port", async () => {
  const result = await resultOf<{ messages: string[]; exits: number[] }>(
    `
    const [messages, exits] = [[], []]
    for (let i = 0; i < 5; i++) {
      const worker = startWorker(\`
        const socket = await UdpSocket.bind({ address: '127.0.0.1' })
        socket.consume(() => { throw new Error('mine') })
        socket.send('x', socket.address())
        parentPort.postMessage(socket.address().port)
      \`)
      const [[error], [code]] = await Promise.all([once(worker, 'error'), new Promise((resolve) =>
        worker.on('exit', (code) => resolve([code])))])
      messages.push(error.message)
      exits.push(code)
    }
    print({ messages, exits })
    `,
    bare,
  )
  expect(result).toEqual({ messages: new Array(5).fill('mine'), exits: new Array(5).fill(1) })
})

test('process.exit() in a worker’s handler ends the worker with its code', async () => {
  const codes = await resultOf<number[]>(
    `
    const codes = []
    for (let i = 0; i < 10; i++) {
      const worker = startWorker(\`
        const socket = await UdpSocket.bind({ address: '127.0.0.1', batchSize: 1 })
        socket.consume(() => process.exit(7))
        for (let i = 0; i < 10; i++) socket.send('x', socket.address())
      \`)
      codes.push((await once(worker, 'exit'))[0])
    }
    print(codes)
    `,
    bare,
  )
  expect(codes).toEqual(new Array(10).fill(7))
})

test('process.exit() of the main thread while workers read ends the process', async () => {
  const result = await resultOf<string>(
    `
    const workers = Array.from({ length: 4 }, () => startWorker(\`
      const socket = await UdpSocket.bind({ address: '127.0.0.1' })
      socket.consume((batch) => { for (let i = 0; i < batch.length; i++) socket.send(batch.bytes(i), socket.address()) })
      socket.send('x', socket.address())
      parentPort.postMessage('reads')
    \`))
    await Promise.all(workers.map((worker) => once(worker, 'message')))
    print('reads')
    process.exit(0)
    `,
    bare,
  )
  expect(result).toBe('reads')
})

test('workers and the main thread read at the same time, each its own packets', async () => {
  const counts = await resultOf<number[]>(`
    const workers = Array.from({ length: 4 }, () => startWorker(\`
      const socket = await UdpSocket.bind({ address: '127.0.0.1' })
      let sum = 0
      socket.consume((batch) => {
        for (let i = 0; i < batch.length; i++) {
          const text = batch.bytes(i).toString()
          if (text === 'end') { parentPort.postMessage(sum); socket.close() } else sum += Number(text)
        }
      })
      parentPort.postMessage(socket.address())
    \`))
    const addresses = await Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]))
    const socket = await UdpSocket.bind({ address: '127.0.0.1' })
    let own = 0
    socket.consume((batch) => { own += batch.length })
    for (let n = 1; n <= 100; n++) {
      for (const [i, to] of addresses.entries()) socket.send(String(n * (i + 1)), to)
      socket.send('own', socket.address())
      await new Promise(setImmediate)
    }
    const sums = Promise.all(workers.map(async (worker) => (await once(worker, 'message'))[0]))
    for (const to of addresses) socket.send('end', to)
    const all = await sums
    await until(() => own === 100)
    await socket.close()
    print([...all, own])
  `)
  expect(counts).toEqual([5050, 10_100, 15_150, 20_200, 100])
})

test('guards that a terminated worker held are nobody’s: its memory is gone with it', async () => {
  const { grownBytes } = await resultOf<{ grownBytes: number }>(
    `
    const cycle = async () => {
      const worker = startWorker(\`
        const socket = await UdpSocket.bind({ address: '127.0.0.1', bufferSize: 65536, capacity: 256 })
        globalThis.kept = []
        socket.consume((batch) => {
          for (let i = 0; i < batch.length; i++) globalThis.kept.push(batch.take(i))
          if (globalThis.kept.length >= 100) parentPort.postMessage('full')
        })
        for (let i = 0; i < 100; i++) socket.send('x', socket.address())
      \`)
      await once(worker, 'message')
      await worker.terminate()
    }
    for (let i = 0; i < 5; i++) await cycle()
    const before = process.memoryUsage.rss()
    for (let i = 0; i < 20; i++) await cycle()
    print({ grownBytes: process.memoryUsage.rss() - before })
    `,
    bare,
  )
  expect(grownBytes).toBeLessThan(20 * 16 * 1024 * 1024 * 0.5)
})
