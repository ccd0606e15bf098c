// User code has replaced Uint32Array while a pool was made: slot numbers that the pool writes for native become wild.
import { BufferPool, WraithError } from 'wraith-transport'

const others = new BufferPool({ bufferSize: 64, capacity: 8 })
const Real = globalThis.Uint32Array
let wild = false
globalThis.Uint32Array = function Patched(...args) {
  const words = new Real(...args)
  return new Proxy(words, {
    get: (target, key) => Reflect.get(target, key, target),
    set: (target, key, value) => {
      target[key] = wild ? 0xffff_ff00 : value
      return true
    },
  })
}
const pool = new BufferPool({ bufferSize: 64, capacity: 8 })
globalThis.Uint32Array = Real

const guard = pool.acquire()
pool.close()
wild = true
let result
try {
  guard.dispose()
} catch (error) {
  const { code, message } = error
  result = { code, message, wraith: error instanceof WraithError }
}
const guards = others.acquireMany(8)
console.log(JSON.stringify({ ...result, others: guards.length, audit: pool.audit() }))
guards.dispose()
