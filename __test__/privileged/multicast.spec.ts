import { expect } from 'vitest'
import { namespaceTest, vethPair } from '../support/udp-netns.js'

namespaceTest(
  'setMulticastLoopback(false) keeps a packet off this machine',
  vethPair,
  async ({ resultOf }) => {
    const heard = await resultOf<string[]>(`
    const receiver = await dgram('udp4', '0.0.0.0')
    receiver.addMembership('239.7.7.7', '10.7.0.1')
    const { port } = receiver.address()
    const heard = []
    receiver.on('message', (message) => heard.push(message.toString()))
    const socket = await UdpSocket.bind({ address: '10.7.0.1' })
    socket.setMulticastInterface('10.7.0.1')
    socket.setMulticastLoopback(false)
    socket.send('unheard', port, '239.7.7.7')
    socket.setMulticastLoopback(true)
    socket.send('heard', port, '239.7.7.7')
    await until(() => heard.length > 0)
    print(heard)
    receiver.close()
    await socket.close()
  `)
    expect(heard).toEqual(['heard'])
  },
)

namespaceTest(
  'IPv6 groups are joined, heard from one source, and left by zone',
  vethPair,
  async ({ resultOf }) => {
    const heard = await resultOf<string[]>(`
    import { networkInterfaces } from 'node:os'
    const { address } = networkInterfaces().left.find(({ address }) => address.startsWith('fe80:'))
    const heard = []
    const sender = createSocket('udp6')
    sender.bind(0, address + '%left')
    await once(sender, 'listening')
    sender.setMulticastInterface('::%left')
    const socket = await UdpSocket.bind({ type: 'udp6' })
    const to = { port: socket.address().port, address: 'ff02::7:7%left' }
    const look = (what) => {
      const batch = socket.tryReceive()
      heard.push(what + ': ' + (batch === undefined ? 'nothing' : batch.bytes(0) + ' of ' + batch.peer(0).address.split('%')[1]))
    }
    await deliver(sender, to, 'early')
    look('before')
    socket.addMembership('ff02::7:7', '::%left')
    await deliver(sender, to, 'joined')
    look('joined')
    socket.dropMembership('ff02::7:7', '::%left')
    await deliver(sender, to, 'left')
    look('left')
    socket.addSourceSpecificMembership('fe80::1234', 'ff02::7:7', '::%left')
    await deliver(sender, to, 'other')
    look('other source')
    socket.addSourceSpecificMembership(address, 'ff02::7:7', '::%left')
    await deliver(sender, to, 'wanted')
    look('this source')
    for (const source of [address, 'fe80::1234']) {
      socket.dropSourceSpecificMembership(source, 'ff02::7:7', '::%left')
    }
    socket.addMembership('ff02::7:7', '::%left')
    const ours = await UdpSocket.bind({ type: 'udp6' })
    ours.setMulticastInterface('::%left')
    ours.setMulticastTTL(1)
    ours.send('ours', to)
    look('sent by us')
    print(heard)
    sender.close()
    await Promise.all([socket.close(), ours.close()])
  `)
    expect(heard).toEqual([
      'before: nothing',
      'joined: joined of left',
      'left: nothing',
      'other source: nothing',
      'this source: wanted of left',
      'sent by us: ours of left',
    ])
  },
)

namespaceTest('broadcast reaches every socket of a network', vethPair, async ({ resultOf }) => {
  const heard = await resultOf<string[]>(`
    const a = await UdpSocket.bind({ reuseAddr: true })
    const { port } = a.address()
    const b = await UdpSocket.bind({ reuseAddr: true, port })
    const sender = await UdpSocket.bind({ address: '10.7.0.1' })
    sender.setBroadcast(true)
    sender.send('to all', port, '10.7.0.255')
    const heard = []
    for (const socket of [a, b]) {
      let batch
      await until(() => (batch = socket.tryReceive()) !== undefined)
      heard.push(batch.bytes(0).toString())
    }
    print(heard)
    await Promise.all([a, b, sender].map((socket) => socket.close()))
  `)
  expect(heard).toEqual(['to all', 'to all'])
})
