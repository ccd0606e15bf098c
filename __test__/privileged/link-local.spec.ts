import { expect } from 'vitest'
import { namespaceTest, vethPair } from '../support/udp-netns.js'

namespaceTest('a link-local peer has its zone, and can be answered by it', vethPair, async ({ resultOf }) => {
  const { got, peer, sender, zoneOfNumber, answer } = await resultOf<{
    got: string
    peer: { address: string; port: number }
    sender: { address: string; port: number }
    zoneOfNumber: string
    answer: string
  }>(`
    import { networkInterfaces } from 'node:os'
    const local = networkInterfaces().left.find(({ address }) => address.startsWith('fe80:'))
    const sender = createSocket('udp6')
    sender.bind(0, local.address + '%left')
    await once(sender, 'listening')
    const socket = await UdpSocket.bind({ type: 'udp6' })
    await deliver(sender, { port: socket.address().port, address: local.address + '%left' }, 'x')
    const batch = socket.tryReceive()
    const peer = batch.peer(0)
    const answered = once(sender, 'message')
    socket.send('answer', peer)
    const byNumber = await UdpSocket.bind({ address: local.address + '%' + local.scopeid })
    print({
      got: batch.bytes(0).toString(),
      peer,
      sender: { address: local.address + '%left', port: sender.address().port },
      zoneOfNumber: byNumber.address().address,
      answer: (await answered)[0].toString(),
    })
    sender.close()
    await Promise.all([socket.close(), byNumber.close()])
  `)
  expect(got).toBe('x')
  expect(peer).toEqual({ ...sender, family: 'IPv6' })
  expect(zoneOfNumber).toBe(sender.address)
  expect(answer).toBe('answer')
})

namespaceTest('a socket reads on after its interface went down and up', vethPair, async ({ resultOf }) => {
  const got = await resultOf<string[]>(`
    import { execFileSync } from 'node:child_process'
    const socket = await UdpSocket.bind({ address: '10.7.0.1' })
    const got = []
    socket.consume((batch) => { for (let i = 0; i < batch.length; i++) got.push(batch.bytes(i).toString()) })
    const sender = await dgram('udp4', '10.7.0.1')
    await deliver(sender, socket.address(), 'before')
    await until(() => got.length === 1)
    execFileSync('ip', ['link', 'set', 'left', 'down'])
    execFileSync('ip', ['link', 'set', 'left', 'up'])
    await deliver(sender, socket.address(), 'after')
    await until(() => got.length === 2)
    print(got)
    sender.close()
    await socket.close()
  `)
  expect(got).toEqual(['before', 'after'])
})
