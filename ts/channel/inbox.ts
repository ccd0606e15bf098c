import { AsyncResource } from 'node:async_hooks'

import { fromNative, WraithError, wrapNative } from '../errors.js'
import type { NativeChannel } from '../native.js'
import type { PoolInternals } from '../pool/buffer-pool.js'
import { ChannelBatch } from './batch.js'
import { MOST } from './outbox.js'
import { Rows } from './rows.js'

/** What `consume` calls with each batch; a promise keeps the batch until it settles. */
export type ChannelHandler = (batch: ChannelBatch) => unknown

/** A turn of the loop hands out at most this many buffers before others get theirs. */
const TURN_ROWS = 1024

interface HandlerConsumer {
  readonly kind: 'handler'
  readonly handler: ChannelHandler
  readonly resource: AsyncResource
}

interface IteratorConsumer {
  readonly kind: 'iterator'
  waiting: (() => void) | undefined
}

/** Channels that are being consumed: nothing else may refer to them. */
const consumed = new Set<Inbox>()

/** Hands batches of one channel to one consumer at a time. */
export class Inbox {
  readonly #native: NativeChannel
  readonly #rows: Rows
  readonly #endBatch = (): void => this.#rows.end()
  #consumer: HandlerConsumer | IteratorConsumer | undefined
  #listens = false
  /** The handler's promise holds the batch. */
  #held = false
  #again: NodeJS.Immediate | undefined
  #referred = true
  /** This handle receives no more. */
  #ended = false

  constructor(native: NativeChannel, pool: PoolInternals, copyUpTo: number) {
    this.#native = native
    this.#rows = new Rows(native, pool, copyUpTo)
  }

  consume(handler: ChannelHandler): void {
    this.#claim()
    // The handler runs in the async context of this call, like a listener of an emitter that was made here.
    this.#consumer = { kind: 'handler', handler, resource: new AsyncResource('WRAITH_CHANNEL') }
    this.#keep()
    this.#later()
  }

  /** The consumer leaves; its batch ends, and what is in the channel waits for the next one, in whatever thread. */
  stop(): void {
    const consumer = this.#consumer
    this.#consumer = undefined
    this.#held = false
    if (this.#again !== undefined) clearImmediate(this.#again)
    this.#again = undefined
    consumed.delete(this)
    this.#rows.end()
    if (this.#listens) {
      this.#listens = false
      this.#native.leave()
    }
    if (consumer?.kind === 'iterator') consumer.waiting?.()
    else consumer?.resource.emitDestroy()
  }

  /** As {@link Inbox.stop}, for good. */
  end(): void {
    if (this.#ended) return
    this.stop()
    this.#ended = true
  }

  tryReceive(): ChannelBatch | undefined {
    if (this.#consumer !== undefined) throw busy()
    this.#rows.end()
    this.#listen()
    return this.#receive()
  }

  set referred(keepAlive: boolean) {
    this.#referred = keepAlive
    this.#keep()
  }

  iterate(): AsyncGenerator<ChannelBatch, void, undefined> {
    const consumer: IteratorConsumer = { kind: 'iterator', waiting: undefined }
    const batches = this.#batches(consumer)
    const [leave, fail] = [batches.return.bind(batches), batches.throw.bind(batches)]
    const stop = (): void => {
      if (this.#consumer === consumer) this.stop()
    }
    // A generator that waits would answer to these when the next buffer has come, which may be never.
    batches.return = (value) => {
      stop()
      return leave(value)
    }
    batches.throw = (error) => {
      stop()
      return fail(error)
    }
    return batches
  }

  async *#batches(consumer: IteratorConsumer): AsyncGenerator<ChannelBatch, void, undefined> {
    this.#claim()
    this.#consumer = consumer
    this.#keep()
    let rows = 0
    try {
      while (this.#consumer === consumer) {
        if (rows >= TURN_ROWS) {
          await new Promise(setImmediate)
          rows = 0
          continue
        }
        const batch = this.#receive()
        if (batch === undefined) {
          rows = 0
          // Closed: receiving has ended it.
          if (this.#consumer !== consumer) return
          await new Promise<void>((resolve) => {
            consumer.waiting = resolve
          })
          consumer.waiting = undefined
          continue
        }
        rows += batch.length
        yield batch
        if (this.#consumer === consumer) this.#rows.end()
      }
    } finally {
      if (this.#consumer === consumer) this.stop()
    }
  }

  /** There is something, or the channel was closed. */
  wake(): void {
    const consumer = this.#consumer
    if (consumer?.kind === 'iterator') consumer.waiting?.()
    else this.#drain()
  }

  #later(): void {
    this.#again ??= setImmediate(() => {
      this.#again = undefined
      this.#drain()
    })
  }

  #drain(): void {
    const consumer = this.#consumer
    for (let rows = 0; consumer?.kind === 'handler' && this.#consumer === consumer && !this.#held; ) {
      if (rows >= TURN_ROWS) {
        this.#later()
        return
      }
      const batch = this.#receive()
      if (batch === undefined) return
      rows += batch.length
      let result: unknown
      try {
        result = consumer.resource.runInAsyncScope(consumer.handler, undefined, batch)
      } catch (error) {
        batch.dispose()
        // What it throws is the process's to report; the others are handed out all the same.
        if (this.#consumer === consumer) this.#later()
        throw error
      }
      // The handler has left with stop() or close(), which ended its batch; another consumer may have one by now.
      if (this.#consumer === consumer && isThenable(result)) this.#hold(consumer, batch, result)
      else batch.dispose()
    }
  }

  #hold(consumer: HandlerConsumer, batch: ChannelBatch, promise: PromiseLike<unknown>): void {
    this.#held = true
    // A rejection goes on as an unhandled one, as it does from any async listener.
    void Promise.resolve(promise).finally(() => {
      if (this.#consumer !== consumer) return
      this.#held = false
      batch.dispose()
      this.#later()
    })
  }

  #claim(): void {
    if (this.#consumer !== undefined) throw busy()
    this.#rows.end()
    this.#listen()
  }

  #listen(): void {
    if (this.#ended) throw channelClosed()
    if (this.#listens) return
    // What native holds must not hold this: it could never be collected.
    const weak = new WeakRef(this)
    try {
      this.#native.listen(() => weak.deref()?.wake())
    } catch (thrown) {
      throw refusal(wrapNative(thrown))
    }
    this.#listens = true
  }

  #receive(): ChannelBatch | undefined {
    const count = fromNative(() => this.#native.receive(MOST))
    if (count > 0) {
      this.#rows.begin(count)
      return new ChannelBatch(this.#rows, count, this.#endBatch)
    }
    if (count < 0) this.stop()
    return undefined
  }

  /** Keeps the event loop alive while somebody consumes. */
  #keep(): void {
    if (this.#consumer === undefined) return
    consumed.add(this)
    this.#native.setRef(this.#referred)
  }
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof (value as PromiseLike<unknown> | null | undefined)?.then === 'function'
}

function busy(): WraithError {
  return new WraithError(
    'WRAITH_ERR_BUSY',
    'this channel already has a consumer. Call stop(), or leave the for await loop, before starting another.',
  )
}

function refusal(error: unknown): unknown {
  if (!(error instanceof WraithError)) return error
  if (error.code === 'WRAITH_ERR_BUSY') return busy()
  return error.code === 'WRAITH_ERR_CHANNEL_CLOSED' ? channelClosed() : error
}

/** A channel that was closed. */
export function channelClosed(): WraithError {
  return new WraithError(
    'WRAITH_ERR_CHANNEL_CLOSED',
    'the channel is closed. Make a new one of an open pool.',
  )
}
