import { resultOf } from './udp-process.js'

interface Ending {
  /** What the worker does with `socket` and `mark(batch, i)`; it posts 'now' when it can be terminated. */
  readonly body: string
  /** Whether it is terminated, or ends by itself. */
  readonly terminated: boolean
  /** Of each batch of 4 that is out when it ends: rows that nobody sees, and rows that are counted as abandoned. */
  readonly lost: number
  readonly abandoned: number
}

/** How a worker's use of a shared socket ends. Each reads one batch of 4. */
export const endings = {
  'is terminated inside its handler': {
    body: "socket.consume((batch) => { mark(batch, 0); parentPort.postMessage('now'); for (;;); })",
    terminated: true,
    lost: 3,
    abandoned: 4,
  },
  'is terminated inside its handler with a row taken': {
    body: `socket.consume((batch) => {
      mark(batch, 0)
      const guard = batch.take(1)
      parentPort.postMessage('now')
      for (;;) guard.bytes.fill(1)
    })`,
    terminated: true,
    lost: 3,
    abandoned: 4,
  },
  'is terminated while a promise holds its batch': {
    body: `socket.consume((batch) => {
      mark(batch, 0)
      setInterval(() => parentPort.postMessage('now'), 1)
      return new Promise(() => {})
    })`,
    terminated: true,
    lost: 3,
    abandoned: 4,
  },
  'is terminated while it iterates': {
    body: `for await (const batch of socket) {
      mark(batch, 0)
      parentPort.postMessage('now')
      await new Promise((resolve) => setTimeout(resolve, 1e6))
    }`,
    terminated: true,
    lost: 3,
    abandoned: 4,
  },
  'is terminated before its handler was called, with packets waiting': {
    body: `socket.consume((batch) => { for (let i = 0; i < batch.length; i++) mark(batch, i) })
      parentPort.postMessage('now')
      for (;;);`,
    terminated: true,
    lost: 0,
    abandoned: 0,
  },
  'is terminated between two batches': {
    body: `const batch = socket.tryReceive()
      for (let i = 0; i < batch.length; i++) mark(batch, i)
      batch.dispose()
      setInterval(() => parentPort.postMessage('now'), 1)`,
    terminated: true,
    lost: 0,
    abandoned: 0,
  },
  'throws in its handler': {
    body: "socket.consume((batch) => { mark(batch, 0); throw new Error('mine') })",
    terminated: false,
    lost: 3,
    abandoned: 4,
  },
  'calls process.exit() in its handler': {
    body: 'socket.consume((batch) => { mark(batch, 0); process.exit(3) })',
    terminated: false,
    lost: 3,
    abandoned: 4,
  },
  'calls process.exit() with a batch out': {
    body: 'const batch = socket.tryReceive(); mark(batch, 0); process.exit(3)',
    terminated: false,
    lost: 3,
    abandoned: 4,
  },
  'closes in its handler': {
    body: `socket.consume((batch) => {
      for (let i = 0; i < batch.length; i++) mark(batch, i)
      socket.close()
    })`,
    terminated: false,
    lost: 0,
    abandoned: 0,
  },
  'stops and shares again': {
    body: `socket.consume((batch) => {
      for (let i = 0; i < batch.length; i++) mark(batch, i)
      socket.stop().share()
    })`,
    terminated: false,
    lost: 0,
    abandoned: 0,
  },
} as const satisfies Readonly<Record<string, Ending>>

export type EndingName = keyof typeof endings
export const endingNames = Object.keys(endings) as EndingName[]

/** Of each worker's pool. */
export const slabBytes = 16 * 1024 * 1024

export interface Succession {
  readonly sent: number
  /** Packets that were seen once, more than once, and by nobody. */
  readonly once: number
  readonly again: number
  readonly lost: number
  readonly metrics: {
    rxPackets: number
    rxAbandoned: number
    rxDroppedByKernel: number
    ownershipFaults: number
  }
  /** Binds of the port by somebody else, and what each came to. */
  readonly binds: Record<string, number>
  /** Attempts to attach while a worker had the lease, and what each came to. */
  readonly attaches: Record<string, number>
  /** Of the whole process, from when it had warmed up. */
  readonly descriptorsGrown: number
  readonly bytesGrown: number
  /** Mappings of a worker's slab's size that are left. */
  readonly slabs: number
  readonly sharerAudit: boolean
}

/**
 * Workers that succeed each other as the reader of one socket that the main thread shared. Each gets a batch of 4 numbered
 * packets and ends; the main thread drains what is left. Nobody drops a packet but the batch that dies with a worker.
 */
export function succession(ending: EndingName, rounds: number, node?: string): Promise<Succession> {
  const { body, terminated } = endings[ending]
  const worker = `
    const { token, shared } = workerData
    const marks = new Int32Array(shared)
    const socket = UdpSocket.attach(token, { batchSize: 4, bufferSize: 16384, capacity: ${slabBytes / 16384} })
    if (!socket.pool.audit().ok) throw new Error('the audit of a fresh pool')
    const mark = (batch, i) => Atomics.add(marks, batch.bytes(i).readUInt32LE(0), 1)
    ${body}`
  return resultOf<Succession>(
    `
    import { readdirSync } from 'node:fs'
    const warmUp = 5, rounds = warmUp + ${rounds}
    const home = await UdpSocket.bind({ address: '127.0.0.1', batchSize: 4 })
    const { port } = home.address()
    const token = home.share()
    const shared = new SharedArrayBuffer(4 * (4 * rounds + 4))
    const marks = new Int32Array(shared)
    const sender = await dgram()
    let sent = 0
    const send = async (count) => {
      for (; count > 0; count--) {
        const bytes = Buffer.alloc(64)
        bytes.writeUInt32LE(sent++)
        await deliver(sender, home.address(), bytes)
      }
    }
    const binds = {}, attaches = {}
    const count = (into, what) => { into[what] = (into[what] ?? 0) + 1 }
    const tryBind = () => new Promise((resolve) => {
      const other = createSocket('udp4')
      const done = (what) => { count(binds, what); other.close(); resolve() }
      other.once('error', (error) => done(error.code)).bind(port, '127.0.0.1', () => done('bound'))
    })
    const tryAttach = () => {
      try { UdpSocket.attach(token, { pool: home.pool }).close(); count(attaches, 'attached') }
      catch (error) { count(attaches, error.code) }
    }
    const descriptors = () => readdirSync('/proc/self/fd').length
    let before
    await send(4)
    for (let round = 0; round < rounds; round++) {
      if (round === warmUp) before = { descriptors: descriptors(), bytes: process.memoryUsage.rss() }
      await send(4)
      await tryBind()
      const worker = startWorker(${JSON.stringify(worker)}, { token, shared })
      const exit = new Promise((resolve) => worker.once('exit', resolve))
      let failed
      worker.on('error', (error) => { failed = error })
      if (${terminated}) {
        await Promise.race([once(worker, 'message'), exit])
        tryAttach()
        await tryBind()
        await worker.terminate()
      }
      await exit
      if (failed !== undefined && failed.message !== 'mine') throw failed
      await tryBind()
    }
    const grown = { descriptors: descriptors() - before.descriptors, bytes: process.memoryUsage.rss() - before.bytes }
    for (let batch = home.tryReceive(); batch !== undefined; batch = home.tryReceive()) {
      for (let i = 0; i < batch.length; i++) Atomics.add(marks, batch.bytes(i).readUInt32LE(0), 1)
    }
    const { rxPackets, rxAbandoned, rxDroppedByKernel, ownershipFaults } = home.metrics()
    const slabs = [...readFileSync('/proc/self/maps', 'utf8').matchAll(/^([0-9a-f]+)-([0-9a-f]+) /gm)].filter(
      ([, from, to]) => parseInt(to, 16) - parseInt(from, 16) === ${slabBytes},
    ).length
    const audit = home.pool.audit()
    await home.close()
    sender.close()
    const free = createSocket('udp4')
    free.bind(port, '127.0.0.1')
    await once(free, 'listening')
    free.close()
    const all = [...marks]
    print({
      sent, once: all.filter((n) => n === 1).length, again: all.filter((n) => n > 1).length,
      lost: all.filter((n) => n === 0).length,
      metrics: { rxPackets, rxAbandoned, rxDroppedByKernel, ownershipFaults },
      binds, attaches, descriptorsGrown: grown.descriptors, bytesGrown: grown.bytes, slabs, sharerAudit: audit.ok,
    })
    `,
    { timeoutMs: 20_000 + rounds * 1000, ...(node === undefined ? {} : { node }) },
  )
}

/** What a succession of `rounds` workers must come to, to the packet. Five more warm the process up. */
export function expectedOf(ending: EndingName, rounds: number): Partial<Succession> {
  const { lost, abandoned, terminated } = endings[ending]
  const deaths = rounds + 5
  const sent = 4 * deaths + 4
  return {
    sent,
    once: sent - lost * deaths,
    again: 0,
    lost: lost * deaths,
    metrics: { rxPackets: sent, rxAbandoned: abandoned * deaths, rxDroppedByKernel: 0, ownershipFaults: 0 },
    binds: { EADDRINUSE: (terminated ? 3 : 2) * deaths },
    attaches: terminated ? { WRAITH_ERR_BUSY: deaths } : {},
    slabs: 0,
    sharerAudit: true,
  }
}
