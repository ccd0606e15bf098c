// The far end of a test's wire: normal UDP sockets that send and hear what they are told to on stdin, one JSON value a line, and answer
// each with a line.
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { createInterface } from 'node:readline'
import { datagram, NEAR, numberOf, PORT } from './xdp-near.mjs'

const LINK = '/sys/class/net/wraith1'
/** A wire's ring holds 256: so many at a time, then whoever receives gets the CPU. */
const BURST = 64

const dropped = () => Number(readFileSync(`${LINK}/statistics/tx_dropped`, 'utf8'))
const senders = new Map()
const listeners = new Map()
let streaming

async function sender(family, from) {
  const key = `${family} ${from}`
  const known = senders.get(key)
  if (known !== undefined) return known
  const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
  socket.bind(from)
  await once(socket, 'listening')
  socket.setSendBufferSize(1 << 20)
  senders.set(key, socket)
  return socket
}

const sendOne = (socket, bytes, port, to) =>
  new Promise((resolve) => socket.send(bytes, port, to, (error) => resolve(error === null)))

/** Sends datagrams `first` to `first + count`; `wire`: those that the wire dropped, `failed`: those that could not be sent. */
async function send({
  count,
  first = 0,
  sizes = [64],
  flows = 1,
  to = NEAR,
  ports = [PORT],
  from = 30_000,
  burst = BURST,
}) {
  const family = to.includes(':') ? 6 : 4
  const sockets = []
  for (let flow = 0; flow < flows; flow++) sockets.push(await sender(family, from + flow))
  const before = dropped()
  let failed = 0
  for (let i = 0; i < count; i++) {
    const bytes = datagram(first + i, sizes[i % sizes.length])
    const sent = await sendOne(sockets[i % flows], bytes, ports[i % ports.length], to)
    if (!sent) failed++
    if (i % burst === burst - 1) await new Promise(setImmediate)
  }
  return { sent: count - failed, failed, wire: dropped() - before }
}

/** Sends on until it is told `halt`, `burst` datagrams each millisecond or as often as it can. */
async function stream(options) {
  const { burst = 16, most = 400_000 } = options
  let [sent, failed, wire] = [0, 0, 0]
  let first = options.first ?? 0
  const begin = first
  while (streaming !== undefined && first - begin < most) {
    const part = await send({ ...options, first, count: burst })
    first += burst
    sent += part.sent
    failed += part.failed
    wire += part.wire
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  return { sent, failed, wire }
}

class Listener {
  heard = 0
  damaged = 0
  marks = new Map()
  peers = new Set()
  #wanted = []

  constructor(socket) {
    this.socket = socket
    socket.on('message', (payload, { address, port }) => {
      this.heard++
      this.peers.add(`${address} ${port}`)
      try {
        const seq = numberOf(payload)
        this.marks.set(seq, (this.marks.get(seq) ?? 0) + 1)
      } catch {
        this.damaged++
      }
      for (const { count, resolve } of this.#wanted) if (this.heard >= count) resolve()
    })
  }

  /** Until `count` have come, or a hang's time has gone. */
  async wait(count, ms = 20_000) {
    let timer
    await new Promise((resolve) => {
      if (this.heard >= count) resolve()
      this.#wanted.push({ count, resolve })
      timer = setTimeout(resolve, ms)
    })
    clearTimeout(timer)
    const again = [...this.marks.values()].filter((times) => times > 1).length
    const { heard, damaged } = this
    return { heard, damaged, again, different: this.marks.size, peers: [...this.peers].sort() }
  }
}

const answers = {
  send,
  /** From now on everything leaves, and so arrives, through one queue. */
  queue: ({ queue, queues }) => {
    const everyCpu = ((1 << availableParallelism()) - 1).toString(16)
    for (let n = 0; n < queues; n++) {
      writeFileSync(`${LINK}/queues/tx-${n}/xps_cpus`, n === queue ? everyCpu : '0')
    }
    for (const socket of senders.values()) socket.close()
    senders.clear()
    return {}
  },
  stream: (options) => {
    streaming = {}
    streaming.done = stream(options)
    return {}
  },
  halt: () => {
    const { done } = streaming
    streaming = undefined
    return done
  },
  listen: async ({ port = PORT, family = 4 }) => {
    const socket = createSocket(family === 6 ? 'udp6' : 'udp4')
    socket.bind(port)
    await once(socket, 'listening')
    socket.setRecvBufferSize(1 << 22)
    listeners.set(port, new Listener(socket))
    // Who hears on a port also sends from it.
    senders.set(`${family} ${port}`, socket)
    return {}
  },
  heard: ({ port = PORT, count, ms }) => listeners.get(port).wait(count, ms),
}

for await (const line of createInterface({ input: process.stdin })) {
  const { what, ...options } = JSON.parse(line)
  console.log(JSON.stringify(await answers[what](options)))
}
process.exit()
