import { describe, expect, test } from 'vitest'
import { backends } from '../support/udp.js'
import { resultOf } from '../support/udp-process.js'

const long = { timeoutMs: 500_000 }

interface Flood {
  received: number
  dropped: number
  sent: number
  wrong: number
  grownBytes: number
  audit: { ok: boolean; posted: number; batched: number }
}

/**
 * Floods a socket with numbered packets from a worker and reads `total` of them. Each carries its number twice; numbers
 * only grow, and those that are missing are the kernel's drops.
 */
const flood = (total: number, backend: string, consume: string): Promise<Flood> =>
  resultOf<Flood>(
    `
    const total = ${total}
    const socket = await UdpSocket.bind({ address: '127.0.0.1', backend: '${backend}', recvBufferSize: 1 << 20 })
    const { port } = socket.address()
    const stop = new Int32Array(new SharedArrayBuffer(8))
    const sender = new Worker(\`
      const { parentPort, workerData } = require('node:worker_threads')
      import(\${JSON.stringify(packageUrl)}).then(async ({ UdpSocket }) => {
        const socket = await UdpSocket.bind({ address: '127.0.0.1' })
        const bytes = Buffer.alloc(64)
        let n = 0
        const turn = () => {
          for (let i = 0; i < 500 && Atomics.load(workerData.stop, 0) === 0; i++) {
            bytes.writeUInt32LE(n, 0)
            bytes.writeUInt32LE(n, 60)
            if (socket.send(bytes, workerData.port)) n++
          }
          if (Atomics.load(workerData.stop, 0) === 0) setImmediate(turn)
          else { parentPort.postMessage(n); socket.close() }
        }
        turn()
      })\`, { eval: true, execArgv: [], workerData: { stop, port } })
    let [received, wrong, last, before] = [0, 0, -1, 0]
    const seen = (batch) => {
      const { view, offsets } = batch
      for (let i = 0; i < batch.length; i++) {
        const n = view.getUint32(offsets[i], true)
        if (n !== view.getUint32(offsets[i] + 60, true) || n <= last) wrong++
        last = n
      }
      received += batch.length
      if (before === 0 && received > total / 10) { gc(); before = process.memoryUsage.rss() }
    }
    ${consume}
    gc()
    const grownBytes = process.memoryUsage.rss() - before
    Atomics.store(stop, 0, 1)
    const [sent] = await once(sender, 'message')
    let batch
    while ((batch = socket.tryReceive()) !== undefined) seen(batch)
    const dropped = socket.metrics().rxDroppedByKernel
    await socket.close()
    print({ received, dropped, sent, wrong, grownBytes, audit: socket.pool.audit() })
    `,
    long,
  )

const consumers: Record<string, string> = {
  consume: `
    await new Promise((resolve) => socket.consume((batch) => { seen(batch); if (received >= total) resolve() }))
    socket.stop()`,
  'async consume': `
    await new Promise((resolve) => socket.consume(async (batch) => {
      seen(batch)
      await null
      if (received >= total) resolve()
    }))
    socket.stop()`,
  'for await': 'for await (const batch of socket) { seen(batch); if (received >= total) break }',
  tryReceive: `
    while (received < total) {
      const batch = socket.tryReceive()
      if (batch === undefined) await new Promise(setImmediate)
      else { seen(batch); batch.dispose() }
    }`,
  'takes rows': `
    const kept = []
    await new Promise((resolve) => socket.consume((batch) => {
      seen(batch)
      kept.push(batch.take(received % batch.length))
      while (kept.length > 300) kept.shift().dispose()
      if (received >= total) resolve()
    }))
    socket.stop()
    for (const guard of kept) guard.dispose()`,
}

function expectSound({ received, dropped, sent, wrong, grownBytes, audit }: Flood, total: number): void {
  expect(wrong).toBe(0)
  expect(received).toBeGreaterThanOrEqual(total)
  expect(received + dropped).toBe(sent)
  expect(audit).toMatchObject({ ok: true, posted: 0, batched: 0 })
  expect(grownBytes).toBeLessThan(32 * 1024 * 1024)
}

describe.each(backends)(
  'a flood through %s: every packet is accounted for, and memory is flat',
  (backend) => {
    test.each(Object.entries(consumers))('half a million by %s', async (_name, consume) => {
      expectSound(await flood(500_000, backend, consume), 500_000)
    })
  },
)

test('10 million packets by consume: all accounted for, and memory is flat', async () => {
  expectSound(await flood(10_000_000, 'recvmmsg', consumers['consume']!), 10_000_000)
})

test('consumers that come and go for a while lose nothing that the kernel did not', async () => {
  const total = 200_000
  const changing = `
    const turns = { consume: 0, async: 0, iterate: 0, hand: 0 }
    while (received < total) {
      await new Promise((resolve) => socket.consume((batch) => { seen(batch); turns.consume++; socket.stop(); resolve() }))
      await new Promise((resolve) => socket.consume(async (batch) => {
        seen(batch); turns.async++; await null; socket.stop(); resolve()
      }))
      for await (const batch of socket) { seen(batch); turns.iterate++; break }
      const batch = socket.tryReceive()
      if (batch !== undefined) { seen(batch); turns.hand++ }
      socket.pause()
      socket.resume()
    }`
  expectSound(await flood(total, 'recvmmsg', changing), total)
})

test('ten thousand sockets, each used and closed, leave memory flat', async () => {
  const { grownBytes } = await resultOf<{ grownBytes: number }>(
    `
    const sender = await dgram()
    const cycle = async () => {
      const socket = await UdpSocket.bind({ address: '127.0.0.1', capacity: 64, bufferSize: 512 })
      await new Promise((resolve) => {
        socket.consume(resolve)
        sender.send('x', socket.address().port, '127.0.0.1')
      })
      await socket.close()
    }
    const round = async (n) => {
      for (let i = 0; i < n; i++) await cycle()
      for (let i = 0; i < 3; i++) { gc(); await new Promise(setImmediate) }
      return process.memoryUsage.rss()
    }
    await round(2000)
    const before = await round(2000)
    const after = await round(6000)
    sender.close()
    print({ grownBytes: after - before })
    `,
    long,
  )
  expect(grownBytes).toBeLessThan(16 * 1024 * 1024)
})
