// What a user of the published types writes. It is compiled in the packaging test, never run.
import { type Batch, BufferPool, UdpSocket, WraithError, type WraithErrorCode } from 'wraith-transport'

const pool = new BufferPool({ bufferSize: 2048, capacity: 1024, onExhausted: 'throw' })
{
  using guard = pool.acquire()
  guard.bytes.set([1, 2, 3])
  guard.length = 3
  // The bytes have a type of their own, with and without @types/node.
  const untouched: boolean = guard.bytes.subarray(3).every((byte) => byte === 0)
  // @ts-expect-error: there is no such method
  guard.bytes.nonsense()
  const data: Uint8Array = guard.data
  console.log(data.byteLength, untouched, pool.available, pool.metrics(), pool.audit())
}

function read(batch: Batch): number {
  let total = 0
  for (let i = 0; i < batch.length; i++) {
    const bytes: Uint8Array = batch.bytes(i)
    const { address, family, port } = batch.peer(i)
    total += bytes.byteLength + address.length + family.length + port
  }
  return total
}

async function receive(signal: AbortSignal): Promise<void> {
  await using socket = await UdpSocket.bind({ port: 0, address: '127.0.0.1', signal })
  const sent: boolean = socket.send(new Uint8Array(8), 8125, '127.0.0.1')
  console.log(sent)
  for await (const batch of socket) read(batch)
}

try {
  await receive(new AbortController().signal)
} catch (error) {
  if (error instanceof WraithError) {
    const code: WraithErrorCode = error.code
    console.log(code, error.message)
  }
}
