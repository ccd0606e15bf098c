import { describe, expect, test } from 'vitest'
import type { UdpSocket } from 'wraith-transport'
import { backends, bind, collect, deliver, dgram, drain, turns, until } from './support/udp.js'
import { resultOf } from './support/udp-process.js'

/** A port of this machine that nobody has. */
async function closedPort(type: 'udp4' | 'udp6'): Promise<number> {
  const socket = await bind({ type })
  const { port } = socket.address()
  await socket.close()
  return port
}

async function refused(type: 'udp4' | 'udp6', backend: (typeof backends)[number]): Promise<UdpSocket> {
  const port = await closedPort(type)
  const socket = await bind({ type, backend })
  await socket.connect(port)
  return socket
}

describe.each(backends)('a peer that refuses, with %s', (backend) => {
  describe.each(['udp4', 'udp6'] as const)('on %s', (type) => {
    test('is counted while the socket reads, and the socket reads on', async () => {
      const socket = await refused(type, backend)
      const all = collect(socket, 1)
      for (let refusals = 1; refusals <= 5; refusals++) {
        expect(socket.send('into the void')).toBe(true)
        await until(() => socket.metrics().icmpErrors >= refusals)
      }
      expect(socket.metrics()).toMatchObject({ icmpErrors: 5, rxPackets: 0, txErrors: 0 })
      socket.disconnect()
      await deliver(await dgram(type), socket.address(), 'still here')
      expect((await all)[0]?.text).toBe('still here')
    })

    test('does not make the socket spin', async () => {
      const socket = await refused(type, backend)
      const all = collect(socket, 1)
      socket.send('into the void')
      await until(() => socket.metrics().icmpErrors === 1)
      await turns()
      const { rxCalls } = socket.metrics()
      await turns(200)
      expect(socket.metrics().rxCalls).toBe(rxCalls)
      socket.disconnect()
      await deliver(await dgram(type), socket.address(), 'x')
      await all
    })

    test('is counted at the next send when nobody reads, and that is sent', async () => {
      const socket = await refused(type, backend)
      for (let i = 0; i < 3; i++) expect(socket.send('into the void')).toBe(true)
      expect(socket.metrics()).toMatchObject({ icmpErrors: 2, txPackets: 3, txErrors: 0 })
    })

    test('is counted by tryReceive(), which returns what waits behind it', async () => {
      const socket = await refused(type, backend)
      socket.send('into the void')
      expect(socket.tryReceive()).toBeUndefined()
      expect(socket.metrics().icmpErrors).toBe(1)
    })

    test('does not end a for await loop', async () => {
      const socket = await refused(type, backend)
      const loop = (async () => {
        for await (const batch of socket) return batch.bytes(0).toString()
        return undefined
      })()
      for (let refusals = 1; refusals <= 3; refusals++) {
        socket.send('into the void')
        await until(() => socket.metrics().icmpErrors >= refusals)
      }
      socket.disconnect()
      await deliver(await dgram(type), socket.address(), 'still here')
      expect(await loop).toBe('still here')
    })
  })
})

test('a refusal on an unconnected socket is not reported to anybody, as with dgram', async () => {
  const port = await closedPort('udp4')
  const socket = await bind()
  const all = collect(socket, 1)
  for (let i = 0; i < 3; i++) expect(socket.send('into the void', port)).toBe(true)
  await deliver(await dgram(), socket.address(), 'x')
  await all
  expect(socket.metrics().icmpErrors).toBe(0)
})

test('packets of a live peer and refusals of a dead one come through mixed', async () => {
  const socket = await bind()
  const { port } = await (async () => (await dgram()).address())()
  await socket.connect(port)
  expect(socket.send('to somebody')).toBe(true)
  expect(drain(socket)).toEqual([])
  expect(socket.metrics().icmpErrors).toBe(0)
})

test('an adopted socket with an error queue (IP_RECVERR) is drained of it and reads on', async () => {
  // The socket is made by another program, bound, told to queue errors, and passed on as descriptor 3.
  const script = `
import os, socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.bind(('127.0.0.1', 0))
s.setsockopt(socket.IPPROTO_IP, 11, 1)
os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.execvp(sys.argv[1], sys.argv[1:])
`
  const result = await resultOf<{ icmpErrors: number; text: string; idle: boolean }>(
    `
    const dead = await dgram()
    const { port } = dead.address()
    await new Promise((resolve) => dead.close(resolve))
    const socket = await UdpSocket.bind({ fd: 3 })
    let text
    socket.consume((batch) => { text = batch.bytes(0).toString() })
    for (let i = 1; i <= 5; i++) {
      socket.send('into the void', port, '127.0.0.1')
      await until(() => socket.metrics().icmpErrors >= i)
    }
    const { rxCalls } = socket.metrics()
    for (let i = 0; i < 200; i++) await new Promise(setImmediate)
    const idle = socket.metrics().rxCalls === rxCalls
    const sender = await dgram()
    await deliver(sender, socket.address(), 'still here')
    await until(() => text !== undefined)
    print({ icmpErrors: socket.metrics().icmpErrors, text, idle })
    sender.close()
    await socket.close()
    `,
    { through: ['python3', '-c', script] },
  )
  expect(result).toMatchObject({ text: 'still here', idle: true })
  expect(result.icmpErrors).toBeGreaterThanOrEqual(5)
})
