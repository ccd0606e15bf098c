// Asks for almost 4 GiB in a process that may map half a gigabyte more than it has.
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { BufferPool } from 'wraith-transport'

// Loads the addon before the limit.
const pool = new BufferPool({ capacity: 2 })
const kib = Number(/^VmSize:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'))[1])
const limit = (kib + 512 * 1024) * 1024
execFileSync('prlimit', ['--pid', String(process.pid), `--as=${limit}`])
try {
  new BufferPool({ bufferSize: 4096, capacity: 2 ** 20 - 1 })
  console.log(JSON.stringify({ lent: 'the pool was made' }))
} catch ({ code, option, message }) {
  const guard = pool.acquire()
  const lent = guard.pooled && guard.bytes.write('alive') === 5
  guard.dispose()
  console.log(JSON.stringify({ code, option, message, lent }))
}
