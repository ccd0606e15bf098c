// The first argument is the token of a pool of another process.
import { BufferPool, WraithError } from 'wraith-transport'

try {
  BufferPool.attach(JSON.parse(process.argv[2]))
} catch (error) {
  console.log(JSON.stringify({ code: error.code, wraith: error instanceof WraithError }))
}
