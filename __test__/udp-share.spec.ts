import { describe, expect, test } from 'vitest'
import { BufferPool, UdpSocket, type UdpSocketToken } from 'wraith-transport'
import { bind, collect, deliver, dgram, drain, expectAllHome, failsWith, texts } from './support/udp.js'
import { resultOf, runModule } from './support/udp-process.js'

/** Attaches and closes in the end, also when the test fails. */
async function attached(
  token: UdpSocketToken,
  use: (socket: UdpSocket) => unknown,
  options = {},
): Promise<void> {
  const socket = UdpSocket.attach(token, options)
  try {
    await use(socket)
  } finally {
    await socket.close()
    expectAllHome(socket.pool)
  }
}

describe('a token', () => {
  test('is plain data, frozen, equal each time, and survives structuredClone', async () => {
    const socket = await bind()
    const token = socket.share()
    expect(Object.isFrozen(token)).toBe(true)
    expect(structuredClone(token)).toEqual({
      kind: 'wraith-transport/udp',
      id: expect.stringMatching(/^[0-9a-f]{32}$/),
    })
    expect(socket.share()).toEqual(token)
    expect((await bind()).share().id).not.toBe(token.id)
  })

  test.each([
    ['undefined', undefined],
    ['null', null],
    ['its id alone', '0123456789abcdef0123456789abcdef'],
    ['one without an id', { kind: 'wraith-transport/udp' }],
    ['one of another kind', { kind: 'wraith-transport/pool', id: '0'.repeat(32) }],
    ['one with a short id', { kind: 'wraith-transport/udp', id: '0' }],
    ['one with capitals', { kind: 'wraith-transport/udp', id: 'A'.repeat(32) }],
    ['a socket', {}],
  ])('must be one: %s is refused', (_what, token) => {
    expect(() => UdpSocket.attach(token as never)).toThrow(failsWith('WRAITH_ERR_INVALID_ARG_TYPE', 'token'))
  })

  test('that was forged finds nothing', async () => {
    const token = (await bind()).share()
    const forged = { ...token, id: '0123456789abcdef0123456789abcdef' }
    expect(() => UdpSocket.attach(forged)).toThrow(failsWith('WRAITH_ERR_STALE_TOKEN'))
  })

  test('of another process finds nothing', async () => {
    const token = (await bind()).share()
    const code = await resultOf<string[]>(`
      try { UdpSocket.attach(${JSON.stringify(token)}) } catch (error) { print([error.code]) }
    `)
    expect(code).toEqual(['WRAITH_ERR_STALE_TOKEN'])
  })

  test('of a closed socket is stale', async () => {
    const socket = await bind()
    const token = socket.share()
    await socket.close()
    expect(() => UdpSocket.attach(token)).toThrow(failsWith('WRAITH_ERR_STALE_TOKEN'))
  })
})

describe('the lease', () => {
  test('is with the one who attached: everybody else is busy', async () => {
    const socket = await bind()
    const token = socket.share()
    await attached(token, async () => {
      expect(() => UdpSocket.attach(token)).toThrow(failsWith('WRAITH_ERR_BUSY'))
      expect(() => socket.consume(() => {})).toThrow(failsWith('WRAITH_ERR_BUSY'))
      expect(() => socket.tryReceive()).toThrow(failsWith('WRAITH_ERR_BUSY'))
      await expect(socket[Symbol.asyncIterator]().next()).rejects.toEqual(failsWith('WRAITH_ERR_BUSY'))
    })
    expect(socket.tryReceive()).toBeUndefined()
  })

  test('comes back to the sharer when it is free and it reads, and then it has it', async () => {
    const socket = await bind()
    const token = socket.share()
    await deliver(await dgram(), socket.address(), 'a', 'b')
    expect(
      drain(socket)
        .flat()
        .map((row) => row.text),
    ).toEqual(['a', 'b'])
    expect(() => UdpSocket.attach(token)).toThrow(failsWith('WRAITH_ERR_BUSY'))
    socket.share()
    await attached(token, (other) => expect(other.tryReceive()).toBeUndefined())
  })

  test('goes from handle to handle, and each gets what the one before left', async () => {
    const socket = await bind({ batchSize: 2 })
    const token = socket.share()
    const sender = await dgram()
    await deliver(sender, socket.address(), ...'abcdefgh')
    const got: string[] = []
    await attached(token, (one) => void got.push(...texts(one.tryReceive()!)), { batchSize: 1 })
    await attached(
      token,
      (two) => {
        const batch = two.tryReceive()!
        got.push(...texts(batch))
        batch.dispose()
        two.share()
        got.push(...drain(socket).flatMap((rows) => rows.map((row) => row.text)))
      },
      { batchSize: 3 },
    )
    expect(got).toEqual([...'abcdefgh'])
  })

  test('is free as soon as close() was called, before the handle is closed', async () => {
    const socket = await bind()
    const one = UdpSocket.attach(socket.share())
    const closing = one.close()
    const two = UdpSocket.attach(socket.share())
    await Promise.all([closing, two.close()])
  })

  test('is given up by nobody who reads: share() is refused with a consumer or a batch out', async () => {
    const socket = await bind()
    const refused = failsWith('WRAITH_ERR_BUSY')
    socket.consume(() => {})
    expect(() => socket.share()).toThrow(refused)
    socket.pause()
    expect(() => socket.share()).toThrow(refused)
    socket.stop().resume()
    await deliver(await dgram(), socket.address(), 'a', 'b')
    const batch = socket.tryReceive()!
    expect(() => socket.share()).toThrow(refused)
    expect(texts(batch)).toEqual(['a', 'b'])
    batch.dispose()
    const iterator = socket[Symbol.asyncIterator]()
    void iterator.next()
    expect(() => socket.share()).toThrow(refused)
    await iterator.return()
    socket.share()
  })

  test('that was given up leaves no slot posted', async () => {
    const socket = await bind({ capacity: 64 })
    await deliver(await dgram(), socket.address(), 'a')
    socket.tryReceive()!.dispose()
    expect(socket.pool.audit().posted).toBeGreaterThan(0)
    socket.share()
    expect(socket.pool.audit().posted).toBe(0)
  })

  test('of a socket that starves is given up like any other', async () => {
    const pool = new BufferPool({ capacity: 2, bufferSize: 64 })
    const socket = await bind({ pool })
    const guards = pool.acquireMany(2)
    await deliver(await dgram(), socket.address(), 'a')
    expect(socket.tryReceive()).toBeUndefined()
    const token = socket.share()
    guards.dispose()
    expect(pool.metrics().available).toBe(2)
    await attached(token, (other) => expect(texts(other.tryReceive()!)).toEqual(['a']))
  })
})

describe('a handle', () => {
  test('that attached knows the socket: address, timestamps, family, buffers', async () => {
    const socket = await bind({ type: 'udp6', timestamps: true, recvBufferSize: 65_536 })
    await attached(
      socket.share(),
      async (other) => {
        expect(other.address()).toEqual(socket.address())
        expect(other.info()).toEqual({ ...socket.info(), batchSize: 7, backend: 'recvmsg' })
        expect(other.info()).toMatchObject({ timestamps: true, recvBuffer: { asked: 65_536 } })
        const all = collect(other, 1)
        await deliver(await dgram('udp6'), other.address(), 'x')
        expect((await all)[0]).toMatchObject({ text: 'x', peer: { family: 'IPv6' } })
      },
      { batchSize: 7, backend: 'recvmsg' },
    )
  })

  test('sends, also without the lease, and connects for all', async () => {
    const [socket, peer] = [await bind(), await bind()]
    await attached(socket.share(), async (other) => {
      expect(socket.send('a', peer.address())).toBe(true)
      expect(other.send('b', peer.address())).toBe(true)
      const guard = socket.pool.acquire()
      guard.length = guard.bytes.write('c')
      expect(socket.sendOwned(guard, peer.address())).toBe(true)
      expect(drain(peer).flatMap((rows) => rows.map((row) => row.text))).toEqual(['a', 'b', 'c'])
      await other.connect(peer.address().port)
      expect(socket.send('d')).toBe(true)
      expect(texts(peer.tryReceive()!)).toEqual(['d'])
      expect(socket.remoteAddress()).toEqual(peer.address())
    })
  })

  test('counts on where the others are', async () => {
    const socket = await bind()
    const token = socket.share()
    await deliver(await dgram(), socket.address(), 'a', 'b', 'c')
    await attached(token, (other) => expect(drain(other).flat()).toHaveLength(3))
    await attached(token, (other) => expect(other.metrics()).toMatchObject({ rxPackets: 3, rxBytes: 3 }))
    expect(socket.metrics()).toMatchObject({ rxPackets: 3, rxAbandoned: 0, txUnsent: 0 })
  })

  test('receives into the pool that it is given, which must be open', async () => {
    const pool = new BufferPool({ capacity: 8, bufferSize: 64 })
    const socket = await bind()
    const token = socket.share()
    await attached(
      token,
      async (other) => {
        expect(other.pool).toBe(pool)
        await deliver(await dgram(), socket.address(), 'x')
        const batch = other.tryReceive()!
        using guard = batch.take(0)
        expect(guard.data.toString()).toBe('x')
        expect(pool.metrics().lent).toBe(1)
        expect(() => pool.close()).toThrow(failsWith('WRAITH_ERR_POOL_IN_USE'))
      },
      { pool },
    )
    pool.close()
    expect(() => UdpSocket.attach(token, { pool })).toThrow(failsWith('WRAITH_ERR_POOL_CLOSED'))
    await attached(token, () => {})
  })

  test('that could not be had leaves the lease to others', async () => {
    const socket = await bind()
    const token = socket.share()
    const wrong = [
      [{ batchSize: 0 }, 'WRAITH_ERR_OUT_OF_RANGE', 'batchSize'],
      [{ port: 1 }, 'WRAITH_ERR_UNKNOWN_OPTION', 'port'],
      [{ timestamps: true }, 'WRAITH_ERR_UNKNOWN_OPTION', 'timestamps'],
      [{ pool: {} }, 'WRAITH_ERR_INVALID_ARG_TYPE', 'pool'],
      [{ pool: new BufferPool({ capacity: 1 }), capacity: 1 }, 'WRAITH_ERR_INVALID_ARG_TYPE', 'capacity'],
      [{ signal: AbortSignal.abort() }, 'WRAITH_ERR_ABORTED', 'signal'],
    ] as const
    for (const [options, code, option] of wrong) {
      expect(() => UdpSocket.attach(token, options as never)).toThrow(failsWith(code, option))
    }
    await attached(token, () => {})
  })

  test('is closed by its signal, and the others are not', async () => {
    const socket = await bind()
    const controller = new AbortController()
    const other = UdpSocket.attach(socket.share(), { signal: controller.signal })
    controller.abort()
    await other.closed
    expect(() => other.share()).toThrow(failsWith('WRAITH_ERR_SOCKET_CLOSED'))
    expect(() => other.send('x', 9)).toThrow(failsWith('WRAITH_ERR_SOCKET_CLOSED'))
    expect(socket.tryReceive()).toBeUndefined()
  })

  test('has a ref of its own', async () => {
    const socket = await bind()
    await attached(socket.share(), (other) => {
      expect(other.unref().hasRef()).toBe(false)
      expect(socket.hasRef()).toBe(true)
      expect(other.ref().hasRef()).toBe(true)
    })
  })

  test('and another of the same thread read in turn', async () => {
    const [socket, sender] = [await bind(), await dgram()]
    const all = collect(socket, 1)
    await deliver(sender, socket.address(), 'a')
    await all
    socket.stop()
    await attached(socket.share(), async (other) => {
      const both = collect(other, 2)
      await deliver(sender, socket.address(), 'b', 'c')
      expect((await both).map((row) => row.text)).toEqual(['b', 'c'])
    })
    const last = collect(socket, 1)
    await deliver(sender, socket.address(), 'd')
    expect((await last).map((row) => row.text)).toEqual(['d'])
  })
})

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
