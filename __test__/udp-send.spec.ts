import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { BufferPool, type Peer } from 'wraith-transport'
import { bind, collect, deliver, dgram, drain, failsWith, pattern, texts, until } from './support/udp.js'

describe.each([
  ['udp4', '127.0.0.1'],
  ['udp6', '::1'],
] as const)('send on %s', (type, address) => {
  test('node:dgram receives each datagram whole, from where the socket is bound', async () => {
    const receiver = await dgram(type)
    const socket = await bind({ type })
    const got: { message: Buffer; port: number }[] = []
    receiver.on('message', (message, { port }) => got.push({ message, port }))
    for (const length of [0, 1, 1472, 9000, 65_507]) {
      expect(socket.send(pattern(length), receiver.address().port, address)).toBe(true)
      await until(() => got.length > 0)
      const { message, port } = got.pop()!
      expect(Buffer.compare(message, pattern(length))).toBe(0)
      expect(port).toBe(socket.address().port)
    }
    expect(socket.metrics()).toMatchObject({ txPackets: 5, txBytes: 1 + 1472 + 9000 + 65_507, txErrors: 0 })
  })

  test('a destination may be a port alone, a port and an address, or a peer', async () => {
    const receiver = await dgram(type)
    const { port } = receiver.address()
    const socket = await bind({ type })
    const got: string[] = []
    receiver.on('message', (message) => got.push(message.toString()))
    const peer: Peer = { address, port, family: type === 'udp4' ? 'IPv4' : 'IPv6' }
    expect(socket.send('port', port)).toBe(true)
    expect(socket.send('port and address', port, address)).toBe(true)
    expect(socket.send('peer', peer)).toBe(true)
    await until(() => got.length === 3)
    expect(got).toEqual(['port', 'port and address', 'peer'])
  })

  test('an echo through peer(i) comes back to node:dgram', async () => {
    const client = await dgram(type)
    const socket = await bind({ type })
    socket.consume((batch) => {
      for (let i = 0; i < batch.length; i++) socket.send(batch.bytes(i), batch.peer(i))
    })
    const answer = once(client, 'message') as Promise<[Buffer]>
    await deliver(client, socket.address(), 'there and back')
    expect((await answer)[0].toString()).toBe('there and back')
  })

  test('a connected socket sends without a destination and hears its peer only', async () => {
    const [peer, stranger] = [await dgram(type), await dgram(type)]
    const socket = await bind({ type })
    await socket.connect(peer.address().port, address)
    expect(socket.remoteAddress()).toMatchObject({ address, port: peer.address().port })
    const got = once(peer, 'message') as Promise<[Buffer]>
    expect(socket.send('hello')).toBe(true)
    expect((await got)[0].toString()).toBe('hello')
    await deliver(stranger, socket.address(), 'not for you').catch(() => {})
    await deliver(peer, socket.address(), 'answer')
    expect(
      drain(socket)
        .flat()
        .map((row) => row.text),
    ).toEqual(['answer'])
    const there = failsWith('WRAITH_ERR_ALREADY_CONNECTED')
    expect(() => socket.send('x', peer.address().port, address)).toThrow(there)
    await expect(socket.connect(peer.address().port, address)).rejects.toEqual(there)
    const { port } = socket.address()
    socket.disconnect()
    expect(socket.address().port).toBe(port)
    const not = failsWith('WRAITH_ERR_NOT_CONNECTED')
    expect(() => socket.send('x')).toThrow(not)
    expect(() => socket.disconnect()).toThrow(not)
    expect(() => socket.remoteAddress()).toThrow(not)
    await deliver(stranger, { port, address }, 'heard again')
    expect(
      drain(socket)
        .flat()
        .map((row) => row.text),
    ).toEqual(['heard again'])
  })

  test('sendOwned sends the bytes in use and takes the guard over', async () => {
    const receiver = await dgram(type)
    const pool = new BufferPool({ capacity: 8 })
    const socket = await bind({ type, pool, batchSize: 1 })
    const peer = { ...socket.address(), address, port: receiver.address().port }
    const got: string[] = []
    receiver.on('message', (message) => got.push(message.toString()))
    for (const text of ['', 'hello', 'x'.repeat(pool.bufferSize)]) {
      const guard = pool.acquire()
      guard.length = guard.bytes.write(text)
      expect(socket.sendOwned(guard, peer)).toBe(true)
      expect(guard.disposed).toBe(true)
      expect(() => guard.bytes).toThrow(failsWith('WRAITH_ERR_STALE_BUFFER'))
      expect(pool.available).toBe(8)
      await until(() => got.at(-1) === text)
    }
    const zeroed = pool.acquireMany(8)
    for (const guard of zeroed) expect(guard.bytes.every((byte) => byte === 0)).toBe(true)
    zeroed.dispose()
  })
})

test('an IPv6 socket reaches IPv4 through mapped addresses, unless it is IPv6 only', async () => {
  const receiver = await dgram('udp4')
  const both = await bind({ type: 'udp6', address: '::' })
  const got = once(receiver, 'message') as Promise<[Buffer]>
  expect(both.send('mapped', receiver.address().port, '::ffff:127.0.0.1')).toBe(true)
  expect((await got)[0].toString()).toBe('mapped')
})

test('a taken packet goes out again without a copy', async () => {
  const receiver = await dgram()
  const socket = await bind()
  await deliver(await dgram(), socket.address(), 'through')
  const guard = socket.tryReceive()!.take(0)
  const got = once(receiver, 'message') as Promise<[Buffer]>
  expect(socket.sendOwned(guard, { ...socket.address(), port: receiver.address().port })).toBe(true)
  expect((await got)[0].toString()).toBe('through')
})

test.each(['another pool', 'the heap'])('sendOwned takes a guard of %s as well', async (where) => {
  const other = new BufferPool({ capacity: 1, bufferSize: 64 })
  const first = other.acquire()
  const guard = where === 'the heap' ? other.acquire() : first
  expect(guard.pooled).toBe(where !== 'the heap')
  const socket = await bind()
  guard.length = guard.bytes.write('hello')
  expect(socket.sendOwned(guard, socket.address())).toBe(true)
  expect(guard.disposed).toBe(true)
  expect(texts(socket.tryReceive()!)).toEqual(['hello'])
  first.dispose()
  expect(other.available).toBe(1)
})

test('a guard whose send is refused is still its holder’s', async () => {
  const pool = new BufferPool({ capacity: 2, bufferSize: 66_000 })
  const socket = await bind({ pool, batchSize: 1 })
  const guard = pool.acquire()
  guard.length = 66_000
  expect(() => socket.sendOwned(guard, socket.address())).toThrow(failsWith('WRAITH_ERR_MESSAGE_TOO_LARGE'))
  expect(() => socket.sendOwned(guard)).toThrow(failsWith('WRAITH_ERR_NOT_CONNECTED'))
  expect(guard.disposed).toBe(false)
  guard.length = guard.bytes.write('small')
  expect(socket.sendOwned(guard, socket.address())).toBe(true)
  expect(() => socket.sendOwned(guard, socket.address())).toThrow(failsWith('WRAITH_ERR_STALE_BUFFER'))
  expect(texts(socket.tryReceive()!)).toEqual(['small'])
})

test('send copies: the bytes may be changed or returned at once', async () => {
  const socket = await bind()
  const bytes = Buffer.from('first')
  socket.send(bytes, socket.address())
  bytes.write('other')
  using(socket.pool.acquire(), (guard) => {
    guard.length = guard.bytes.write('of a guard')
    socket.send(guard.data, socket.address())
  })
  expect(texts(socket.tryReceive()!)).toEqual(['first', 'of a guard'])
})

test('a batch may be forwarded row by row while it is lent', async () => {
  const [inside, outside] = [await bind({ batchSize: 8 }), await bind({ batchSize: 8 })]
  inside.consume((batch) => {
    for (let i = 0; i < batch.length; i++) inside.send(batch.bytes(i), outside.address())
  })
  const all = collect(outside, 40)
  const sent = Array.from({ length: 40 }, (_, i) => `${i}`)
  await deliver(await dgram(), inside.address(), ...sent)
  expect((await all).map((row) => row.text)).toEqual(sent)
})

test('two sockets of this package talk to each other', async () => {
  const [a, b] = [await bind(), await bind()]
  const atB = collect(b, 10)
  for (let i = 0; i < 10; i++) expect(a.send(`${i}`, b.address())).toBe(true)
  const rows = await atB
  expect(rows.map((row) => row.text)).toEqual(Array.from({ length: 10 }, (_, i) => `${i}`))
  expect(new Set(rows.map((row) => row.peer.port))).toEqual(new Set([a.address().port]))
})

function using<T extends { dispose(): void }>(resource: T, run: (resource: T) => void): void {
  try {
    run(resource)
  } finally {
    resource.dispose()
  }
}
