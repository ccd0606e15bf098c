import { describe, expect, test } from 'vitest'
import { resultOf } from './support/udp-process.js'

test('one worker receives, three parse: every packet arrives once, whole, and every slot comes home', async () => {
  const result = await resultOf<Record<string, number>>(
    `
    const COUNT = 6000
    const pool = new BufferPool({ shared: true, capacity: 256, bufferSize: 512 })
    const shared = new SharedArrayBuffer(4 * COUNT)
    const marks = new Int32Array(shared)
    const parserSource = \`
      const pool = BufferPool.attach(workerData.pool)
      const marks = new Int32Array(workerData.shared)
      let wrong = 0
      parentPort.on('message', (message) => {
        if (message.port !== undefined) {
          message.port.on('message', (tickets) => {
            if (tickets === 'end') {
              message.port.close()
              parentPort.postMessage({ wrong })
              parentPort.close()
              pool.close()
              return
            }
            for (const ticket of tickets) {
              const guard = pool.adopt(ticket)
              const n = guard.data.readUInt32LE(0)
              if (guard.length !== 4 + n % 300) wrong++
              for (let i = 4; i < guard.length; i++) if (guard.data[i] !== (n + i) % 251) { wrong++; break }
              Atomics.add(marks, n, 1)
              guard.dispose()
            }
          })
        }
      })
      parentPort.postMessage('ready')\`
    const receiverSource = \`
      const pool = BufferPool.attach(workerData.pool)
      const socket = await UdpSocket.bind({ address: '127.0.0.1', pool, batchSize: 32 })
      let ports = [], next = 0, received = 0
      parentPort.on('message', (message) => { ports = message.ports; parentPort.postMessage(socket.address()) })
      socket.consume((batch) => {
        const groups = ports.map(() => [])
        for (let i = 0; i < batch.length; i++) groups[next++ % ports.length].push(batch.take(i).transfer())
        received += batch.length
        for (const [i, group] of groups.entries()) if (group.length > 0) ports[i].postMessage(group)
        if (received === workerData.COUNT) {
          for (const port of ports) { port.postMessage('end'); port.close() }
          socket.close().then(() => {
            parentPort.postMessage(socket.metrics())
            parentPort.close()
            pool.close()
          })
        }
      })
      parentPort.postMessage('ready')\`
    const data = { pool: pool.share(), shared, COUNT }
    const receiver = startWorker(receiverSource, data)
    const parsers = Array.from({ length: 3 }, () => startWorker(parserSource, data))
    await Promise.all([receiver, ...parsers].map((worker) => once(worker, 'message')))
    const ends = []
    for (const parser of parsers) {
      const { port1, port2 } = new MessageChannel()
      parser.postMessage({ port: port1 }, [port1])
      ends.push(port2)
    }
    receiver.postMessage({ ports: ends }, ends)
    const [to] = await once(receiver, 'message')
    const results = Promise.all(parsers.map(async (parser) => (await once(parser, 'message'))[0]))
    const exits = Promise.all([receiver, ...parsers].map((worker) => once(worker, 'exit')))
    const metrics = once(receiver, 'message')
    const sender = await UdpSocket.bind({ address: '127.0.0.1' })
    const done = () => { let n = 0; for (const mark of marks) n += mark; return n }
    for (let n = 0; n < COUNT; n++) {
      const bytes = Buffer.alloc(4 + n % 300)
      bytes.writeUInt32LE(n)
      for (let i = 4; i < bytes.length; i++) bytes[i] = (n + i) % 251
      while (!sender.send(bytes, to)) await new Promise(setImmediate)
      if (n % 50 === 49) await until(() => done() > n - 60)
    }
    const wrong = (await results).reduce((sum, it) => sum + it.wrong, 0)
    const [{ rxPackets, rxDroppedByKernel, ownershipFaults }] = await metrics
    await exits
    await sender.close()
    const audit = pool.audit()
    const { transferred, adopted } = pool.metrics().pool
    print({
      wrong, rxPackets, rxDroppedByKernel, ownershipFaults, transferred, adopted,
      once: marks.filter((n) => n === 1).length, home: Number(audit.ok && audit.free + audit.cached === 256),
    })
    pool.close()
    `,
    { timeoutMs: 50_000 },
  )
  expect(result).toEqual({
    wrong: 0,
    rxPackets: 6000,
    rxDroppedByKernel: 0,
    ownershipFaults: 0,
    transferred: 6000,
    adopted: 6000,
    once: 6000,
    home: 1,
  })
})

describe('workers that die', () => {
  const situations = {
    'inside a handler': 'socket.consume((batch) => { batch.bytes(0); post(); for (;;); })',
    'with rows taken':
      'socket.consume((batch) => { kept.push(batch.take(0)); post(); for (;;) kept[0].bytes.fill(1) })',
    'with tickets on their way':
      'socket.consume((batch) => { parentPort.postMessage(batch.take(0).transfer()); for (;;); })',
    'while they starve': `kept.push(...pool.acquireMany(pool.available))
      socket.consume(() => {})
      const look = setInterval(() => { if (socket.metrics().rxStarved > 0) post() }, 1)`,
    'after stop()':
      'socket.consume((batch) => { batch.bytes(0); socket.stop(); post() }); setInterval(() => {}, 1e6)',
    'by process.exit()': 'socket.consume((batch) => { batch.bytes(0); post(); process.exit(0) })',
    'by an error': "socket.consume((batch) => { batch.bytes(0); post(); throw new Error('mine') })",
  } as const

  test.each(Object.entries(situations))('%s leave every slot at home, zeroed', async (_name, body) => {
    const result = await resultOf<{ dirty: number; ok: boolean; home: number; problems: string[] }>(`
      const pool = new BufferPool({ shared: true, capacity: 64, bufferSize: 256, ticketTimeout: 1 })
      for (let round = 0; round < 10; round++) {
        const worker = startWorker(\`
          const pool = BufferPool.attach(workerData)
          const socket = await UdpSocket.bind({ address: '127.0.0.1', pool, batchSize: 8 })
          const kept = []
          const post = () => parentPort.postMessage('now')
          ${body}
          for (let i = 0; i < 8; i++) socket.send(Buffer.alloc(200, 255), socket.address())
        \`, pool.share())
        const exit = new Promise((resolve) => worker.once('exit', resolve))
        worker.on('error', () => {})
        await Promise.race([new Promise((resolve) => worker.once('message', resolve)), exit])
        await worker.terminate()
        await exit
      }
      await until(() => { const { free, cached, ok } = pool.audit(); return ok && free + cached === 64 })
      const audit = pool.audit()
      let dirty = 0, home = 0
      const guards = []
      for (let guard; (guard = pool.tryAcquire()); home++) {
        if (guard.bytes.some((byte) => byte !== 0)) dirty++
        guards.push(guard)
      }
      for (const guard of guards) guard.dispose()
      print({ dirty, home, ok: audit.ok, problems: audit.problems })
      pool.close()
    `)
    expect(result).toEqual({ dirty: 0, home: 64, ok: true, problems: [] })
  })

  test('are succeeded on the same socket and the same pool', async () => {
    const result = await resultOf<{ seen: number[]; abandoned: number; home: boolean }>(`
      const pool = new BufferPool({ shared: true, capacity: 64, bufferSize: 256 })
      const home = await UdpSocket.bind({ address: '127.0.0.1', pool })
      const data = { pool: pool.share(), socket: home.share() }
      for (let n = 0; n < 40; n++) home.send(Buffer.from([n]), home.address())
      const seen = []
      for (let round = 0; round < 9; round++) {
        const worker = startWorker(\`
          const pool = BufferPool.attach(workerData.pool)
          const socket = UdpSocket.attach(workerData.socket, { pool, batchSize: 4 })
          socket.consume((batch) => {
            parentPort.postMessage(batch.take(0).transfer())
            for (;;);
          })
        \`, data)
        const [ticket] = await once(worker, 'message')
        const guard = pool.adopt(ticket)
        seen.push(guard.data[0])
        await worker.terminate()
        if (guard.data[0] !== seen.at(-1)) throw new Error('it changed')
        guard.dispose()
      }
      for (let batch; (batch = home.tryReceive()); ) {
        for (let i = 0; i < batch.length; i++) seen.push(batch.bytes(i)[0])
      }
      const { rxAbandoned } = home.metrics()
      await home.close()
      const { ok, free, cached } = pool.audit()
      print({ seen, abandoned: rxAbandoned, home: ok && free + cached === 64 })
      pool.close()
    `)
    expect(result).toEqual({
      seen: [...Array.from({ length: 9 }, (_, round) => round * 4), 36, 37, 38, 39],
      abandoned: 36,
      home: true,
    })
  })
})
