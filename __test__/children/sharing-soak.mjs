// Threads that use one shared pool in every way at once. Each second they meet at a barrier, where what they hold must add up.
// Argument: seconds.
import { once } from 'node:events'
import { isMainThread, MessageChannel, parentPort, Worker, workerData } from 'node:worker_threads'
import { BufferPool } from 'wraith-transport'

const [THREADS, CAPACITY, BYTES] = [8, 200, 256]
const CAP = Math.min(32, Math.floor(CAPACITY / (8 * (THREADS + 1))))
/** Words that all threads see; from `OWN` on, three of each thread. */
const [PHASE, ARRIVED, OWN] = [0, 1, 2]
const [HELD, SENT, TAKEN] = [0, 1, 2]
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

async function soak({ token, words, index, next, previous }) {
  const pool = BufferPool.attach(token, { onExhausted: 'throw' })
  const chance = random(index + 1)
  const held = []
  const own = OWN + 3 * index
  let [steps, wrong, waits] = [0, 0, 0]

  const fresh = (guard) => {
    if (guard.bytes.some((byte) => byte !== 0)) wrong++
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
    if (guard.bytes.some((byte) => byte !== stamp)) wrong++
    return guard
  }
  previous.on('message', (ticket) => {
    const guard = pool.adopt(ticket)
    words[own + TAKEN]++
    const stamp = guard.length
    if (guard.bytes.some((byte) => byte !== stamp)) wrong++
    held.push({ guard, stamp })
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
      const ticket = drop().transfer()
      words[own + SENT]++
      if (chance(4) > 0) next.postMessage(ticket)
      else if (ticket.cancel()) words[own + TAKEN]++
      else wrong++
    },
    () => {
      const other = BufferPool.attach(token)
      other.tryAcquire()?.dispose()
      other.close()
    },
    ...Array(3).fill(() => {
      if (held.length > 0) drop().dispose()
    }),
  ]
  const pick = () => kinds[chance(400) === 0 ? 4 : [0, 1, 2, 3, 5, 6, 7][chance(7)]]

  for (let phase = RUN; phase !== END; phase = Atomics.load(words, PHASE)) {
    if (phase === MEET) {
      words[own + HELD] = held.length
      Atomics.add(words, ARRIVED, 1)
      Atomics.wait(words, PHASE, MEET)
      continue
    }
    for (let i = 0; i < 20; i++) pick()()
    while (held.length > 30) drop().dispose()
    steps += 20
    await turn()
  }
  // Nobody waits for ever: what is held goes home until every call is settled and every ticket has come.
  const settle = setInterval(() => {
    while (held.length > 0) drop().dispose()
  }, 1)
  while (waits > 0) await turn()
  parentPort.postMessage({ steps, wrong })
  await once(parentPort, 'message')
  clearInterval(settle)
  while (held.length > 0) drop().dispose()
  pool.close()
  next.close()
  previous.close()
}

async function main() {
  const seconds = Number(process.argv[2])
  const pool = new BufferPool({ shared: true, capacity: CAPACITY, bufferSize: BYTES, ticketTimeout: 0 })
  const words = new Int32Array(new SharedArrayBuffer(4 * (OWN + 3 * THREADS)))
  const channels = Array.from({ length: THREADS }, () => new MessageChannel())
  const workers = channels.map(({ port1: next }, index) => {
    const { port2: previous } = channels[(index + THREADS - 1) % THREADS]
    const data = { token: pool.share(), words, index, next, previous }
    return new Worker(new URL(import.meta.url), { workerData: data, transferList: [next, previous] })
  })
  const results = workers.map((worker) => once(worker, 'message'))
  const total = (what) => workers.reduce((sum, _, i) => sum + words[OWN + 3 * i + what], 0)
  const problems = []
  const memory = []
  let audits = 0
  const end = performance.now() + seconds * 1000
  for (; performance.now() < end; audits++) {
    const rust = pool.exercise({ threads: 1, acquires: 200 })
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const { wrong } = await rust
    Atomics.store(words, ARRIVED, 0)
    Atomics.store(words, PHASE, MEET)
    while (Atomics.load(words, ARRIVED) < THREADS) await turn()
    const audit = pool.audit()
    const [held, transit] = [total(HELD), total(SENT) - total(TAKEN)]
    const resting = audit.elsewhere - held
    // Beside the magazines, slots that were given to calls which have not run since.
    const most = THREADS * (CAP + 3)
    if (!audit.ok || wrong > 0 || audit.transit !== transit || resting < 0 || resting > most)
      problems.push({ ...audit, held, transit, wrong })
    memory.push(process.memoryUsage().rss)
    Atomics.store(words, PHASE, RUN)
    Atomics.notify(words, PHASE)
  }
  Atomics.store(words, PHASE, END)
  const counts = (await Promise.all(results)).map(([count]) => count)
  while (pool.audit().transit > 0) await turn()
  const ends = workers.map((worker) => once(worker, 'exit'))
  for (const worker of workers) worker.postMessage('end')
  await Promise.all(ends)
  const { free, cached } = pool.audit()
  const guards = pool.acquireMany(CAPACITY)
  const dirty = guards.filter(({ bytes }) => bytes.some((byte) => byte !== 0)).length
  guards.dispose()
  const { transferred, adopted } = pool.metrics().pool
  const wrong = counts.reduce((sum, count) => sum + count.wrong, 0)
  const steps = counts.map((count) => count.steps)
  const home = free + cached === CAPACITY
  console.log(JSON.stringify({ audits, problems, wrong, steps, home, dirty, transferred, adopted, memory }))
}

if (isMainThread) await main()
else await soak(workerData)
