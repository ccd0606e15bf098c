// A listener that throws at the first threshold event.
import { BufferPool } from 'wraith-transport'

const uncaught = []
process.on('uncaughtException', ({ message }) => uncaught.push(message))
const pool = new BufferPool({ capacity: 10, leakDetection: 'stack' })
pool.once('pressure', () => {
  throw new Error('thrown by the listener')
})
const guards = pool.acquireMany(10)
setImmediate(() => {
  console.log(JSON.stringify({ acquired: guards.length, uncaught }))
  guards.dispose()
})
