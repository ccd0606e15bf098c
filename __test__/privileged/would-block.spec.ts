import { expect } from 'vitest'
import type { Namespace } from '../support/netns.js'
import { namespaceTest } from '../support/udp-netns.js'

// A wire that is as good as cut: one packet gets through, the next in some seconds. A small send buffer is full at
// once and stays so until open() makes the wire a fast one.
const cutWire = [
  'ip link add left type veth peer name right',
  'ip addr add 10.7.0.1/24 dev left',
  'ip link set left up',
  'ip link set right up',
  'ip neigh add 10.7.0.2 lladdr 02:00:00:00:00:02 dev left',
  'tc qdisc add dev left root tbf rate 1kbit burst 2000 limit 10000000',
]

const inside = <T>(namespace: Namespace, source: string): Promise<T> =>
  namespace.resultOf<T>(
    `
    import { execFileSync } from 'node:child_process'
    const pool = new BufferPool({ capacity: 2048, bufferSize: 1024 })
    const socket = await UdpSocket.bind({ address: '10.7.0.1', sendBufferSize: 4608, pool })
    const to = { address: '10.7.0.2', port: 9, family: 'IPv4' }
    const drained = () => new Promise((resolve) => socket.once('drain', resolve))
    const wire = (rate) => execFileSync('tc', ['qdisc', 'change', 'dev', 'left', 'root', 'tbf', 'rate', rate,
      'burst', '20000', 'limit', '10000000'])
    const fill = () => { let sent = 0; while (socket.send(new Uint8Array(1000), to)) sent++; return sent }
    const owned = (n) => { const guard = pool.acquire(); guard.length = guard.bytes.write('#' + n); return guard }
    ${source}`,
  )

namespaceTest(
  "send() returns false when the buffer is full, and 'drain' says when not",
  cutWire,
  async (namespace) => {
    const result = await inside<{ first: number; blocked: number; rounds: number[]; sent: number }>(
      namespace,
      `
    const first = fill()
    const { txWouldBlock } = socket.metrics()
    const rounds = []
    wire('2mbit')
    for (let round = 0; round < 5; round++) {
      await drained()
      rounds.push(fill())
    }
    print({ first, blocked: txWouldBlock, rounds, sent: socket.metrics().txPackets })
    await socket.close()
    `,
    )
    expect(result.first).toBeGreaterThan(0)
    expect(result.blocked).toBe(1)
    expect(Math.min(...result.rounds)).toBeGreaterThan(0)
    expect(result.sent).toBe(result.rounds.reduce((sum, round) => sum + round, result.first))
  },
)

namespaceTest(
  'sendOwned() queues in order, and each guard goes home when it is sent',
  cutWire,
  async (namespace) => {
    const result = await inside<{
      answers: boolean[]
      queued: number
      op: number
      send: boolean
      left: number
      seen: string[]
      audit: { ok: boolean; op: number; lent: number }
      available: number
    }>(
      namespace,
      `
    import { spawn } from 'node:child_process'
    // What leaves the wire at its other end, in order, as the kernel shows it to a packet socket.
    const tap = spawn('python3', ['-uc', \`
import socket
s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0800))
s.bind(('right', 0))
print('ready')
while True:
    frame = s.recv(4096)
    payload = frame[42:]
    if payload[:1] == b'#': print(payload.split(b'\\\\0')[0].decode())
\`], { stdio: ['ignore', 'pipe', 'inherit'] })
    let seen = ''
    tap.stdout.setEncoding('utf8').on('data', (text) => { seen += text })
    await until(() => seen.startsWith('ready'))
    fill()
    const answers = []
    for (let n = 0; n < 50; n++) answers.push(socket.sendOwned(owned(n), to))
    const { txQueued } = socket.metrics()
    const { op } = pool.audit()
    const send = socket.send('#late', to)
    wire('100mbit')
    await drained()
    const lines = () => seen.trim().split('\\n').slice(1)
    await until(() => lines().length >= 50)
    print({
      answers, queued: txQueued, op, send, left: socket.metrics().txQueued,
      seen: lines(), audit: pool.audit(), available: pool.available,
    })
    tap.kill()
    await socket.close()
    `,
    )
    expect(result.answers).toEqual(new Array(50).fill(false))
    expect(result.queued).toBe(50)
    expect(result.op).toBe(50)
    expect(result.send).toBe(false)
    expect(result.left).toBe(0)
    expect(result.seen).toEqual(Array.from({ length: 50 }, (_, n) => `#${n}`))
    expect(result.audit).toMatchObject({ ok: true, op: 0, lent: 0 })
    expect(result.available).toBe(2048)
  },
)

namespaceTest('a full queue refuses a guard, which is still its holder’s', cutWire, async (namespace) => {
  const result = await inside<{ code: string; disposed: boolean; text: string; queued: number }>(
    namespace,
    `
    fill()
    for (let n = 0; n < 1024; n++) socket.sendOwned(owned(n), to)
    const guard = owned('kept')
    let code
    try { socket.sendOwned(guard, to) } catch (error) { code = error.code }
    print({ code, disposed: guard.disposed, text: guard.data.toString(), queued: socket.metrics().txQueued })
    guard.dispose()
    await socket.close()
    `,
  )
  expect(result).toEqual({ code: 'WRAITH_ERR_QUEUE_FULL', disposed: false, text: '#kept', queued: 1024 })
})

namespaceTest('close() drops what is queued, and every guard goes home', cutWire, async (namespace) => {
  const result = await inside<{ queued: number; audit: { ok: boolean; op: number }; available: number }>(
    namespace,
    `
    fill()
    for (let n = 0; n < 100; n++) socket.sendOwned(owned(n), to)
    const queued = socket.metrics().txQueued
    await socket.close()
    print({ queued, audit: pool.audit(), available: pool.available })
    `,
  )
  expect(result).toMatchObject({ queued: 100, audit: { ok: true, op: 0 }, available: 2048 })
})

namespaceTest('a queued guard that is sent feeds a socket that starved', cutWire, async (namespace) => {
  const result = await inside<{ starved: number; got: string }>(
    namespace,
    `
    const receiver = await UdpSocket.bind({ address: '127.0.0.1', pool, batchSize: 4 })
    const rest = pool.acquireMany(2048 - 8)
    fill()
    for (let n = 0; n < 8; n++) socket.sendOwned(owned(n), to)
    let got
    receiver.consume((batch) => { got = batch.bytes(0).toString() })
    const sender = await dgram()
    await deliver(sender, receiver.address(), 'fed')
    await until(() => receiver.metrics().rxStarved > 0)
    const starved = receiver.metrics().rxStarved
    wire('100mbit')
    await until(() => got !== undefined)
    print({ starved, got })
    rest.dispose()
    sender.close()
    await Promise.all([receiver.close(), socket.close()])
    `,
  )
  expect(result.starved).toBeGreaterThan(0)
  expect(result.got).toBe('fed')
})

namespaceTest(
  'a worker that is terminated with a full queue leaves nothing behind',
  cutWire,
  async (namespace) => {
    const result = await inside<{ terminated: number }>(
      namespace,
      `
    let terminated = 0
    for (let round = 0; round < 10; round++) {
      const worker = startWorker(\`
        const pool = new BufferPool({ capacity: 64, bufferSize: 1024 })
        const socket = await UdpSocket.bind({ address: '10.7.0.1', sendBufferSize: 4608, pool })
        const to = { address: '10.7.0.2', port: 9, family: 'IPv4' }
        while (socket.send(new Uint8Array(1000), to));
        for (let n = 0; n < 32; n++) socket.sendOwned(pool.acquire(), to)
        parentPort.postMessage(socket.metrics().txQueued)
      \`)
      const [queued] = await once(worker, 'message')
      if (queued !== 32) throw new Error(queued + ' are queued')
      await worker.terminate()
      terminated++
    }
    print({ terminated })
    await socket.close()
    `,
    )
    expect(result.terminated).toBe(10)
  },
)

namespaceTest(
  'what waits in the queue of a handle ends with it, counted: by termination, and by close()',
  cutWire,
  async (namespace) => {
    const result = await inside<number[]>(
      namespace,
      `
    const token = socket.share()
    const unsent = []
    for (const end of ['terminate', 'close']) {
      const worker = startWorker(\`
        const pool = new BufferPool({ capacity: 64, bufferSize: 1024 })
        const socket = UdpSocket.attach(workerData.token, { pool })
        const to = { address: '10.7.0.2', port: 9, family: 'IPv4' }
        while (socket.send(new Uint8Array(1000), to));
        for (let n = 0; n < 32; n++) socket.sendOwned(pool.acquire(), to)
        if (workerData.end === 'close') {
          await socket.close()
          const { ok, op } = pool.audit()
          if (!ok || op !== 0) throw new Error('the audit')
        }
        parentPort.postMessage(socket.metrics().txQueued)
      \`, { token, end })
      const [queued] = await once(worker, 'message')
      if (queued !== 32) throw new Error(queued + ' are queued')
      await worker.terminate()
      unsent.push(socket.metrics().txUnsent)
    }
    const { ok } = pool.audit()
    print(ok ? unsent : [])
    await socket.close()
    `,
    )
    expect(result).toEqual([32, 64])
  },
)

namespaceTest(
  'one handle waits to write while another one of the same thread reads',
  cutWire,
  async (namespace) => {
    const result = await inside<{ got: string[]; drains: number }>(
      namespace,
      `
    fill()
    const other = UdpSocket.attach(socket.share())
    const got = []
    other.consume((batch) => { for (let i = 0; i < batch.length; i++) got.push(batch.bytes(i).toString()) })
    let drains = 0
    socket.on('drain', () => { drains++ })
    const sender = await UdpSocket.bind({ address: '10.7.0.1' })
    for (const text of ['a', 'b', 'c']) {
      sender.send(text, socket.address())
      await until(() => got.includes(text))
    }
    wire('1gbit')
    await until(() => drains === 1)
    sender.send('d', socket.address())
    await until(() => got.length === 4)
    print({ got, drains })
    await Promise.all([sender.close(), other.close(), socket.close()])
    `,
    )
    expect(result).toEqual({ got: ['a', 'b', 'c', 'd'], drains: 1 })
  },
)
