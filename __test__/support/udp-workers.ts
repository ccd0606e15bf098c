import { resultOf } from './udp-process.js'

/** What a worker is doing when it is terminated: it posts 'now' from inside of that, and never ends by itself. */
const bodies = {
  'inside its handler': `
    socket.consume((batch) => {
      parentPort.postMessage('now')
      for (;;) batch.bytes(0)
    })
    socket.send('x', to)`,
  'inside a handler that takes rows': `
    socket.consume((batch) => {
      parentPort.postMessage('now')
      const guard = batch.take(0)
      for (;;) guard.bytes.fill(1)
    })
    socket.send('x', to)`,
  'inside a microtask of its handler': `
    socket.consume(async (batch) => {
      await null
      parentPort.postMessage('now')
      for (;;) batch.bytes(0)
    })
    socket.send('x', to)`,
  'while a promise holds its batch': `
    socket.consume((batch) => {
      setInterval(() => parentPort.postMessage('now'), 1)
      return new Promise(() => {})
    })
    socket.send('x', to)`,
  'while it iterates': `
    let told = false
    socket.send('x', to)
    for await (const batch of socket) {
      socket.send(batch.bytes(0), to)
      if (!told) parentPort.postMessage('now')
      told = true
    }`,
  'while it waits for a batch': `
    setImmediate(() => parentPort.postMessage('now'))
    for await (const batch of socket) throw new Error('nothing was sent')`,
  'while it sends': `
    parentPort.postMessage('now')
    for (;;) socket.send('x', to)`,
  'while it sends guards': `
    parentPort.postMessage('now')
    for (;;) { const guard = socket.pool.acquire(); guard.length = 8; socket.sendOwned(guard, to) }`,
  'under a flood of its own': `
    let told = false
    socket.consume((batch) => {
      for (let i = 0; i < batch.length; i++) socket.send(batch.bytes(i), to)
      if (!told) parentPort.postMessage('now')
      told = true
    })
    for (let i = 0; i < 32; i++) socket.send('x', to)`,
  'while a refused peer stops its handle': `
    const dead = createSocket('udp4').bind(0, '127.0.0.1')
    await once(dead, 'listening')
    const { port } = dead.address()
    await new Promise((resolve) => dead.close(resolve))
    await socket.connect(port, '127.0.0.1')
    socket.consume(() => {})
    parentPort.postMessage('now')
    for (;;) { socket.send('x'); await new Promise(setImmediate) }`,
  'right after close()': `
    socket.consume(() => {})
    void socket.close()
    parentPort.postMessage('now')
    for (;;);`,
} as const

export type Situation = keyof typeof bodies
export const situations = Object.keys(bodies) as Situation[]

/** What each worker's socket receives into. */
export const slabBytes = 16 * 1024 * 1024

export interface Terminations {
  readonly rounds: number
  /** Of the whole process, from when it had warmed up. */
  readonly grownBytes: number
  /** Mappings of a slab's size that the process still has, on Linux. */
  readonly slabs: number
  /** The different exit codes of the workers. */
  readonly exits: number[]
}

/**
 * Terminates workers one after the other in the same situation. Each binds the port of the one before, which must be
 * free by then. The main thread has its own sockets by `node:dgram` only, and ends well.
 */
export function terminations(situation: Situation, rounds: number, node?: string): Promise<Terminations> {
  const warmUp = 5
  return resultOf<Terminations>(
    `
    const free = await dgram()
    const { port } = free.address()
    await new Promise((resolve) => free.close(resolve))
    const exits = new Set()
    let before = 0
    for (let round = 0; round < ${rounds + warmUp}; round++) {
      if (round === ${warmUp}) before = process.memoryUsage.rss()
      const worker = startWorker(${JSON.stringify(`
        const socket = await UdpSocket.bind({ address: '127.0.0.1', port: PORT, bufferSize: 16384, capacity: ${slabBytes / 16384} })
        const to = socket.address()
        ${bodies[situation]}
      `)}.replace('PORT', port))
      await new Promise((resolve, reject) => worker.on('message', resolve).on('error', reject))
      exits.add(await worker.terminate())
    }
    const after = process.memoryUsage.rss()
    const maps = process.platform === 'linux' ? readFileSync('/proc/self/maps', 'utf8') : ''
    const slabs = [...maps.matchAll(/^([0-9a-f]+)-([0-9a-f]+) /gm)].filter(
      ([, from, to]) => parseInt(to, 16) - parseInt(from, 16) === ${slabBytes},
    ).length
    const again = createSocket('udp4')
    again.bind(port, '127.0.0.1')
    await once(again, 'listening')
    again.close()
    print({ rounds: ${rounds}, grownBytes: after - before, slabs, exits: [...exits] })
    `,
    { bare: true, timeoutMs: 20_000 + rounds * 1000, ...(node === undefined ? {} : { node }) },
  )
}
