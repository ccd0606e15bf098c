// Terminates workers of a shared pool at random points, two at a time, and counts what is not at home afterwards.
// Arguments: rounds, seed.
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { BufferChannel, BufferPool, UdpSocket } from 'wraith-transport'

const [CAPACITY, SIZE] = [64, 512]
const TICKET_TIMEOUT = 20

/** xorshift: the same seed gives the same situations and delays. */
function random(seed) {
  let state = seed | 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms))
const turn = () => new Promise(setImmediate)

/** What a worker is at when it is terminated. Each writes into every buffer that it gets, and none ends by itself. */
const situations = {
  acquiring: (pool) => {
    for (;;) pool.tryAcquire()?.bytes.fill(1)
  },
  'acquiring and disposing': (pool) => {
    for (;;) {
      const guard = pool.tryAcquire()
      guard?.bytes.fill(1)
      guard?.dispose()
    }
  },
  'with guards, at rest': async (pool) => {
    const guards = []
    for (let i = 0; i < 8; i++) guards.push(pool.tryAcquire())
    for (const guard of guards) guard?.bytes.fill(1)
    await pause(1e9)
  },
  waiting: async (pool) => {
    const wait = async () => {
      for (;;) {
        const guard = await pool.acquireAsync()
        guard.bytes.fill(1)
        await turn()
        guard.dispose()
      }
    }
    await Promise.all(Array.from({ length: CAPACITY }, wait))
  },
  'with tickets under way': async (pool) => {
    for (;;) {
      const guard = pool.tryAcquire()
      if (guard !== undefined) {
        guard.bytes.fill(1)
        parentPort.postMessage(guard.transfer())
      }
      await turn()
    }
  },
  adopting: async (pool) => {
    parentPort.on('message', (ticket) => {
      try {
        pool.adopt(ticket).bytes.fill(1)
      } catch (error) {
        if (error.code !== 'WRAITH_ERR_STALE_TICKET') throw error
      }
    })
    await pause(1e9)
  },
  'in a handler': async (pool) => {
    const socket = await UdpSocket.bind({ address: '127.0.0.1', pool, batchSize: 8 })
    const kept = []
    socket.consume((batch) => {
      for (let i = 0; i < batch.length; i++) {
        batch.bytes(i).fill(1)
        if (i === 0 && kept.length < 4) kept.push(batch.take(i))
      }
      socket.send('more', socket.address())
    })
    socket.send('x', socket.address())
    await pause(1e9)
  },
  'sending through a channel': async (pool, channel) => {
    for (;;) {
      for (let i = 0; i < 7; i++) {
        const guard = pool.tryAcquire()
        if (guard === undefined) break
        guard.bytes.fill(1)
        guard.length = SIZE
        channel.send(guard)
      }
      await turn()
    }
  },
  'receiving from a channel': async (_pool, channel) => {
    const kept = []
    const receive = (batch) => {
      for (let i = 0; i < batch.length; i++) batch.bytes(i).fill(1)
      if (kept.length < 4) kept.push(batch.take(0))
      // Every other batch is held.
      return batch.length % 2 === 0 ? turn() : undefined
    }
    // The other lane's worker may receive, or main.
    for (;;) {
      try {
        channel.consume(receive)
        break
      } catch (error) {
        if (error.code !== 'WRAITH_ERR_BUSY') throw error
      }
      await turn()
    }
    await pause(1e9)
  },
  sending: async (pool) => {
    const socket = await UdpSocket.bind({ address: '127.0.0.1', pool, batchSize: 4 })
    for (;;) {
      const guard = pool.tryAcquire()
      if (guard !== undefined) {
        guard.bytes.fill(1)
        guard.length = 100
        socket.sendOwned(guard, socket.address())
      }
      await turn()
    }
  },
}
const names = Object.keys(situations)

if (isMainThread) {
  const [rounds, seed] = process.argv.slice(2).map(Number)
  const chance = random(seed)
  const pool = new BufferPool({
    shared: true,
    capacity: CAPACITY,
    bufferSize: SIZE,
    ticketTimeout: TICKET_TIMEOUT,
  })
  const token = pool.share()
  const channel = new BufferChannel(pool)
  const seen = new Set()
  const exits = new Map()

  /** What is in the channel goes home, unless a worker receives. */
  const empty = () => {
    try {
      while (channel.tryReceive() !== undefined);
      channel.stop()
    } catch (error) {
      if (error.code !== 'WRAITH_ERR_BUSY') throw error
    }
  }

  /** A few rounds one after the other: all of them on the one pool. */
  const lane = async (count) => {
    for (let round = 0; round < count; round++) {
      const situation = names[Math.floor(chance() * names.length)]
      const copyUpTo = chance() < 0.5 ? 0 : SIZE
      const data = { token, situation, channel: channel.share(), copyUpTo }
      const worker = new Worker(new URL(import.meta.url), { workerData: data })
      worker.on('error', (error) => {
        console.error(situation, error)
        process.exit(3)
      })
      const atWork = once(worker, 'message')
      worker.on('message', (message) => {
        // Every other ticket is adopted; the others end by themselves.
        if (typeof message === 'object' && chance() < 0.5) {
          try {
            pool.adopt(message).dispose()
          } catch (error) {
            if (error.code !== 'WRAITH_ERR_STALE_TICKET') throw error
          }
        }
      })
      const feed = setInterval(() => {
        const receives = situation === 'receiving from a channel'
        const guard = situation === 'adopting' || receives ? pool.tryAcquire() : undefined
        if (guard !== undefined && receives) {
          guard.length = SIZE
          channel.send(guard)
        } else if (guard !== undefined) worker.postMessage(guard.transfer())
        if (situation === 'sending through a channel') empty()
      }, 1)
      // One in ten while it starts, the others at their work.
      if (chance() < 0.1) await pause(chance() * 30)
      else {
        await atWork
        await pause(chance() * 8)
        seen.add(situation)
      }
      const exit = await worker.terminate()
      exits.set(exit, (exits.get(exit) ?? 0) + 1)
      clearInterval(feed)
    }
  }
  await Promise.all([lane(Math.ceil(rounds / 2)), lane(Math.floor(rounds / 2))])
  await pause(TICKET_TIMEOUT * 2)
  const { received } = channel.metrics()
  channel.close()
  const audit = pool.audit()
  const guards = pool.acquireMany(CAPACITY)
  let dirty = 0
  for (const { bytes } of guards) for (const byte of bytes) dirty += Number(byte !== 0)
  const pooled = [...guards].filter((guard) => guard.pooled).length
  guards.dispose()
  const descriptors = process.getActiveResourcesInfo()
  console.log(
    JSON.stringify({
      situations: [...seen].sort(),
      received,
      exits: [...exits.keys()],
      audit,
      dirty,
      pooled,
      descriptors,
    }),
  )
} else {
  const pool = BufferPool.attach(workerData.token, { onExhausted: 'throw' })
  parentPort.postMessage('at work')
  const { copyUpTo } = workerData
  const channel = BufferChannel.attach(workerData.channel, pool, { copyUpTo })
  await situations[workerData.situation](pool, channel)
}
