// A guard is lost, but a subarray of its bytes is kept: its memory must never be handed out again. And a guard that is
// kept, or a view of one, is no leak. Needs --expose-gc.
import { BufferPool } from 'wraith-transport'

const debug = !['', '0', undefined].includes(process.env.WRAITH_DEBUG)
const pool = new BufferPool({ bufferSize: 64, capacity: 4, onExhausted: 'throw' })

function keepSubarray() {
  const { bytes } = pool.acquire()
  bytes.fill(0xaa)
  return bytes.subarray(8, 16)
}
function keepView() {
  return pool.acquire().bytes
}

const alias = keepSubarray()
for (let turn = 0; turn < 200 && pool.metrics().leaked === 0; turn++) {
  globalThis.gc()
  await new Promise(setImmediate)
}
const afterAlias = pool.metrics()

const view = keepView()
const guard = pool.acquire()
for (let turn = 0; turn < 20; turn++) {
  globalThis.gc()
  await new Promise(setImmediate)
}
const afterView = pool.metrics()
view.fill(0xbb)

const last = pool.acquire()
last.bytes.fill(0xcc)
guard.bytes.fill(0xdd)
const intact = alias.every((byte) => byte === 0xaa) && view.every((byte) => byte === 0xbb)
last.dispose()
guard.dispose()
console.log(
  JSON.stringify({
    debug,
    leakedAfterAlias: afterAlias.leaked,
    quarantined: afterAlias.quarantined,
    leakedAfterView: afterView.leaked,
    lent: afterView.lent,
    intact,
    ok: pool.audit().ok,
  }),
)
