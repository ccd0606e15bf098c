// One thread receives, three parse: packets cross over in the buffers that the kernel wrote them into, without a copy.
//
//   node examples/sharing.mjs [--packets 3000]
//
// It sends itself so many packets, `name:value` each, adds the values up by name, and ends.

import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { isMainThread, MessageChannel, parentPort, Worker, workerData } from 'node:worker_threads'
import { BufferPool, UdpSocket } from 'wraith-transport'

const PARSERS = 3
const NAMES = ['jobs', 'mails', 'users']
/** Packets on their way at a time: what a receive buffer holds that every Linux gives without asking. */
const WINDOW = 50

/** Takes packets of a shared pool, one socket's, and passes each on to a parser. */
async function receive({ token, parsers, packets }) {
  const pool = BufferPool.attach(token)
  const socket = await UdpSocket.bind({ address: '127.0.0.1', pool, batchSize: 16 })
  let received = 0
  parentPort.postMessage({ address: socket.address() })
  socket.consume((batch) => {
    for (let i = 0; i < batch.length; i++) {
      // From here on the buffer is nobody's until a parser adopts it; every view of it in this thread is empty.
      const ticket = batch.take(i).transfer()
      parsers[received % PARSERS].postMessage(ticket.token)
      received++
    }
    parentPort.postMessage({ received })
    if (received === packets) finish()
  })
  function finish() {
    for (const parser of parsers) {
      parser.postMessage('end')
      parser.close()
    }
    void socket.close()
  }
}

/** Adopts packets until it is told that there are no more. */
function parse({ token, port }) {
  const pool = BufferPool.attach(token)
  const sums = {}
  let parsed = 0
  port.on('message', (message) => {
    if (message === 'end') {
      port.close()
      pool.close()
      parentPort.postMessage({ parsed, sums })
      return
    }
    const guard = pool.adopt(message)
    const [name, value] = guard.data.toString('latin1').split(':')
    sums[name] = (sums[name] ?? 0) + Number(value)
    parsed++
    guard.dispose()
  })
}

async function main() {
  const { values } = parseArgs({ options: { packets: { type: 'string', default: '3000' } } })
  const packets = Number(values.packets)
  const pool = new BufferPool({ shared: true, bufferSize: 2048, capacity: 512 })
  const token = pool.share()
  const start = (data, transferList) =>
    new Worker(new URL(import.meta.url), { workerData: { token, ...data }, transferList })

  const channels = Array.from({ length: PARSERS }, () => new MessageChannel())
  const parsers = channels.map(({ port2 }) => start({ role: 'parse', port: port2 }, [port2]))
  const results = parsers.map((parser) => once(parser, 'message'))
  const ports = channels.map(({ port1 }) => port1)
  const receiver = start({ role: 'receive', parsers: ports, packets }, ports)
  const [{ address }] = await once(receiver, 'message')

  const sender = await UdpSocket.bind({ address: '127.0.0.1' })
  let sent = 0
  const more = (received) => {
    for (; sent < packets && sent - received < WINDOW; sent++) {
      sender.send(`${NAMES[sent % NAMES.length]}:${sent}`, address)
    }
  }
  receiver.on('message', ({ received }) => more(received))
  more(0)

  const totals = {}
  for (const [i, [{ parsed, sums }]] of (await Promise.all(results)).entries()) {
    console.log(`parser ${i}: ${parsed} packets`)
    for (const name of Object.keys(sums)) totals[name] = (totals[name] ?? 0) + sums[name]
  }
  await Promise.all([sender.close(), ...[receiver, ...parsers].map((worker) => worker.terminate())])
  for (const name of NAMES) console.log(`${name} ${totals[name]}`)
  const { transferred, adopted, expired } = pool.metrics().pool
  console.log(`${transferred} handed over, ${adopted} adopted, ${expired} expired`)
  pool.close()
  await pool.closed
  console.log(`${pool.audit().free} of ${pool.capacity} buffers are home`)
}

if (isMainThread) await main()
else if (workerData.role === 'receive') await receive(workerData)
else parse(workerData)
