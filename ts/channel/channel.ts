/// <reference lib="esnext.disposable" preserve="true" />
import { fromNative, invalidType, WraithError, wrapNative } from '../errors.js'
import { keepHere } from '../exported.js'
import { type NativeChannel, native } from '../native.js'
import { BufferPool, type PoolInternals, poolInternals } from '../pool/buffer-pool.js'
import { isGuard, type PooledBuffer, peekTicket, type Ticket, takeTicket } from '../pool/guard.js'
import { MAX_CAPACITY } from '../pool/options.js'
import { callable, checkOptions, wholeNumber } from '../validate.js'
import type { ChannelBatch } from './batch.js'
import { type ChannelHandler, channelClosed, Inbox } from './inbox.js'
import { Outbox } from './outbox.js'
import { type ChannelToken, checkToken, makeToken } from './token.js'

/** The bits of the depth word that count; the highest says that the channel is closed. */
const DEPTH = 0x7fff_ffff

/** Options of {@link BufferChannel}. */
export interface ChannelOptions {
  /**
   * How many buffers may be in the channel before `send` refuses more, 1 to 1,048,576. Each thread that sends goes by what it sees,
   * so that several together may exceed it, each by fewer than 32. Default: the pool's capacity, which is never exceeded.
   */
  readonly capacity?: number
  /**
   * Buffers with up to so many bytes in use are copied, when they are sent and when they are received, which costs less than to
   * make their memory disappear in one thread and appear in another. 0: never. At most 65,536, default 8192. Each thread chooses.
   */
  readonly copyUpTo?: number
}

const OPTIONS = ['capacity', 'copyUpTo'] as const satisfies readonly (keyof ChannelOptions)[]
/** Well below where copying on both sides begins to cost more than renaming memory on both: 16 to 32 KiB. */
const COPY_UP_TO = 8192
const MAX_COPY = 65_536

/** Counters of a channel, over all threads, at one moment. */
export interface ChannelMetrics {
  /** Buffers that are in it. */
  readonly queued: number
  readonly capacity: number
  /** Buffers that were put into it. */
  readonly sent: number
  /** Buffers that were taken out by a consumer. */
  readonly received: number
  /** Buffers that went home unreceived, because the channel or the pool was closed. */
  readonly dropped: number
}

/** What the constructor takes from `attach`. */
class Attaching {
  readonly native: NativeChannel
  readonly options: ChannelOptions
  constructor(native: NativeChannel, options: ChannelOptions) {
    this.native = native
    this.options = options
  }
}

/**
 * A queue that carries buffers of a shared pool from any number of threads to one, without a copy. The receiver is woken once for
 * all that has come, and up to 32 buffers cross in one call on either side.
 *
 * What is sent in a turn of the event loop leaves at the latest at the end of that turn. Buffers in the channel belong to it:
 * they wait when the receiver's thread ends, for whoever receives next, and go home, zeroed, when the channel or the pool is
 * closed, or when no thread that has the channel is left.
 */
export class BufferChannel implements Disposable, AsyncIterable<ChannelBatch> {
  /** How many buffers may be in it. */
  readonly capacity: number
  readonly #native: NativeChannel
  readonly #pool: PoolInternals
  readonly #depth: Uint32Array
  readonly #outbox: Outbox
  readonly #inbox: Inbox
  readonly #poolEnds = (): void => this.#end()
  /** The capacity; 0 once this handle has ended. */
  #limit: number
  #ended = false

  /**
   * @param pool a shared pool, in the thread that made it or in one that has attached
   * @throws WRAITH_ERR_NOT_SHARED, WRAITH_ERR_POOL_CLOSED, WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_OUT_OF_RANGE,
   *   WRAITH_ERR_UNKNOWN_OPTION
   */
  constructor(pool: BufferPool, options: ChannelOptions = {}) {
    const inside = internalsOf(pool)
    const given = options instanceof Attaching ? options.options : options
    const copyUpTo = checkCopyUpTo(given, 'BufferChannel', inside)
    const { capacity = inside.slots.capacity } = given
    this.capacity = wholeNumber('capacity', capacity, 1, MAX_CAPACITY)
    this.#limit = this.capacity
    inside.checkOpen()
    this.#pool = inside
    this.#native =
      options instanceof Attaching
        ? options.native
        : fromNative(() => native().createChannel(inside.id, copyUpTo))
    this.#depth = new Uint32Array(keepHere(this.#native.depth))
    keepHere(this.#native.slots)
    this.#outbox = new Outbox(this.#native, inside.slots)
    this.#inbox = new Inbox(this.#native, inside, copyUpTo)
    inside.endings.add(this.#poolEnds)
  }

  /**
   * The channel of another thread, by what `share()` returned there.
   *
   * @param pool this thread's attachment to the channel's pool
   * @throws WRAITH_ERR_STALE_TOKEN: the channel is gone, or of another process, WRAITH_ERR_CHANNEL_CLOSED,
   *   WRAITH_ERR_FOREIGN_BUFFER: it is a channel of another pool, and as the constructor
   */
  static attach(token: ChannelToken, pool: BufferPool, options: ChannelOptions = {}): BufferChannel {
    const id = checkToken(token)
    const inside = internalsOf(pool)
    const copyUpTo = checkCopyUpTo(options, 'BufferChannel.attach', inside)
    inside.checkOpen()
    let made: NativeChannel
    try {
      made = native().attachChannel(id, inside.id, copyUpTo)
    } catch (thrown) {
      throw refusal(wrapNative(thrown))
    }
    return new BufferChannel(pool, new Attaching(made, options) as ChannelOptions)
  }

  /**
   * What other threads attach to this channel with. Post it, or pass it as `workerData`.
   *
   * @throws WRAITH_ERR_CHANNEL_CLOSED
   */
  share(): ChannelToken {
    if (this.closed) throw channelClosed()
    return makeToken(this.#native.id)
  }

  /**
   * Gives a buffer away, with its `length`, to whoever receives. The guard is stale, and every view of the buffer in this thread is
   * empty when it leaves: when 32 were sent, at the end of this turn, or with `flush()`. Until then, what is written to a view may
   * be seen by the receiver.
   *
   * A buffer that is not of this shared pool is copied into one that is.
   *
   * @returns `false`: the channel is full, or there is no buffer to copy into. The guard is as it was then.
   * @throws WRAITH_ERR_STALE_BUFFER, WRAITH_ERR_CHANNEL_CLOSED, WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_OUT_OF_RANGE: more bytes
   *   than fit
   */
  send(guard: PooledBuffer): boolean {
    if (!isGuard(guard)) throw invalidType('guard', guard, 'a guard that acquire() returned')
    const { home } = peekTicket(guard)
    if ((this.#depth[0] as number) + this.#outbox.count >= this.#limit) {
      if (this.closed) throw channelClosed()
      return false
    }
    if (home !== this.#pool.slots) return this.#sendCopy(guard)
    this.#outbox.add(takeTicket(guard))
    return true
  }

  /**
   * Sends several, in their order, as far as there is room.
   *
   * @returns how many went, from the first on
   * @throws as {@link BufferChannel.send}; those before the one that is refused are under way
   */
  sendMany(guards: Iterable<PooledBuffer>): number {
    let sent = 0
    for (const guard of guards) {
      if (!this.send(guard)) break
      sent++
    }
    return sent
  }

  /** Lets what was sent leave now, and not only at the end of the turn. */
  flush(): void {
    this.#outbox.flush()
  }

  /**
   * Calls `handler` with each batch. The batch ends when the handler returns, or when the promise that it returns settles; only then
   * comes the next one. What the handler throws is an uncaught exception, and the next batch comes all the same. The event loop is
   * kept alive until `stop()` or `close()`.
   *
   * @throws WRAITH_ERR_BUSY: somebody consumes, in whatever thread, WRAITH_ERR_CHANNEL_CLOSED, WRAITH_ERR_INVALID_ARG_TYPE
   */
  consume(handler: ChannelHandler): this {
    callable('handler', handler)
    this.#inbox.consume(handler)
    return this
  }

  /** The consumer of this thread leaves, and its batch ends. What is in the channel waits for the next one, in whatever thread. */
  stop(): void {
    this.#inbox.stop()
  }

  /**
   * A batch, if there is one now; ends the one that this returned before. This thread is the one who receives from then on, until
   * `stop()`.
   *
   * @throws WRAITH_ERR_BUSY, WRAITH_ERR_CHANNEL_CLOSED
   */
  tryReceive(): ChannelBatch | undefined {
    return this.#inbox.tryReceive()
  }

  /**
   * The batches, each until the next one is asked for. Ends when the channel is closed; leaving the loop is `stop()`.
   *
   * @throws WRAITH_ERR_BUSY, WRAITH_ERR_CHANNEL_CLOSED
   */
  [Symbol.asyncIterator](): AsyncGenerator<ChannelBatch, void, undefined> {
    return this.#inbox.iterate()
  }

  /** Buffers that are in it now, with those of this thread that are about to leave. */
  get queued(): number {
    return ((this.#depth[0] as number) & DEPTH) + this.#outbox.count
  }

  /** Whether the channel was closed, by whatever thread, or with its pool. */
  get closed(): boolean {
    return this.#ended || (this.#depth[0] as number) > DEPTH
  }

  /** What it has done, frozen. */
  metrics(): ChannelMetrics {
    const [sent = 0, received = 0, dropped = 0] = this.#native.counts()
    return Object.freeze({ queued: this.queued, capacity: this.capacity, sent, received, dropped })
  }

  /** A consumer keeps the event loop alive (the default). */
  ref(): this {
    this.#inbox.referred = true
    return this
  }

  /** A consumer does not keep the event loop alive. */
  unref(): this {
    this.#inbox.referred = false
    return this
  }

  /** Ends the channel for all threads: what is in it goes home, consumers get no more. Does nothing the second time. */
  close(): void {
    if (this.#ended) return
    this.#native.close()
    this.#end()
  }

  /** As {@link BufferChannel.close}, for `using`. */
  [Symbol.dispose](): void {
    this.close()
  }

  /** This handle is of no more use: the channel was closed, or this thread's pool. */
  #end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#limit = 0
    this.#pool.endings.delete(this.#poolEnds)
    this.#outbox.flush()
    this.#inbox.end()
  }

  #sendCopy(guard: PooledBuffer): boolean {
    const { slots } = this.#pool
    const { length } = guard
    if (length > slots.bufferSize) {
      throw new WraithError(
        'WRAITH_ERR_OUT_OF_RANGE',
        `guard.length must be at most ${slots.bufferSize}, the bufferSize of the channel's pool, but is ${length}. ` +
          'Make the pool with larger buffers.',
        { option: 'guard' },
      )
    }
    const ticket: Ticket | undefined = slots.take()
    if (ticket === undefined) return false
    ticket.view.set(guard.data)
    ticket.length = length
    guard.dispose()
    this.#outbox.add(ticket)
    return true
  }
}

/** The limit as far as it matters: no buffer has more bytes than the pool's. */
function checkCopyUpTo(options: ChannelOptions, call: string, { slots }: PoolInternals): number {
  const { copyUpTo = COPY_UP_TO } = checkOptions(call, options, OPTIONS)
  return Math.min(wholeNumber('copyUpTo', copyUpTo, 0, MAX_COPY), slots.bufferSize)
}

function internalsOf(pool: BufferPool): PoolInternals {
  if (!(pool instanceof BufferPool)) throw invalidType('pool', pool, 'a BufferPool')
  const inside = poolInternals(pool)
  if (inside.slots.shared) return inside
  throw new WraithError(
    'WRAITH_ERR_NOT_SHARED',
    'a channel was asked of a private pool. Make the pool with { shared: true }.',
    { option: 'pool' },
  )
}

function refusal(error: unknown): unknown {
  if (!(error instanceof WraithError)) return error
  switch (error.code) {
    case 'WRAITH_ERR_CHANNEL_CLOSED':
      return channelClosed()
    case 'WRAITH_ERR_STALE_TOKEN':
      return new WraithError(
        'WRAITH_ERR_STALE_TOKEN',
        'the token names no channel that is alive in this process. Keep the channel that was shared until others have attached; a ' +
          'token is good within one process. Make sure that it is the value that share() returned.',
        { option: 'token' },
      )
    case 'WRAITH_ERR_FOREIGN_BUFFER':
      return new WraithError('WRAITH_ERR_FOREIGN_BUFFER', error.message, { option: 'pool' })
    default:
      return error
  }
}
