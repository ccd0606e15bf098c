import { once } from 'node:events'
import { Worker } from 'node:worker_threads'
import type { AttachOptions, BufferChannel, BufferPool, PooledBuffer, PoolToken } from 'wraith-transport'

/** What a task sees in its worker: its pool, what earlier tasks kept, and the package. */
export interface Inside {
  readonly pool: BufferPool
  readonly kept: PooledBuffer[]
  readonly BufferPool: typeof BufferPool
  readonly BufferChannel: typeof BufferChannel
  /** What a task leaves for the next ones. */
  readonly notes: Record<string, unknown>
}

interface Answer {
  readonly value?: unknown
  readonly error?: { readonly code?: string; readonly message: string }
}

const dist = new URL('../../dist/index.js', import.meta.url).href

const program = `
  const { parentPort, workerData } = require('node:worker_threads')
  import(${JSON.stringify(dist)}).then(({ BufferPool, BufferChannel }) => {
    const inside = { pool: BufferPool.attach(workerData.token, workerData.options), kept: [], notes: {}, BufferPool, BufferChannel }
    parentPort.on('message', async ({ task, given }) => {
      try {
        parentPort.postMessage({ value: await (0, eval)('(' + task + ')')(inside, given) })
      } catch ({ code, message }) {
        parentPort.postMessage({ error: { code, message } })
      }
    })
    parentPort.postMessage({ value: 'ready' })
  }).catch(({ code, message }) => parentPort.postMessage({ error: { code, message } }))`

/** A thread that is attached to a pool and runs what it is given, one task after the other. */
export class PoolWorker {
  readonly thread: Worker

  private constructor(token: PoolToken, options: AttachOptions, data: object) {
    this.thread = new Worker(program, { eval: true, workerData: { token, options, ...data } })
  }

  /** Resolves when the worker has attached, or rejects with why it could not. */
  static async start(token: PoolToken, options: AttachOptions = {}): Promise<PoolWorker> {
    const worker = new PoolWorker(token, options, {})
    await worker.#answer()
    return worker
  }

  /** Runs `task` in the worker: it may use nothing but its arguments. */
  run<Given, Result>(
    task: (inside: Inside, given: Given) => Result,
    given?: Given,
  ): Promise<Awaited<Result>> {
    this.thread.postMessage({ task: String(task), given })
    return this.#answer() as Promise<Awaited<Result>>
  }

  /** Ends the thread wherever it is. */
  async terminate(): Promise<void> {
    await this.thread.terminate()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.terminate()
  }

  async #answer(): Promise<unknown> {
    const [{ value, error }] = (await once(this.thread, 'message')) as [Answer]
    if (error !== undefined) throw Object.assign(new Error(error.message), { code: error.code })
    return value
  }
}

/** Turns of the event loop: what other threads have told it has been handled. */
export async function turns(count = 3): Promise<void> {
  for (let i = 0; i < count; i++) await new Promise(setImmediate)
}

/** Waits, turn by turn, for what other threads or the collector bring about. */
export async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise(setImmediate)
}
