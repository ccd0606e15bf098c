// Compiled by scripts/test.mjs with the whole project, never run. An expected error that does not come is an error.
import { parentPort } from 'node:worker_threads'
import {
  type AcquireOptions,
  type AttachOptions,
  BufferPool,
  type BufferTicket,
  type ExerciseResult,
  type IsolateMetrics,
  type PooledBuffer,
  type PooledBuffers,
  type PoolToken,
  type SharedPoolMetrics,
} from 'wraith-transport'

import { type Equal, expectTrue } from './equal.ts'

const pool = new BufferPool({ shared: true, ticketTimeout: 1000 })
// @ts-expect-error true or false
new BufferPool({ shared: 'yes' })

expectTrue<Equal<ReturnType<typeof pool.share>, PoolToken>>()
const token: PoolToken = structuredClone(pool.share())
const options = {
  onExhausted: 'throw',
  maxFallback: 0,
  leakDetection: 'off',
} as const satisfies AttachOptions
expectTrue<Equal<ReturnType<typeof BufferPool.attach>, BufferPool>>()
BufferPool.attach(token, options)
// @ts-expect-error the size is the pool's
BufferPool.attach(token, { bufferSize: 5 })
// @ts-expect-error a socket's token
BufferPool.attach({ kind: 'wraith-transport/udp', id: '' })

const guard: PooledBuffer = pool.acquire()
expectTrue<Equal<ReturnType<typeof guard.transfer>, BufferTicket>>()
const ticket = guard.transfer()
parentPort?.postMessage(ticket)
parentPort?.postMessage(ticket.token)
const cancelled: boolean = ticket.cancel()
// @ts-expect-error tickets come from transfer()
const made: BufferTicket = { token: '' }
// @ts-expect-error read-only
ticket.token = ''
expectTrue<Equal<ReturnType<typeof pool.adopt>, PooledBuffer>>()
pool.adopt(ticket)
pool.adopt(structuredClone(ticket) as { token: string })
pool.adopt(ticket.token)
pool.adopt(pool.acquire())
// @ts-expect-error bytes are no ticket
pool.adopt(new Uint8Array(8))

expectTrue<Equal<ReturnType<PooledBuffers['transfer']>, BufferTicket>>()
expectTrue<Equal<ReturnType<typeof pool.adoptMany>, PooledBuffers>>()
pool.adoptMany(pool.acquireMany(2).transfer())
// @ts-expect-error one guard is for adopt()
pool.adoptMany(pool.acquire())

const waiting = { signal: AbortSignal.timeout(5) } as const satisfies AcquireOptions
expectTrue<Equal<ReturnType<typeof pool.acquireAsync>, Promise<PooledBuffer>>>()
void pool.acquireAsync()
void pool.acquireAsync(waiting)
// @ts-expect-error a signal is asked for
void pool.acquireAsync({ signal: 5 })

const metrics = pool.metrics()
expectTrue<Equal<typeof metrics.pool, SharedPoolMetrics | undefined>>()
expectTrue<Equal<typeof metrics.isolates, readonly IsolateMetrics[] | undefined>>()
const elsewhere: number = metrics.cachedElsewhere + pool.cachedElsewhere + pool.audit().elsewhere
expectTrue<Equal<ReturnType<typeof pool.exercise>, Promise<ExerciseResult>>>()
void pool.exercise({ threads: 2, acquires: 10 })
// @ts-expect-error no such option
void pool.exercise({ seconds: 5 })

void [cancelled, made, elsewhere]
