import { execFileSync } from 'node:child_process'
import { expect } from 'vitest'
import { ethernet, ipv4, tagged, udp } from '../support/ethernet.js'
import { Tap } from '../support/tap.js'
import { FAR, NEAR, NEAR6, VethPair, vethTest } from '../support/veth.js'

vethTest(
  'packets go through a veth pair from the first one on, IPv4 and IPv6',
  { queues: 4 },
  async (pair) => {
    const receiver = pair.near.start(`
    const sockets = await Promise.all([dgram('udp4', '${NEAR}'), dgram('udp6', '${NEAR6}')])
    const heard = []
    for (const socket of sockets) socket.on('message', (message) => heard.push(message.toString()))
    print(sockets.map((socket) => socket.address().port))
    await until(() => heard.length === 2)
    print(heard.sort())
    for (const socket of sockets) socket.close()
  `)
    const [port4, port6] = await receiver.next<[number, number]>()
    await pair.far.resultOf(`
    const v4 = await dgram('udp4', '${FAR}')
    const v6 = await dgram('udp6', '::')
    await deliver(v4, { port: ${port4}, address: '${NEAR}' }, 'by IPv4')
    await deliver(v6, { port: ${port6}, address: '${NEAR6}' }, 'by IPv6')
    v4.close()
    v6.close()
  `)
    expect(await receiver.next()).toEqual(['by IPv4', 'by IPv6'])
    expect(await receiver.end()).toEqual({ code: 0, signal: null, stderr: '' })
    const queues = pair.near.run(`ls /sys/class/net/${pair.interface}/queues`)
    expect(queues.match(/rx-\d/g)).toEqual(['rx-0', 'rx-1', 'rx-2', 'rx-3'])
  },
)

vethTest(
  'what is told to a process in a namespace is heard there, and it ends with the pair',
  {},
  async () => {
    const pair = new VethPair()
    const echo = pair.far.start('for await (const value of told()) print({ heard: value })')
    echo.tell('one')
    expect(await echo.next()).toEqual({ heard: 'one' })
    const { near, far } = pair
    pair[Symbol.dispose]()
    pair[Symbol.dispose]()
    expect((await echo.end()).signal).toBe('SIGKILL')
    const namespaces = execFileSync('ip', ['netns', 'list'], { encoding: 'utf8' })
    expect(namespaces).not.toContain(near.name)
    expect(namespaces).not.toContain(far.name)
  },
)

vethTest('frames go through a veth pair as they stand, both ways', {}, async ({ near, far }) => {
  const [here, there] = await Promise.all([Tap.on(near, 'wraith0'), Tap.on(far, 'wraith1')])
  const odd = ethernet(0x88b5, Buffer.from('odd'.repeat(20)))
  const fragment = ipv4(udp(1, 2, 'x'.repeat(40)), { fragment: 0x2000 })
  const isOurs = (frame: Buffer): boolean => [odd, fragment].some((each) => each.equals(frame))
  there.send(odd, tagged(0x8100, 7, odd), fragment)
  const untagged = odd
  expect(await here.next(isOurs)).toEqual(odd)
  expect(await here.next(isOurs)).toEqual(untagged)
  expect(await here.next(isOurs)).toEqual(fragment)
  here.send(fragment)
  expect(await there.next(isOurs)).toEqual(fragment)
})
