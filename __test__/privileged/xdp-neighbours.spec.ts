import { expect } from 'vitest'
import { ethernet, ipv4, ipv6, TCP, tcp, udp } from '../support/ethernet.js'
import { Tap } from '../support/tap.js'
import { FAR, FAR6, NEAR, NEAR6, type VethPair, vethTest } from '../support/veth.js'
import { FarEnd, startNear } from '../support/xdp-ends.js'

const CLEAN = { code: 0, signal: null, stderr: '' }
const PORT = 6343

/** Forgets what both ends know of each other, so that ARP and neighbour discovery have to ask. */
function forget({ near, far }: VethPair): void {
  for (const namespace of [near, far]) namespace.run('ip neigh flush all nud permanent')
}

/** Talks with a server of its own at the other end, over TCP and UDP, IPv4 and IPv6. */
const talk = (pair: VethPair, port: number, address: string, local: string): Promise<string[]> =>
  pair.far.resultOf<string[]>(`
    import { connect } from 'node:net'
    const heard = []
    const stream = connect({ port: ${port}, host: '${address}' })
    await once(stream, 'connect')
    stream.end('over TCP')
    for await (const part of stream) heard.push(part.toString())
    const socket = await dgram('${address.includes(':') ? 'udp6' : 'udp4'}', '${local}')
    const answered = once(socket, 'message')
    await deliver(socket, { port: ${port}, address: '${address}' }, 'over UDP')
    heard.push((await answered)[0].toString())
    socket.close()
    print(heard)
  `)

for (const [name, filter] of [
  ["'all'", "'all'"],
  ['one port', '{ udpPorts: [PORT] }'],
] as const) {
  vethTest(`what a machine needs goes on while a socket takes ${name}`, { queues: 2 }, async (pair) => {
    const near = startNear(
      pair,
      `
      import { createServer } from 'node:net'
      const xdp = await open({ filter: ${filter} })
      const taken = []
      xdp.consume((batch) => {
        for (let i = 0; i < batch.length; i++) taken.push(batch.bytes(i).toString('hex'))
      })
      // SSH's port, with a server that answers what it gets; a DNS client; both as any program has them.
      const servers = ['${NEAR}', '${NEAR6}'].map((host) => {
        const server = createServer((stream) => stream.on('error', () => {}).pipe(stream))
        server.listen(22, host)
        return server
      })
      await Promise.all(servers.map((server) => once(server, 'listening')))
      const echoes = [['udp4', '${NEAR}'], ['udp6', '${NEAR6}']].map(([type, address]) => {
        const socket = createSocket(type)
        socket.bind(22, address)
        socket.on('message', (message, from) => socket.send(message, from.port, from.address))
        return socket
      })
      await Promise.all(echoes.map((socket) => once(socket, 'listening')))
      const client = await dgram('udp4', '${NEAR}')
      client.on('message', (message) => print({ reply: message.toString() }))
      print(client.address().port)
      await next()
      for (const each of [...servers, ...echoes, client]) each.close()
      await ended(xdp)
      print(taken)
      `,
    )
    const resolver = await near.next<number>()
    forget(pair)
    // ARP and neighbour discovery have to work first.
    expect(await talk(pair, 22, NEAR, FAR)).toEqual(['over TCP', 'over UDP'])
    expect(await talk(pair, 22, NEAR6, FAR6)).toEqual(['over TCP', 'over UDP'])
    await pair.far.resultOf(`
      const server = createSocket('udp4')
      server.bind(53, '${FAR}')
      await once(server, 'listening')
      await deliver(server, { port: ${resolver}, address: '${NEAR}' }, 'a DNS reply')
      server.close()
      print([])
    `)
    expect(await near.next()).toEqual({ reply: 'a DNS reply' })
    near.tell('done')
    const taken = await near.next<string[]>()
    // Of TCP and UDP to port 22, ARP, ICMPv6 and DNS replies, none was taken.
    const wrong = taken.map((hex) => Buffer.from(hex, 'hex')).filter((frame) => isManagement(frame))
    expect(wrong).toEqual([])
    if (name === 'one port') expect(taken).toEqual([])
    expect(await near.end()).toEqual(CLEAN)
  })
}

function isManagement(frame: Buffer): boolean {
  const kind = frame.readUInt16BE(12)
  if (kind === 0x0806) return true
  const [header, protocol] = kind === 0x0800 ? [34, frame[23]] : [54, frame[20]]
  return (
    protocol === 58 ||
    [22, 53].some((port) => frame.readUInt16BE(header) === port && port === 53) ||
    frame.readUInt16BE(header + 2) === 22
  )
}

vethTest(
  'frame by frame: what is taken the stack does not see, and what is kept it does',
  {},
  async (pair) => {
    const near = startNear(
      pair,
      `
    const xdp = await open({ filter: 'all' })
    const taken = []
    xdp.consume((batch) => {
      for (let i = 0; i < batch.length; i++) taken.push(batch.bytes(i).toString('hex'))
    })
    print('open')
    const wanted = await next()
    await until(() => taken.length >= wanted)
    print(taken)
    await ended(xdp)
    `,
    )
    expect(await near.next()).toBe('open')
    const seen = await Tap.on(pair.near, 'wraith0')
    const sends = await Tap.on(pair.far, 'wraith1')
    // The test's frames are from the far end's address to the near one's.
    const data = Buffer.alloc(40, 7)
    const kept = [
      ethernet(0x0806, data),
      ethernet(0x88cc, data),
      ethernet(0x8809, data),
      ipv4(udp(67, 68, data)),
      ipv4(udp(68, 67, data)),
      ipv4(udp(53, 40_000, data)),
      ipv4(tcp(40_000, 22), { protocol: TCP }),
      ipv6(udp(547, 546, data)),
      ipv6(data, { next: 58 }),
    ]
    const taken = [
      ipv4(udp(1, 9, data)),
      ipv4(tcp(40_000, 80), { protocol: TCP }),
      ipv6(udp(1, PORT, data)),
      ipv4(udp(40_000, 53, data)),
      ethernet(0x88b5, data),
    ]
    sends.send(...kept.flatMap((frame, i) => [frame, ...taken.slice(i, i + 1)]))
    near.tell(taken.length)
    const ours = kept.map((frame) => frame.toString('hex'))
    const all = new Set([...kept, ...taken].map((frame) => frame.toString('hex')))
    const came: string[] = []
    // The stack has frames of its own between them.
    while (came.length < kept.length) {
      came.push((await seen.next((frame) => all.has(frame.toString('hex')))).toString('hex'))
    }
    expect(came.sort()).toEqual(ours.sort())
    expect((await near.next<string[]>()).sort()).toEqual(taken.map((frame) => frame.toString('hex')).sort())
    expect(await near.end()).toEqual(CLEAN)
  },
)

vethTest(
  'setFilter() while traffic flows: every datagram goes to the socket or to the kernel, once',
  {},
  async (pair) => {
    const near = startNear(
      pair,
      `
    const ports = [7001, 7002]
    const kernel = new Tally()
    const sockets = ports.map((port) => {
      const socket = createSocket({ type: 'udp4', recvBufferSize: 1 << 23 })
      socket.bind(port, NEAR)
      socket.on('message', (payload) => kernel.payload(payload))
      return socket
    })
    await Promise.all(sockets.map((socket) => once(socket, 'listening')))
    const xdp = await open({ frames: 4096, filter: { udpPorts: ports } })
    const ours = new Tally()
    const misrouted = { kernel: 0 }
    xdp.consume((batch) => ours.batch(batch))
    print('open')
    const filters = [{ udpPorts: [7001] }, { udpPorts: [7002] }, 'all', { udpPorts: [9] }, { udpPorts: ports }]
    let changes = 0
    // As often as can be, until both have had their share.
    while (changes < 60 || ours.came < 500 || kernel.came < 500) {
      xdp.setFilter(filters[changes++ % filters.length])
      for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
    }
    // From here on all that is sent is the socket's.
    xdp.setFilter({ udpPorts: ports })
    print('stable')
    const arrived = await next()
    await until(() => ours.came + kernel.came + xdp.metrics().rxDropped >= arrived)
    const { rxDropped } = await ended(xdp)
    const [a, b] = [ours.summary(), kernel.summary()]
    let both = 0
    for (let seq = 0; seq < 1 << 20; seq++) if (ours.has(seq) && kernel.has(seq)) both++
    print({ arrived, ours: a.once, kernel: b.once, again: a.again + b.again, both, rxDropped })
    for (const socket of sockets) socket.close()
    `,
    )
    const far = new FarEnd(pair.far)
    expect(await near.next()).toBe('open')
    await far.stream({ ports: [7001, 7002], burst: 16 })
    expect(await near.next()).toBe('stable')
    const { sent, wire, failed } = await far.halt()
    near.tell(sent - wire)
    const { ours, kernel, ...others } = await near.next<{ ours: number; kernel: number; arrived: number }>()
    expect(failed).toBe(0)
    expect(others).toEqual({ arrived: sent - wire, again: 0, both: 0, rxDropped: 0 })
    expect(ours + kernel).toBe(sent - wire)
    expect(Math.min(ours, kernel)).toBeGreaterThanOrEqual(500)
    expect(await near.end()).toEqual(CLEAN)
  },
)
