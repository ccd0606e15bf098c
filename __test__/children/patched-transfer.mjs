// ArrayBuffer.prototype.transfer was replaced before this package was loaded, in every wrong way.
import { setImmediate as turn } from 'node:timers/promises'

const real = ArrayBuffer.prototype.transfer
const lies = [
  function transfer() {
    return this
  },
  function transfer() {
    return new ArrayBuffer(this.byteLength)
  },
  function transfer() {
    throw new Error('no')
  },
  function transfer() {
    real?.call(this)
    throw new Error('too late')
  },
  () => undefined,
]
let wrong = 0
let ok = true
const { BufferPool } = await import('wraith-transport')
process.on('warning', () => {})
for (const lie of lies) {
  ArrayBuffer.prototype.transfer = real ?? lie
  let lying = false
  if (real !== undefined) {
    ArrayBuffer.prototype.transfer = function transfer(...args) {
      return lying ? lie.apply(this, args) : real.apply(this, args)
    }
  }
  let pool
  let other
  try {
    pool = new BufferPool({ bufferSize: 64, capacity: 8, shared: true, onExhausted: 'throw' })
    other = BufferPool.attach(pool.share(), { onExhausted: 'throw' })
  } catch {
    continue
  }
  const views = []
  for (let round = 0; round < 4; round++) {
    lying = round % 2 === 1
    try {
      const guard = pool.acquire()
      views.push(guard.bytes)
      const token = guard.transfer().token
      const adopted = other.adopt(token)
      adopted.bytes.fill(0xee)
      await turn()
      wrong += views.filter((view) => view.includes(0xee)).length
      adopted.dispose()
    } catch {}
  }
  ok &&= pool.audit().problems.length === 0
}
console.log(JSON.stringify({ wrong, ok }))
