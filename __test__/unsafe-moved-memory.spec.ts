import { expect, test } from 'vitest'
import { resultOf } from './support/udp-process.js'

interface Seen {
  readonly exit: number
  /** Bytes that this thread could read, after the worker had ended; or why it got none. */
  readonly read: number
  readonly refused: string
}

const memories = {
  "a pool's memory": `
    const pool = new BufferPool({ bufferSize: 2048, capacity: 1024 })
    const guard = pool.acquire()
    const view = guard.bytes`,
  "a batch's columns": `
    const socket = await UdpSocket.bind({ address: '127.0.0.1' })
    socket.send('x', socket.address())
    let batch
    while ((batch = socket.tryReceive()) === undefined) await new Promise(setImmediate)
    const view = batch.offsets`,
}

const ways = {
  // Node.js 22 moves what is marked as untransferable; 20 has no such method, later releases refuse.
  'ArrayBuffer#transfer': `
    const moved = view.buffer.transfer()`,
  // Node.js 20 and 22 move it.
  "a byte stream's reader": `
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength)
    const stream = new ReadableStream({ type: 'bytes', pull({ byobRequest }) { byobRequest.respond(1) } })
    const moved = (await stream.getReader({ mode: 'byob' }).read(bytes)).value.buffer`,
}

const cases = Object.keys(memories).flatMap((memory) =>
  Object.keys(ways).map((way) => [memory, way] as [keyof typeof memories, keyof typeof ways]),
)

test.each(cases)('%s that %s has moved to another thread outlives its own', async (memory, way) => {
  const seen = await resultOf<Seen>(
    `
    const worker = startWorker(${JSON.stringify(`
      let message
      // In debug mode a lent view lies on memory of its own, which native does not write.
      process.env.WRAITH_DEBUG = ''
      try {
        ${memories[memory]}
        ${ways[way]}
        parentPort.postMessage(moved, [moved])
      } catch (error) {
        parentPort.postMessage(String(error))
      }
      // The port closes, so that the worker ends with its socket open.
      process.exit(0)
    `)})
    const [[message], [exit]] = await Promise.all([once(worker, 'message'), once(worker, 'exit')])
    const moved = typeof message !== 'string'
    const bytes = moved ? new Uint8Array(message) : []
    let read = 0
    for (const byte of bytes) read += Number(byte >= 0)
    bytes.fill?.(1)
    print({ exit, read, refused: moved ? '' : message })
    `,
    { bare: true },
  )
  expect(seen.exit).toBe(0)
  if (seen.refused === '') expect(seen.read).toBeGreaterThan(4095)
  else expect(seen.refused).toMatch(/TypeError|DataCloneError/)
})
