import { describe, expect, test } from 'vitest'
import { BufferPool, type UdpSocket } from 'wraith-transport'
import { bind, collect, deliver, dgram, texts, turns, until } from './support/udp.js'
import { resultOf } from './support/udp-process.js'
import { sharedPool } from './support/udp-shared-pools.js'

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
