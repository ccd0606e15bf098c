import { once } from 'node:events'
import { describe, expect, test } from 'vitest'
import { bind, deliver, dgram, drain, failsWith } from './support/udp.js'

// All on the loopback interface; what needs another one is in privileged/.
const GROUP = '239.7.7.7'
const GROUP6 = 'ff01::7:7'

describe('IPv4', () => {
  test('addMembership hears a group on an interface, dropMembership stops that', async () => {
    const socket = await bind({ address: '0.0.0.0' })
    const sender = await dgram()
    sender.setMulticastInterface('127.0.0.1')
    const to = { port: socket.address().port, address: GROUP }
    socket.addMembership(GROUP, '127.0.0.1')
    await deliver(sender, to, 'joined')
    expect(
      drain(socket)
        .flat()
        .map((row) => row.text),
    ).toEqual(['joined'])
    socket.dropMembership(GROUP, '127.0.0.1')
    await deliver(sender, to, 'left')
    await deliver(sender, { port: to.port, address: '127.0.0.1' }, 'end')
    expect(
      drain(socket)
        .flat()
        .map((row) => row.text),
    ).toEqual(['end'])
  })

  test('a group is joined once, and left only when it was joined', async () => {
    const socket = await bind({ address: '0.0.0.0' })
    socket.addMembership(GROUP, '127.0.0.1')
    expect(() => socket.addMembership(GROUP, '127.0.0.1')).toThrow(failsWith('WRAITH_ERR_ADDRESS_IN_USE'))
    socket.dropMembership(GROUP, '127.0.0.1')
    expect(() => socket.dropMembership(GROUP, '127.0.0.1')).toThrow(
      failsWith('WRAITH_ERR_ADDRESS_NOT_AVAILABLE'),
    )
  })

  test('source-specific membership hears that source only', async () => {
    const socket = await bind({ address: '0.0.0.0' })
    const [wanted, other] = [await dgram('udp4', '127.0.0.1'), await dgram('udp4', '127.0.0.2')]
    for (const sender of [wanted, other]) sender.setMulticastInterface('127.0.0.1')
    socket.addSourceSpecificMembership('127.0.0.1', GROUP, '127.0.0.1')
    const to = { port: socket.address().port, address: GROUP }
    await deliver(other, to, 'other')
    await deliver(wanted, to, 'wanted')
    expect(
      drain(socket)
        .flat()
        .map((row) => row.text),
    ).toEqual(['wanted'])
    socket.dropSourceSpecificMembership('127.0.0.1', GROUP, '127.0.0.1')
    await deliver(wanted, to, 'too late')
    expect(drain(socket)).toEqual([])
  })

  test('dgram hears what is sent to a group', async () => {
    const receiver = await dgram('udp4', '0.0.0.0')
    receiver.addMembership(GROUP, '127.0.0.1')
    const socket = await bind()
    socket.setMulticastInterface('127.0.0.1')
    socket.setMulticastTTL(0)
    const heard = once(receiver, 'message') as Promise<[Buffer]>
    expect(socket.send('heard', receiver.address().port, GROUP)).toBe(true)
    expect((await heard)[0].toString()).toBe('heard')
  })

  test('broadcast is forbidden until setBroadcast(true), as with dgram', async () => {
    const socket = await bind({ address: '0.0.0.0' })
    const { port } = socket.address()
    expect(() => socket.send('x', port, '127.255.255.255')).toThrow(failsWith('WRAITH_ERR_PERMISSION'))
    socket.setBroadcast(true)
    expect(socket.send('to all', port, '127.255.255.255')).toBe(true)
    expect(
      drain(socket)
        .flat()
        .map((row) => row.text),
    ).toEqual(['to all'])
    socket.setBroadcast(false)
    expect(() => socket.send('x', port, '127.255.255.255')).toThrow(failsWith('WRAITH_ERR_PERMISSION'))
  })
})

test('an IPv6 group is joined on a zone, once', async () => {
  // What is sent to IPv6 groups needs an interface with multicast routes: see privileged/multicast.spec.ts.
  const socket = await bind({ address: '::' })
  socket.addMembership(GROUP6, '::%lo')
  expect(() => socket.addMembership(GROUP6, '::%lo')).toThrow(failsWith('WRAITH_ERR_ADDRESS_IN_USE'))
  socket.dropMembership(GROUP6, '::%lo')
  socket.setMulticastInterface('::%lo')
  socket.setMulticastTTL(1)
  socket.setMulticastLoopback(true)
  socket.setTTL(64)
})

test('two sockets with reuseAddr both hear a group', async () => {
  const a = await bind({ address: '0.0.0.0', reuseAddr: true })
  const b = await bind({ address: '0.0.0.0', reuseAddr: true, port: a.address().port })
  for (const socket of [a, b]) socket.addMembership(GROUP, '127.0.0.1')
  const sender = await dgram()
  sender.setMulticastInterface('127.0.0.1')
  await deliver(sender, { port: a.address().port, address: GROUP }, 'to both')
  for (const socket of [a, b]) {
    expect(
      drain(socket)
        .flat()
        .map((row) => row.text),
    ).toEqual(['to both'])
  }
})
