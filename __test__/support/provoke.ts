import { cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import {
  type Batch,
  BufferChannel,
  BufferPool,
  FrameColumns,
  parseFrame,
  parseFrames,
  recommendPoolSize,
  UdpSocket,
  type WraithError,
  type WraithErrorCode,
} from 'wraith-transport'

import { childPath, childResult } from './child.ts'
import { rejectionOf } from './errors.ts'
import { makePool } from './pools.ts'

/** An error as it is seen here, or as a child process reported it. */
export type Seen = Pick<WraithError, 'code' | 'message'> & Partial<Omit<WraithError, 'code' | 'message'>>

const dist = (path = '') => fileURLToPath(new URL(`../../dist/${path}`, import.meta.url))
const loopback = { address: '127.0.0.1' } as const

/** Runs `use` with a socket of its own pool and closes it. */
async function withSocket(use: (socket: UdpSocket) => unknown, options = {}): Promise<Seen> {
  const socket = await UdpSocket.bind({ ...loopback, ...options })
  try {
    return await rejectionOf(() => use(socket))
  } finally {
    await socket.close()
  }
}

/** A batch that has ended. */
function endedBatch(socket: UdpSocket): Promise<Batch> {
  socket.send('x', socket.address().port)
  return new Promise((resolve) => {
    socket.consume((batch) => setImmediate(() => resolve(batch)))
  })
}

/** An error of a socket in a process where system calls fail with `errno`, as they do in some sandboxes. */
function sandboxed(errno: number, calls: string, how: string): Promise<Seen> {
  const under = ['perl', childPath('with-seccomp.pl'), String(errno), calls]
  return childResult<Seen>('udp-error.mjs', { under, args: [how] })
}

const SENDING = 'sendmsg,sendmmsg,sendto'
const [EIO, EAGAIN, ENOSYS] = [5, 11, 38]

/** How to get each code for real: one entry for every code, or the suite does not compile. */
export const provoke: { readonly [Code in WraithErrorCode]: () => Promise<Seen> } = {
  WRAITH_ERR_INVALID_ARG_TYPE: () => rejectionOf(() => new BufferPool({ capacity: '8' as never })),
  WRAITH_ERR_OUT_OF_RANGE: () =>
    rejectionOf(() => recommendPoolSize({ packetsPerSecond: -1, processingMs: 1 })),
  WRAITH_ERR_UNKNOWN_OPTION: () => rejectionOf(() => UdpSocket.bind({ prot: 1 } as never)),
  WRAITH_ERR_INVALID_ADDRESS: () => rejectionOf(() => UdpSocket.bind({ address: '::1', type: 'udp4' })),
  WRAITH_ERR_SHARED_MEMORY: () =>
    withSocket((socket) => socket.send(new Uint8Array(new SharedArrayBuffer(8)), 9)),
  WRAITH_ERR_DETACHED: () =>
    rejectionOf(() => {
      const columns = new FrameColumns(1)
      const memory = columns.statuses.buffer as ArrayBuffer
      structuredClone(memory, { transfer: [memory] })
      parseFrames(new Uint8Array(28), Uint32Array.of(0), Uint32Array.of(28), columns)
    }),
  WRAITH_ERR_INVALID_FRAME: () => rejectionOf(() => parseFrame(new Uint8Array(28))),
  /** In a child that may not map more: nobody's machine has to run out of memory. */
  WRAITH_ERR_NO_MEMORY: () => childResult<Seen>('no-memory.mjs'),
  WRAITH_ERR_POOL_EXHAUSTED: async () => {
    const pool = makePool({ capacity: 1, onExhausted: 'throw' })
    using _held = pool.acquire()
    return await rejectionOf(() => pool.acquire())
  },
  WRAITH_ERR_POOL_CLOSED: async () => {
    const pool = makePool({ capacity: 1 })
    pool.close()
    return await rejectionOf(() => pool.acquire())
  },
  WRAITH_ERR_POOL_IN_USE: () => withSocket((socket) => socket.pool.close()),
  WRAITH_ERR_STALE_BUFFER: () => {
    const guard = makePool({ capacity: 1 }).acquire()
    guard.dispose()
    return rejectionOf(() => guard.bytes)
  },
  WRAITH_ERR_FOREIGN_BUFFER: async () => {
    using guard = makePool({ capacity: 1 }).acquire()
    return await rejectionOf(() => makePool({ capacity: 1 }).release(guard))
  },
  WRAITH_ERR_NOT_SHARED: () => rejectionOf(() => makePool({ capacity: 1 }).share()),
  WRAITH_ERR_STALE_TICKET: () => {
    const pool = makePool({ capacity: 1, shared: true })
    const ticket = pool.acquire().transfer()
    ticket.cancel()
    return rejectionOf(() => pool.adopt(ticket))
  },
  /** An id that no pool of this process has. */
  WRAITH_ERR_STALE_TOKEN: () =>
    rejectionOf(() => BufferPool.attach({ kind: 'wraith-transport/pool', id: '0'.repeat(32) })),
  WRAITH_ERR_STALE_BATCH: () => withSocket(async (socket) => (await endedBatch(socket)).bytes(0)),
  WRAITH_ERR_BUSY: () => withSocket((socket) => socket.consume(() => {}).consume(() => {})),
  WRAITH_ERR_SOCKET_CLOSED: () =>
    withSocket(async (socket) => {
      await socket.close()
      socket.send('x', 9)
    }),
  WRAITH_ERR_CHANNEL_CLOSED: () => {
    const channel = new BufferChannel(makePool({ capacity: 1, shared: true }))
    channel.close()
    return rejectionOf(() => channel.share())
  },
  WRAITH_ERR_ADDRESS_IN_USE: () =>
    withSocket((socket) => UdpSocket.bind({ ...loopback, port: socket.address().port })),
  /** 192.0.2.0/24 is for documentation (RFC 5737): no machine has it. */
  WRAITH_ERR_ADDRESS_NOT_AVAILABLE: () => rejectionOf(() => UdpSocket.bind({ address: '192.0.2.1' })),
  /** A broadcast address needs setBroadcast(true), also for root. */
  WRAITH_ERR_PERMISSION: () => withSocket((socket) => socket.send('x', 9, '127.255.255.255')),
  WRAITH_ERR_MESSAGE_TOO_LARGE: () => withSocket((socket) => socket.send(new Uint8Array(65_508), 9)),
  WRAITH_ERR_NOT_CONNECTED: () => withSocket((socket) => socket.send('x')),
  WRAITH_ERR_ALREADY_CONNECTED: () =>
    withSocket(async (socket) => {
      await socket.connect(9)
      await socket.connect(9)
    }),
  /** Loopback is never full for long: in a sandbox where every send would block. */
  WRAITH_ERR_QUEUE_FULL: () => sandboxed(EAGAIN, SENDING, 'queue'),
  WRAITH_ERR_ABORTED: () =>
    rejectionOf(() => UdpSocket.bind({ ...loopback, signal: AbortSignal.abort('why') })),
  /** An errno that no code stands for. */
  WRAITH_ERR_SYSTEM: () => sandboxed(EIO, SENDING, 'send'),
  /** A feature of another kernel than ours: in a sandbox without recvmmsg. */
  WRAITH_ERR_UNSUPPORTED: () => sandboxed(ENOSYS, 'recvmmsg', 'receive'),
  /** Another runtime than ours: in a child that says it is one. */
  WRAITH_ERR_RUNTIME_UNSUPPORTED: () =>
    childResult<Seen>('import-error.mjs', { args: [dist('index.js'), 'bun'] }),
  /** A platform without a binary: a copy of the package that has none. */
  WRAITH_ERR_NATIVE_MISSING: async () => {
    const copy = mkdtempSync(join(tmpdir(), 'wraith-errors-'))
    try {
      cpSync(dist(), copy, { recursive: true, filter: (source) => !source.endsWith('.node') })
      cpSync(dist('../package.json'), join(copy, 'package.json'))
      return await childResult<Seen>('import-error.mjs', { args: [join(copy, 'index.js')] })
    } finally {
      rmSync(copy, { recursive: true })
    }
  },
  /** What must not happen: in a child whose built-ins were patched, native refuses a slot that does not exist. */
  WRAITH_ERR_INTERNAL: () => childResult<Seen>('scribbled-mailbox.mjs'),
}
