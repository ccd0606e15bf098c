// Threads that use one shared pool in every way at once: guards, waits, tickets, a channel, sockets. Now and then one of them is
// terminated wherever it is, and another takes its place. Each second they meet at a barrier, where what they hold must add up.
// Argument: seconds.
import { once } from 'node:events'
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads'
import { BufferChannel, BufferPool, UdpSocket } from 'wraith-transport'

const [THREADS, CAPACITY, BYTES] = [8, 200, 256]
const CAP = Math.min(32, Math.floor(CAPACITY / (8 * (THREADS + 1))))
/** Seconds between two terminations. */
const TERMINATE_EVERY = 2
const TICKET_TIMEOUT = 5000
const POSTED = 2
/** Words that all threads see; from `OWN` on, some of each thread, which its successor goes on with. */
const [PHASE, ARRIVED, OWN] = [0, 1, 2]
const [HELD, SENT, TAKEN, STEPS, WRONG, PACKETS] = [0, 1, 2, 3, 4, 5]
const WORDS = 6
const [RUN, MEET, END] = [0, 1, 2]

const turn = () => new Promise(setImmediate)

/** xorshift. */
function random(seed) {
  let state = seed
  return (below) => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) % below
  }
}

async function soak({ token, channelToken, words, index, life }) {
  const pool = BufferPool.attach(token, { onExhausted: 'throw' })
  const copyUpTo = life % 2 === 0 ? BYTES : 0
  const channel = BufferChannel.attach(channelToken, pool, { copyUpTo })
  const socket = await UdpSocket.bind({ address: '127.0.0.1', pool, batchSize: POSTED })
  const chance = random(index + 1 + life * THREADS)
  const held = []
  const own = OWN + WORDS * index
  let waits = 0

  const check = (right) => {
    if (!right) words[own + WRONG]++
  }
  const fresh = (guard) => {
    check(guard.bytes.every((byte) => byte === 0))
    keep(guard)
  }
  const keep = (guard) => {
    const stamp = 1 + chance(255)
    guard.bytes.fill(stamp)
    guard.length = stamp
    held.push({ guard, stamp })
  }
  const drop = () => {
    const [{ guard, stamp }] = held.splice(chance(held.length), 1)
    check(guard.data.every((byte) => byte === stamp) && guard.length === stamp)
    return guard
  }
  /** What came: `stamp` bytes of that number. */
  const came = (bytes) => check(bytes.length > 0 && bytes.every((byte) => byte === bytes.length))
  /** Looks at a batch of either kind, and takes a row now and then. */
  const look = (batch) => {
    for (let i = 0; i < batch.length; i++) {
      if (held.length < 30 && chance(4) === 0) {
        const guard = batch.take(i)
        came(guard.data)
        held.push({ guard, stamp: guard.length })
      } else came(batch.bytes(i))
    }
  }
  parentPort.on('message', (ticket) => {
    if (ticket === 'end') return
    words[own + TAKEN]++
    try {
      const guard = pool.adopt(ticket)
      came(guard.data)
      held.push({ guard, stamp: guard.length })
    } catch (error) {
      // The machine was slow, and the ticket ended.
      if (error.code !== 'WRAITH_ERR_STALE_TICKET') throw error
    }
  })
  socket.consume((batch) => {
    words[own + PACKETS] += batch.length
    look(batch)
  })
  const wait = async () => {
    waits++
    const signal = chance(4) === 0 ? AbortSignal.timeout(chance(3)) : undefined
    try {
      fresh(await pool.acquireAsync({ signal }))
    } catch (error) {
      if (error.code !== 'WRAITH_ERR_ABORTED') throw error
    }
    waits--
  }
  let batches = 0
  /** One of the threads receives, some batches long. */
  const receive = () => {
    try {
      channel.consume((batch) => {
        look(batch)
        if (++batches % 50 === 0) channel.stop()
        return chance(8) === 0 ? turn() : undefined
      })
    } catch (error) {
      if (error.code !== 'WRAITH_ERR_BUSY') throw error
    }
  }
  const kinds = [
    () => {
      const guard = pool.tryAcquire()
      if (guard !== undefined) fresh(guard)
    },
    () => {
      try {
        for (const guard of pool.acquireMany(chance(12))) fresh(guard)
      } catch (error) {
        if (error.code !== 'WRAITH_ERR_POOL_EXHAUSTED') throw error
      }
    },
    () => {
      if (waits < 3) void wait()
    },
    () => {
      if (held.length === 0) return
      // Counted before: whoever dies in between leaves one more on the way, and not one less.
      words[own + SENT]++
      const ticket = drop().transfer()
      if (chance(4) > 0) parentPort.postMessage({ ticket: ticket.token })
      else if (ticket.cancel()) words[own + TAKEN]++
      else check(false)
    },
    () => {
      for (let i = chance(5); i > 0 && held.length > 0; i--) {
        const guard = drop()
        if (!channel.send(guard)) guard.dispose()
      }
      if (chance(2) === 0) channel.flush()
    },
    () => {
      if (held.length === 0) return
      const guard = drop()
      socket.sendOwned(guard, socket.address())
    },
    ...Array(3).fill(() => {
      if (held.length > 0) drop().dispose()
    }),
  ]
  const rare = [
    receive,
    () => {
      const other = BufferPool.attach(token)
      other.tryAcquire()?.dispose()
      other.close()
    },
  ]
  const pick = () => (chance(200) === 0 ? rare[chance(2)] : kinds[chance(kinds.length)])

  parentPort.postMessage({ ready: true })
  for (let phase = RUN; phase !== END; phase = Atomics.load(words, PHASE)) {
    if (phase === MEET) {
      words[own + HELD] = held.length
      Atomics.add(words, ARRIVED, 1)
      Atomics.wait(words, PHASE, MEET)
      continue
    }
    for (let i = 0; i < 20; i++) pick()()
    while (held.length > 30) drop().dispose()
    words[own + STEPS] += 20
    await turn()
  }
  // Nobody waits for ever: what is held goes home until every call is settled and everything sent has come.
  const settle = setInterval(() => {
    receive()
    while (held.length > 0) drop().dispose()
  }, 1)
  while (waits > 0) await turn()
  const ended = new Promise((resolve) =>
    parentPort.on('message', (message) => {
      if (message === 'end') resolve()
    }),
  )
  parentPort.postMessage({ settled: true })
  await ended
  clearInterval(settle)
  channel.stop()
  await socket.close()
  while (held.length > 0) drop().dispose()
  pool.close()
  parentPort.close()
}

async function main() {
  const seconds = Number(process.argv[2])
  const options = { shared: true, capacity: CAPACITY, bufferSize: BYTES, ticketTimeout: TICKET_TIMEOUT }
  const pool = new BufferPool(options)
  const channel = new BufferChannel(pool)
  const words = new Int32Array(new SharedArrayBuffer(4 * (OWN + WORDS * THREADS)))
  const chance = random(seconds + 1)
  const workers = []
  const settled = new Set()

  const start = async (index, life) => {
    const data = { token: pool.share(), channelToken: channel.share(), words, index, life }
    const worker = new Worker(new URL(import.meta.url), { workerData: data })
    worker.on('error', (error) => {
      console.error(error)
      process.exit(3)
    })
    // Tickets go round by way of this thread. One that a dead thread has not adopted ends by itself.
    worker.on('message', ({ ticket, settled: done }) => {
      if (done) settled.add(index)
      else if (ticket !== undefined) workers[(index + 1) % THREADS]?.worker.postMessage(ticket)
    })
    workers[index] = { worker, life }
    await once(worker, 'message')
  }
  for (let index = 0; index < THREADS; index++) await start(index, 0)
  const total = (what) => workers.reduce((sum, _, i) => sum + words[OWN + WORDS * i + what], 0)
  const problems = []
  const memory = []
  let [audits, terminated] = [0, 0]
  const end = performance.now() + seconds * 1000
  for (; performance.now() < end; audits++) {
    const rust = pool.exercise({ threads: 1, acquires: 50 })
    if (audits % TERMINATE_EVERY === 1) {
      const index = chance(THREADS)
      const { worker, life } = workers[index]
      await worker.terminate()
      terminated++
      await start(index, life + 1)
    }
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const { wrong } = await rust
    Atomics.store(words, ARRIVED, 0)
    Atomics.store(words, PHASE, MEET)
    while (Atomics.load(words, ARRIVED) < THREADS) await turn()
    const audit = pool.audit()
    const { queued } = channel
    const held = total(HELD)
    // Tickets to a thread that died, and those that this thread has yet to pass on, are among these.
    const tickets = total(SENT) - total(TAKEN)
    const resting = audit.elsewhere - held
    // Beside the magazines, slots that were given to calls which have not run since.
    const most = THREADS * (CAP + 3 + POSTED)
    const right =
      audit.ok && wrong === 0 && audit.transit >= queued && audit.transit <= queued + tickets && resting >= 0
    if (!right || resting > most || audit.posted + audit.batched > THREADS * POSTED + 32)
      problems.push({ ...audit, held, tickets, queued, wrong })
    memory.push(process.memoryUsage().rss)
    Atomics.store(words, PHASE, RUN)
    Atomics.notify(words, PHASE)
  }
  Atomics.store(words, PHASE, END)
  while (settled.size < THREADS || pool.audit().transit > 0) await turn()
  const ends = workers.map(({ worker }) => once(worker, 'exit'))
  for (const { worker } of workers) worker.postMessage('end')
  await Promise.all(ends)
  const { received } = channel.metrics()
  channel.close()
  const { free, cached } = pool.audit()
  const guards = pool.acquireMany(CAPACITY)
  const dirty = guards.filter(({ bytes }) => bytes.some((byte) => byte !== 0)).length
  guards.dispose()
  const { transferred, adopted } = pool.metrics().pool
  const wrong = total(WRONG)
  const steps = workers.map((_, i) => words[OWN + WORDS * i + STEPS])
  const home = free + cached === CAPACITY
  const counts = { steps, transferred, adopted, received, packets: total(PACKETS), terminated }
  console.log(JSON.stringify({ audits, problems, wrong, home, dirty, memory, ...counts }))
}

if (isMainThread) await main()
else await soak(workerData)
