// A StatsD server: counters, gauges and timers from UDP, added up and printed.
//
//   node examples/statsd-server.mjs [--port 8125] [--packets N]
//
// It ends after N packets, or at Ctrl-C. Try it from another terminal: echo 'jobs:1|c' > /dev/udp/127.0.0.1/8125 (bash)

import { parseArgs } from 'node:util'
import { UdpSocket } from 'wraith-transport'

const { values } = parseArgs({ options: { port: { type: 'string' }, packets: { type: 'string' } } })
const wanted = values.packets === undefined ? Number.POSITIVE_INFINITY : Number(values.packets)

const counters = new Map()
const gauges = new Map()
const timers = new Map()
const totals = { packets: 0, bad: 0 }

/** One line, `name:value|type`, with `|@rate` behind the type of a sampled counter. */
function handle(line) {
  const colon = line.indexOf(':')
  const [number, type, rate] = line.slice(colon + 1).split('|')
  const name = line.slice(0, colon)
  const value = Number(number)
  if (colon < 1 || number === '' || Number.isNaN(value)) {
    totals.bad++
  } else if (type === 'c') {
    const sampled = rate?.startsWith('@') ? Number(rate.slice(1)) : 1
    counters.set(name, (counters.get(name) ?? 0) + value / sampled)
  } else if (type === 'g') {
    gauges.set(name, value)
  } else if (type === 'ms') {
    const timer = timers.get(name) ?? { count: 0, sum: 0, max: 0 }
    timer.count++
    timer.sum += value
    timer.max = Math.max(timer.max, value)
    timers.set(name, timer)
  } else {
    totals.bad++
  }
}

function report() {
  for (const [name, value] of counters) console.log(`counter ${name} ${value}`)
  for (const [name, value] of gauges) console.log(`gauge   ${name} ${value}`)
  for (const [name, { count, sum, max }] of timers) {
    console.log(`timer   ${name} count ${count} mean ${sum / count} max ${max}`)
  }
  const { rxDroppedByKernel, rxTruncated } = socket.metrics()
  console.log(
    `${totals.packets} packets, ${totals.bad} bad lines, ${rxDroppedByKernel} dropped by the kernel, ${rxTruncated} truncated`,
  )
}

const socket = await UdpSocket.bind({ address: '127.0.0.1', port: Number(values.port ?? 8125) })
console.log(`listening on port ${socket.address().port}`)

socket.consume((batch) => {
  for (let i = 0; i < batch.length && totals.packets < wanted; i++) {
    // The string is a copy; the bytes go back to the pool when this function returns.
    for (const line of batch.bytes(i).toString('latin1').split('\n')) if (line !== '') handle(line)
    totals.packets++
  }
  if (totals.packets === wanted) finish()
})

function finish() {
  report()
  socket.close()
  process.off('SIGINT', finish)
}
process.once('SIGINT', finish)
