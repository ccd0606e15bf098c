import { describe, expect, test } from 'vitest'
import { BufferPool, UdpSocket, type UdpSocketToken } from 'wraith-transport'
import { bind, collect, deliver, dgram, drain, expectAllHome, failsWith, texts } from './support/udp.js'
import { resultOf } from './support/udp-process.js'

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
