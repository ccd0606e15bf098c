import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { afterEach, expect, test } from 'vitest'
import { BufferPool, UdpSocket, WraithError } from 'wraith-transport'

// One test a subject, for the Node.js releases on which the whole suite does not run with every change.

const open: { close(): void }[] = []
const later = <T extends { close(): void }>(closable: T): T => {
  open.push(closable)
  return closable
}

afterEach(() => {
  for (const closable of open.splice(0).reverse()) closable.close()
})

test('the package loads by import and by require, as one module', () => {
  const required = createRequire(import.meta.url)('wraith-transport') as { BufferPool: unknown }
  expect(required.BufferPool).toBe(BufferPool)
})

test('a pool lends zeroed buffers, takes them back and adds up', () => {
  const pool = later(new BufferPool({ bufferSize: 1500, capacity: 8, onExhausted: 'throw' }))
  const guards = Array.from({ length: 8 }, () => pool.acquire())
  for (const guard of guards) {
    expect(guard.bytes.every((byte) => byte === 0)).toBe(true)
    guard.bytes.fill(0xff)
  }
  expect(pool.available).toBe(0)
  expect(pool.tryAcquire()).toBeUndefined()
  expect(() => pool.acquire()).toThrow(expect.objectContaining({ code: 'WRAITH_ERR_POOL_EXHAUSTED' }))
  for (const guard of guards) guard.dispose()
  const again = pool.acquire()
  expect(again.bytes.every((byte) => byte === 0)).toBe(true)
  again.dispose()
  expect(pool.available).toBe(8)
  expect(pool.audit()).toMatchObject({ ok: true, problems: [] })
})

test('a guard is stale after dispose, and a second dispose does nothing', () => {
  const pool = later(new BufferPool({ bufferSize: 64, capacity: 2 }))
  const guard = pool.acquire()
  guard.dispose()
  guard.dispose()
  expect(() => guard.bytes).toThrow(expect.objectContaining({ code: 'WRAITH_ERR_STALE_BUFFER' }))
  expect(pool.available).toBe(2)
})

test('a socket receives what node:dgram sends, byte for byte, with its sender', async () => {
  const socket = later(await UdpSocket.bind({ address: '127.0.0.1', port: 0 }))
  const sender = later(createSocket('udp4'))
  sender.bind(0, '127.0.0.1')
  await once(sender, 'listening')
  const wanted = Array.from({ length: 100 }, (_, i) => `packet ${i}`)
  const received: string[] = []
  const ports = new Set<number>()
  const all = new Promise<void>((resolve) => {
    socket.consume((batch) => {
      for (let i = 0; i < batch.length; i++) {
        received.push(new TextDecoder().decode(batch.bytes(i)))
        ports.add(batch.peer(i).port)
      }
      if (received.length === wanted.length) resolve()
    })
  })
  for (const text of wanted) sender.send(text, socket.address().port, '127.0.0.1')
  await all
  expect(received).toEqual(wanted)
  expect([...ports]).toEqual([sender.address().port])
})

test('a socket sends what node:dgram receives', async () => {
  const receiver = later(createSocket('udp4'))
  receiver.bind(0, '127.0.0.1')
  await once(receiver, 'listening')
  const socket = later(await UdpSocket.bind({ address: '127.0.0.1' }))
  const arrived = once(receiver, 'message') as Promise<[Buffer]>
  expect(socket.send(new TextEncoder().encode('hello'), receiver.address().port, '127.0.0.1')).toBe(true)
  const [message] = await arrived
  expect(message.toString()).toBe('hello')
})

test('a wrong option is refused with a code, its name and what is allowed', () => {
  const act = () => new BufferPool({ bufferSize: -1 })
  expect(act).toThrow(WraithError)
  expect(act).toThrow(expect.objectContaining({ code: 'WRAITH_ERR_OUT_OF_RANGE', option: 'bufferSize' }))
})
