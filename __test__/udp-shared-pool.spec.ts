import { describe, expect, test } from 'vitest'
import {
  BufferPool,
  buildFrame,
  FrameType,
  type PooledBuffer,
  parseFrames,
  type UdpSocket,
} from 'wraith-transport'
import {
  bind,
  collect,
  debug,
  deliver,
  dgram,
  drain,
  failsWith,
  pattern,
  texts,
  turns,
  until,
} from './support/udp.js'
import { resultOf } from './support/udp-process.js'

const sharedPool = (capacity = 64, bufferSize = 2048): BufferPool =>
  new BufferPool({ shared: true, capacity, bufferSize })

/** Every slot of a pool of which nothing is out, read to its last byte. */
function expectZeros(pool: BufferPool): void {
  const guards: PooledBuffer[] = []
  for (let guard = pool.tryAcquire(); guard !== undefined; guard = pool.tryAcquire()) {
    expect(guard.bytes.every((byte) => byte === 0)).toBe(true)
    guards.push(guard)
  }
  expect(guards).toHaveLength(pool.capacity)
  for (const guard of guards) guard.dispose()
}

describe('a batch', () => {
  test('shows each packet, of any size, in its own memory', async () => {
    const socket = await bind({ pool: sharedPool() })
    const sent = [0, 1, 2, 63, 64, 65, 1500, 2048].map((length) => pattern(length))
    await deliver(await dgram(), socket.address(), ...sent)
    const rows = drain(socket).flat()
    expect(rows.map((row) => row.bytes)).toEqual(sent)
    expect(rows.every((row) => row.peer.address === '127.0.0.1')).toBe(true)
  })

  test('over batches: a packet is never seen with the bytes of another one', async () => {
    const socket = await bind({ pool: sharedPool(16, 256), batchSize: 4 })
    const sender = await dgram()
    for (let round = 0; round < 50; round++) {
      const sent = Array.from({ length: 6 }, (_, i) => pattern((round * 7 + i * 41) % 257, round + i))
      await deliver(sender, socket.address(), ...sent)
      expect(drain(socket).flatMap((rows) => rows.map((row) => row.bytes))).toEqual(sent)
    }
  })

  test('has no view over all of its packets, and says so', async () => {
    const socket = await bind({ pool: sharedPool() })
    await deliver(await dgram(), socket.address(), 'x')
    const batch = socket.tryReceive()!
    expect(() => batch.view).toThrow(failsWith('WRAITH_ERR_UNSUPPORTED'))
    expect(batch.lengths[0]).toBe(1)
    expect(batch.copy(0).toString()).toBe('x')
  })

  test('is parsed like any other: a payload begins as far behind its offset as in bytes(i)', async () => {
    const frames = ['one', 'three', 'seven'].map((text, sequence) =>
      buildFrame({ type: FrameType.Ping, sequence, payload: Buffer.from(text) }),
    )
    const socket = await bind({ pool: sharedPool() })
    await deliver(await dgram(), socket.address(), ...frames)
    const batch = socket.tryReceive()!
    const columns = parseFrames(batch)
    expect(columns).toMatchObject({ length: 3, ok: 3 })
    const payloads = Array.from({ length: 3 }, (_, i) => {
      const start = columns.payloadOffsets[i]! - batch.offsets[i]!
      return batch.bytes(i).toString('utf8', start, start + columns.payloadLengths[i]!)
    })
    expect(payloads).toEqual(['one', 'three', 'seven'])
  })

  test('flags what was truncated to a slot', async () => {
    const socket = await bind({ pool: sharedPool(8, 64), onTruncated: 'keep' })
    await deliver(await dgram(), socket.address(), pattern(65))
    const [row] = drain(socket).flat()
    expect(row).toMatchObject({ truncated: true, wireLength: 65, bytes: pattern(65).subarray(0, 64) })
  })

  test('leaves no view behind when its slots go home', async () => {
    const socket = await bind({ pool: sharedPool() })
    await deliver(await dgram(), socket.address(), 'abc')
    const batch = socket.tryReceive()!
    const view = batch.bytes(0)
    expect(view.toString()).toBe('abc')
    batch.dispose()
    await socket.close()
    expect(view.byteLength).toBe(0)
    expectZeros(socket.pool)
  })
})

describe('a row that is taken', () => {
  test('is a guard of the pool, whose bytes beyond the packet are zeros, and the socket goes on', async () => {
    const pool = sharedPool(8, 64)
    const socket = await bind({ pool, batchSize: 4 })
    const sender = await dgram()
    for (let round = 0; round < 20; round++) {
      await deliver(sender, socket.address(), `a${round}`, `b${round}`)
      const batch = socket.tryReceive()!
      using guard = batch.take(1)
      expect(batch.bytes(0).toString()).toBe(`a${round}`)
      expect(() => batch.bytes(1)).toThrow(failsWith('WRAITH_ERR_STALE_BATCH'))
      expect(() => batch.take(1)).toThrow(failsWith('WRAITH_ERR_STALE_BATCH'))
      batch.dispose()
      expect(guard.data.toString()).toBe(`b${round}`)
      expect(guard.bytes.subarray(guard.length).every((byte) => byte === 0)).toBe(true)
      expect(pool.metrics().lent).toBe(1)
    }
    await socket.close()
    expectZeros(pool)
  })

  test('is handed on by transfer(): the same slot, and no view of it stays here', async () => {
    const pool = sharedPool(8, 64)
    const other = BufferPool.attach(pool.share())
    const socket = await bind({ pool })
    await deliver(await dgram(), socket.address(), 'hello')
    const batch = socket.tryReceive()!
    const view = batch.bytes(0)
    const ticket = batch.take(0).transfer()
    batch.dispose()
    if (!debug) expect(view.byteLength).toBe(0)
    using guard = other.adopt(ticket)
    expect(guard.data.toString()).toBe('hello')
    expect(pool.audit().transit).toBe(0)
  })
})

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

describe('a socket without slots', () => {
  test('waits in the queue of the pool, and goes on when a guard comes home anywhere', async () => {
    const pool = sharedPool(4, 64)
    const other = BufferPool.attach(pool.share())
    const guards = other.acquireMany(4)
    const socket = await bind({ pool, batchSize: 4 })
    const all = collect(socket, 5)
    await deliver(await dgram(), socket.address(), 'a', 'b', 'c', 'd', 'e')
    await until(() => socket.metrics().rxStarved > 0)
    await turns(50)
    expect(socket.metrics()).toMatchObject({ rxPackets: 0, rxStarved: 1 })
    guards[0]!.dispose()
    expect((await all).map((row) => row.text)).toEqual(['a', 'b', 'c', 'd', 'e'])
    guards.dispose()
    other.close()
  })

  test('is served in its turn: before those who asked later, after those who asked before', async () => {
    const pool = sharedPool(1, 64)
    const guard = pool.acquire()
    const order: string[] = []
    const first = pool.acquireAsync().then((it) => {
      order.push('first')
      it.dispose()
    })
    const socket = await bind({ pool, batchSize: 1 })
    await deliver(await dgram(), socket.address(), 'x')
    socket.consume(() => {
      order.push('socket')
      // Its one slot would be posted again: without it the last one would wait for ever.
      socket.stop()
    })
    await until(() => socket.metrics().rxStarved > 0)
    const last = pool.acquireAsync().then((it) => {
      order.push('last')
      it.dispose()
    })
    guard.dispose()
    await Promise.all([first, last])
    expect(order).toEqual(['first', 'socket', 'last'])
  })

  test.each([
    ['stop()', (socket: UdpSocket) => void socket.stop()],
    ['close()', (socket: UdpSocket) => void socket.close()],
    ['stop().share()', (socket: UdpSocket) => void socket.stop().share()],
  ])('leaves the queue with %s: the slot is the next one’s', async (_name, leave) => {
    const pool = sharedPool(1, 64)
    const guard = pool.acquire()
    const socket = await bind({ pool })
    socket.consume(() => {})
    await deliver(await dgram(), socket.address(), 'x')
    await until(() => socket.metrics().rxStarved > 0)
    const next = pool.acquireAsync()
    leave(socket)
    guard.dispose()
    const got = await next
    got.dispose()
    expect(pool.audit()).toMatchObject({ ok: true, posted: 0 })
  })

  test('reads on after tryReceive() found none, with whatever consumer comes', async () => {
    const pool = sharedPool(2, 64)
    const guards = pool.acquireMany(2)
    const socket = await bind({ pool })
    await deliver(await dgram(), socket.address(), 'a', 'b', 'c')
    expect(socket.tryReceive()).toBeUndefined()
    const all = collect(socket, 3)
    await turns()
    guards.dispose()
    expect((await all).map((row) => row.text)).toEqual(['a', 'b', 'c'])
    socket.stop()
    const more = pool.acquireMany(2)
    await deliver(await dgram(), socket.address(), 'd')
    const iterator = socket[Symbol.asyncIterator]()
    const next = iterator.next()
    await until(() => socket.metrics().rxStarved > 1)
    more.dispose()
    expect(texts((await next).value!)).toEqual(['d'])
    await iterator.return()
  })

  test('keeps its process alive as long as it has a consumer, and no longer', async () => {
    const run = (how: string): Promise<string[]> =>
      resultOf<string[]>(`
        const pool = new BufferPool({ shared: true, capacity: 1, bufferSize: 64 })
        const worker = startWorker(\`
          const pool = BufferPool.attach(workerData)
          const guard = pool.acquire()
          parentPort.postMessage('has it')
          parentPort.once('message', () => setTimeout(() => { guard.dispose(); pool.close() }, 20))
        \`, pool.share())
        await once(worker, 'message')
        const socket = await UdpSocket.bind({ address: '127.0.0.1', pool })
        socket.send('x', socket.address())
        ${how}
        process.on('exit', () => print(['ends', String(socket.metrics().rxPackets)]))
        worker.unref()
        worker.postMessage('go')
      `)
    const starved = 'await until(() => socket.metrics().rxStarved > 0)'
    expect(await run(`socket.consume(() => { socket.close() }); ${starved}`)).toEqual(['ends', '1'])
    expect(await run(`socket.consume(() => {}); ${starved}; socket.unref()`)).toEqual(['ends', '0'])
    expect(await run(`socket.consume(() => {}); ${starved}; socket.pause()`)).toEqual(['ends', '0'])
    expect(await run('socket.tryReceive()')).toEqual(['ends', '0'])
  })

  test('gets none when the pool is closed by another thread’s object: it keeps quiet and closes well', async () => {
    const pool = sharedPool(2, 64)
    const mine = BufferPool.attach(pool.share())
    const guards = pool.acquireMany(2)
    const socket = await bind({ pool: mine })
    socket.consume(() => {})
    await deliver(await dgram(), socket.address(), 'x')
    await until(() => socket.metrics().rxStarved > 0)
    pool.close()
    await turns(50)
    const { rxStarved } = socket.metrics()
    await turns(50)
    expect(socket.metrics().rxStarved).toBe(rxStarved)
    guards.dispose()
    await socket.close()
    await pool.closed
  })
})

describe('sendOwned', () => {
  test('sends slots of a shared pool, which are home when the kernel has the bytes, unseen', async () => {
    const pool = sharedPool(8, 64)
    const [socket, peer] = [await bind({ pool }), await bind()]
    for (let round = 0; round < 20; round++) {
      const guard = pool.acquire()
      guard.length = guard.bytes.write(`packet ${round}`)
      const view = guard.bytes
      expect(socket.sendOwned(guard, peer.address())).toBe(true)
      expect(guard.disposed).toBe(true)
      expect(view.byteLength).toBe(0)
    }
    expect(drain(peer).flatMap((rows) => rows.map((row) => row.text))).toEqual(
      Array.from({ length: 20 }, (_, round) => `packet ${round}`),
    )
    await socket.close()
    expectZeros(pool)
  })

  test('leaves the guard with its bytes when it throws', async () => {
    const pool = sharedPool(8, 2048)
    const socket = await bind({ pool })
    const guard = pool.acquire()
    guard.length = guard.bytes.write('mine')
    expect(() => socket.sendOwned(guard)).toThrow(failsWith('WRAITH_ERR_NOT_CONNECTED'))
    expect(guard.data.toString()).toBe('mine')
    expect(() => socket.sendOwned(guard, { address: '127.255.255.255', port: 9, family: 'IPv4' })).toThrow(
      failsWith('WRAITH_ERR_PERMISSION'),
    )
    expect(guard.data.toString()).toBe('mine')
    guard.dispose()
    await socket.close()
    expectZeros(pool)
  })

  test('of a guard of another object of the same pool sends a copy', async () => {
    const pool = sharedPool(8, 64)
    const other = BufferPool.attach(pool.share())
    const socket = await bind({ pool })
    const guard = other.acquire()
    guard.length = guard.bytes.write('other')
    expect(socket.sendOwned(guard, socket.address())).toBe(true)
    expect(texts(socket.tryReceive()!)).toEqual(['other'])
    other.close()
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

test('memory that user code moves away is never received into again, and the packets go on', async () => {
  const result = await resultOf<{
    moved: string
    got: string[]
    quarantined: number
    warnings: string[]
    ok: boolean
  }>(`
    const warnings = []
    process.on('warning', (warning) => warnings.push(warning.code))
    const pool = new BufferPool({ shared: true, capacity: 8, bufferSize: 64 })
    const socket = await UdpSocket.bind({ address: '127.0.0.1', pool, batchSize: 4 })
    const send = (text) => socket.send(text, socket.address())
    send('first')
    const batch = socket.tryReceive()
    const bytes = batch.bytes(0)
    // Node 20 has no transfer(), but a byte stream's reader takes the memory of what it is given to read into.
    const take = async (view) => {
      const { byteLength } = view
      if (ArrayBuffer.prototype.transfer) return new Uint8Array(view.buffer.transfer(), 0, byteLength)
      const stream = new ReadableStream({ type: 'bytes', pull: (it) => { it.byobRequest.view[0] = 102; it.byobRequest.respond(1) } })
      const { value } = await stream.getReader({ mode: 'byob' }).read(new Uint8Array(view.buffer, 0, view.byteLength))
      return new Uint8Array(value.buffer, 0, 5)
    }
    const theirs = await take(bytes)
    batch.dispose()
    const got = []
    for (let round = 0; round < 30; round++) {
      send('packet ' + round)
      const batch = socket.tryReceive()
      got.push(batch.bytes(0).toString())
    }
    const moved = Buffer.from(theirs).toString()
    await socket.close()
    await new Promise(setImmediate)
    const { ok, quarantined } = pool.audit()
    print({ moved, got, quarantined, warnings, ok })
    pool.close()
  `)
  if (debug) return expect(result.ok).toBe(true)
  expect(result).toEqual({
    moved: 'first',
    got: Array.from({ length: 30 }, (_, round) => `packet ${round}`),
    quarantined: 1,
    warnings: ['WRAITH_WARN_DETACHED'],
    ok: true,
  })
})
