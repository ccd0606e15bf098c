import { describe, expect, test } from 'vitest'
import { UdpSocket } from 'wraith-transport'
import { bind, failsWith } from './support/udp.js'
import { resultOf, runModule } from './support/udp-process.js'

describe('the descriptor', () => {
  const portIsFree = async (port: number): Promise<boolean> => {
    try {
      await (await UdpSocket.bind({ address: '127.0.0.1', port })).close()
      return true
    } catch {
      return false
    }
  }

  test.each([
    ['the sharer first', [0, 1, 2]],
    ['the sharer last', [2, 1, 0]],
    ['the sharer in between', [1, 0, 2]],
  ])('is closed with the last handle: %s', async (_name, order) => {
    const socket = await bind()
    const { port } = socket.address()
    const token = socket.share()
    const handles = [socket, UdpSocket.attach(token)]
    handles[1]!.share()
    handles.push(UdpSocket.attach(token))
    for (const [closed, index] of order.entries()) {
      expect(await portIsFree(port), `after ${closed} of 3`).toBe(false)
      await handles[index]!.close()
      await handles[index]!.close()
    }
    expect(await portIsFree(port)).toBe(true)
    expect(() => UdpSocket.attach(token)).toThrow(failsWith('WRAITH_ERR_STALE_TOKEN'))
  })

  test('outlives every worker, where the main thread knows nothing of it', async () => {
    const result = await resultOf<{ got: string[]; binds: string[]; left: string }>(
      `
      const first = startWorker(\`
        const socket = await UdpSocket.bind({ address: '127.0.0.1' })
        parentPort.postMessage({ token: socket.share(), to: socket.address() })
        setInterval(() => {}, 1e6)
      \`)
      const [{ token, to }] = await once(first, 'message')
      await first.terminate()
      const sender = await dgram()
      const binds = [], got = []
      const tryBind = () => new Promise((resolve) => {
        const other = createSocket('udp4')
        const done = (what) => { binds.push(what); other.close(); resolve() }
        other.once('error', (error) => done(error.code)).bind(to.port, to.address, () => done('bound'))
      })
      for (const last of [false, false, true]) {
        await tryBind()
        await deliver(sender, to, 'a', 'b')
        const worker = startWorker(\`
          const socket = UdpSocket.attach(workerData.token, { batchSize: 1 })
          parentPort.postMessage(socket.tryReceive().bytes(0).toString())
          if (workerData.last) {
            for (let batch; (batch = socket.tryReceive()); ) parentPort.postMessage(batch.bytes(0).toString())
            await socket.close()
          } else setInterval(() => {}, 1e6)
        \`, { token, last })
        worker.on('message', (text) => got.push(text))
        if (!last) await once(worker, 'message'), await worker.terminate()
        else await once(worker, 'exit')
      }
      await tryBind()
      sender.close()
      const late = startWorker(\`
        try { UdpSocket.attach(workerData.token) } catch (error) { parentPort.postMessage(error.code) }
      \`, { token })
      print({ got, binds, left: (await once(late, 'message'))[0] })
      `,
      { bare: true },
    )
    expect(result).toEqual({
      got: ['a', 'b', 'a', 'b', 'a', 'b'],
      binds: ['EADDRINUSE', 'EADDRINUSE', 'EADDRINUSE', 'bound'],
      left: 'WRAITH_ERR_STALE_TOKEN',
    })
  })

  test('is one more for each handle that attached, and none is left: 200 handles of one thread', async () => {
    const result = await resultOf<{ grown: number[]; polls: number }>(`
      import { readdirSync } from 'node:fs'
      const descriptors = () => readdirSync('/proc/self/fd').length
      const socket = await UdpSocket.bind({ address: '127.0.0.1' })
      const token = socket.share()
      const pool = new BufferPool({ capacity: 64, bufferSize: 64 })
      const grown = []
      for (let i = 0; i < 201; i++) {
        const other = UdpSocket.attach(token, { pool })
        other.send(String(i), other.address())
        if (Number(other.tryReceive().bytes(0).toString()) !== i) throw new Error('another packet')
        const open = descriptors()
        await other.close()
        if (i === 0) var before = descriptors()
        else grown.push(open - before)
      }
      const { ok, posted } = pool.audit()
      if (!ok || posted !== 0) throw new Error('the audit')
      print({ grown: [...new Set(grown), descriptors() - before] })
      await socket.close()
    `)
    expect(result).toEqual({ grown: [1, 0] })
  })
})

test('a REUSEPORT group keeps its order over a take-over: each sender goes on with the same socket', async () => {
  const result = await resultOf<{ before: number[]; after: number[]; groups: number }>(`
    const group = []
    for (let i = 0; i < 4; i++) {
      const port = group[0]?.address().port ?? 0
      group.push(await UdpSocket.bind({ address: '127.0.0.1', port, reusePort: true }))
    }
    const senders = await Promise.all(Array.from({ length: 32 }, () => dgram()))
    const whoGets = async (sockets) => {
      for (const [i, sender] of senders.entries()) await deliver(sender, group[0].address(), String(i))
      const got = new Array(senders.length)
      for (const [index, socket] of sockets.entries()) {
        for (let batch; (batch = socket.tryReceive()); ) {
          for (let i = 0; i < batch.length; i++) got[Number(batch.bytes(i).toString())] = index
        }
      }
      return got
    }
    const before = await whoGets(group)
    const tokens = group.map((socket) => socket.share())
    for (const token of tokens) {
      const worker = startWorker(\`
        const socket = UdpSocket.attach(workerData)
        socket.consume(() => {})
        parentPort.postMessage('reads')
      \`, token)
      await once(worker, 'message')
      await worker.terminate()
    }
    const successors = tokens.map((token) => UdpSocket.attach(token))
    const after = await whoGets(successors)
    print({ before, after, groups: new Set(before).size })
    for (const socket of [...group, ...successors]) await socket.close()
    for (const sender of senders) sender.close()
  `)
  expect(result.groups).toBeGreaterThan(1)
  expect(result.after).toEqual(result.before)
})

test('readers that are terminated at random under a flood lose no more than what is counted, and nothing twice', async () => {
  const result = await resultOf<Record<string, number>>(`
    const home = await UdpSocket.bind({ address: '127.0.0.1' })
    const token = home.share()
    const shared = new SharedArrayBuffer(4 * 1_000_000)
    const marks = new Int32Array(shared)
    const source = \`
      const marks = new Int32Array(workerData.shared)
      const socket = UdpSocket.attach(workerData.token)
      socket.consume((batch) => {
        for (let i = 0; i < batch.length; i++) Atomics.add(marks, batch.bytes(i).readUInt32LE(0), 1)
      })
      parentPort.postMessage('reads')\`
    const sender = await UdpSocket.bind({ address: '127.0.0.1' })
    const to = home.address()
    const bytes = Buffer.alloc(32)
    let sent = 0
    // Never more in the kernel than the buffer that every Linux gives without asking can hold.
    const flood = () => {
      for (let left = 100 - (sent - home.metrics().rxPackets); left > 0; left--) {
        bytes.writeUInt32LE(sent)
        if (!sender.send(bytes, to)) return
        sent++
      }
    }
    for (let round = 0; round < 30; round++) {
      const worker = startWorker(source, { token, shared })
      await once(worker, 'message')
      const until = sent + 100 + round * 37
      while (sent < until) { flood(); await new Promise(setImmediate) }
      const ended = worker.terminate()
      flood()
      await ended
    }
    for (let batch; (batch = home.tryReceive()); ) {
      for (let i = 0; i < batch.length; i++) Atomics.add(marks, batch.bytes(i).readUInt32LE(0), 1)
    }
    const { rxPackets, rxAbandoned, rxDroppedByKernel, ownershipFaults } = home.metrics()
    const all = marks.subarray(0, sent)
    print({
      unaccounted: sent - rxPackets,
      again: all.filter((n) => n > 1).length,
      lostWithoutCount: Math.max(0, all.filter((n) => n === 0).length - rxAbandoned),
      rxDroppedByKernel, ownershipFaults, enough: Number(sent > 3000),
    })
    await Promise.all([home.close(), sender.close()])
  `)
  expect(result).toEqual({
    unaccounted: 0,
    again: 0,
    lostWithoutCount: 0,
    rxDroppedByKernel: 0,
    ownershipFaults: 0,
    enough: 1,
  })
})

test('packets that come while a worker is being terminated are its successor’s', async () => {
  const result = await resultOf<{ got: number[]; rxAbandoned: number }>(`
    const home = await UdpSocket.bind({ address: '127.0.0.1' })
    const token = home.share()
    const got = []
    for (let round = 0; round < 30; round++) {
      const worker = startWorker(\`
        const socket = UdpSocket.attach(workerData)
        socket.consume(() => {})
        setTimeout(() => parentPort.postMessage('sleeps'))
      \`, token)
      await once(worker, 'message')
      const ended = worker.terminate()
      for (let i = 0; i < 4; i++) home.send('x', home.address())
      await ended
      let count = 0
      for (let batch; (batch = home.tryReceive()); ) count += batch.length
      got.push(count)
      home.share()
    }
    print({ got, rxAbandoned: home.metrics().rxAbandoned })
    await home.close()
  `)
  expect(result).toEqual({ got: new Array(30).fill(4), rxAbandoned: 0 })
})

test('a process with a shared socket that nobody reads ends by itself', async () => {
  const { code, signal, stderr } = await runModule(`
    const socket = await UdpSocket.bind({ address: '127.0.0.1' })
    socket.consume(() => {}).stop()
    UdpSocket.attach(socket.share()).share()
  `)
  expect({ code, signal, stderr }).toEqual({ code: 0, signal: null, stderr: '' })
})
