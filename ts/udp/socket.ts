/// <reference lib="esnext.disposable" preserve="true" />
import { throwIfAborted } from '../abort.js'
import { fromNative, type WraithError, wrapNative } from '../errors.js'
import { Events } from '../events.js'
import type { NativeDispatch, NativeUdp } from '../native.js'
import { type BufferPool, type PoolInternals, poolInternals } from '../pool/buffer-pool.js'
import type { PooledBuffer } from '../pool/guard.js'
import type { Batch } from '../receive/batch.js'
import {
  BATCH,
  type BatchHandler,
  CLOSED,
  DONE,
  Reader,
  STARVED,
  socketClosed,
  WRITABLE,
} from '../receive/reader.js'
import { callable, wholeNumber } from '../validate.js'
import { attachNative, bindNative, ownPool, resolve } from './bind.js'
import { SocketControls } from './controls.js'
import { type CheckedReceive, checkAttachOptions, checkBindOptions } from './options.js'
import type { Peer } from './peers.js'
import { UdpRows } from './rows.js'
import { Sender } from './sender.js'
import { checkToken, makeToken, type UdpSocketToken } from './token.js'
import type { UdpAttachOptions, UdpInfo, UdpMetrics, UdpSocketOptions } from './types.js'

interface UdpEventMap {
  /** A send that returned `false` would succeed now. */
  drain: []
  /** A system call failed for a reason of this machine's; reading is paused. Without a listener it is thrown. */
  error: [error: WraithError]
  /** The descriptor is closed. */
  close: []
}

/** How a handle comes by its native half: `pool` is the id of the pool to receive into. */
type Open = (pool: string, dispatch: NativeDispatch) => NativeUdp

/** The largest payload of a datagram: 65535 less the IPv4 and UDP headers, and the UDP header alone for IPv6. */
const MAX_PAYLOAD = { 4: 65_507, 6: 65_527 } as const

/**
 * A UDP socket that receives batches into the slots of a pool.
 *
 * Packets are read when there is a consumer (`consume`, `for await`, `tryReceive`) and wait in the kernel's buffer
 * otherwise. Everything runs on the event loop of the isolate that bound the socket; there is no thread.
 */
export class UdpSocket extends SocketControls implements AsyncDisposable, Disposable {
  readonly #native: NativeUdp
  readonly #options: CheckedReceive
  readonly #pool: BufferPool
  readonly #internals: PoolInternals
  readonly #ownsPool: boolean
  readonly #reader: Reader<UdpRows>
  readonly #sender: Sender
  readonly #events = new Events<UdpEventMap>(['drain', 'error', 'close'])
  readonly #onAbort = (): void => void this.close()
  readonly #closedPromise: Promise<void>
  #resolveClosed: () => void = () => {}
  #closed = false
  #warned = false
  #label: string
  #lastMetrics: UdpMetrics | undefined

  private constructor(label: string, options: CheckedReceive, open: Open) {
    super(
      (call, option) => this.#call(call, option),
      () => this.#native.family,
    )
    this.#options = options
    this.#ownsPool = options.pool === undefined
    this.#pool = options.pool ?? ownPool(options)
    this.#internals = poolInternals(this.#pool)
    this.#label = label
    this.#closedPromise = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    this.#native = open(this.#internals.id, (kind, value) =>
      kind === BATCH ? this.#reader.onRows(value as number) : this.#dispatch(kind, value),
    )
    this.#reader = new Reader({
      native: this.#native,
      pool: this.#internals,
      rows: (short) => new UdpRows(this.#native, this.#internals, short),
      name: () => this.#label,
      resource: 'WRAITH_UDP',
      onBatch: (rows, count) => {
        if (options.onTruncated === 'warn' && !this.#warned) this.#warnTruncated(rows, count)
      },
    })
    this.#sender = new Sender(this.#native, this.#internals.slots, this.#native.family)
    this.#internals.attach(this.#reader)
    this.#label = `the UDP socket on ${text(this.address())}`
    options.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /**
   * Binds a socket. Host names are resolved; nothing else waits.
   *
   * @throws (rejects) WRAITH_ERR_ADDRESS_IN_USE, WRAITH_ERR_ADDRESS_NOT_AVAILABLE, WRAITH_ERR_PERMISSION,
   *   WRAITH_ERR_INVALID_ADDRESS, WRAITH_ERR_POOL_CLOSED, WRAITH_ERR_ABORTED, those of the options and those of
   *   {@link BufferPool}
   */
  static override async bind(options: UdpSocketOptions = {}): Promise<UdpSocket> {
    const checked = checkBindOptions(options)
    throwIfAborted(checked)
    const address = checked.address === undefined ? undefined : await resolve(checked.address, checked.family)
    throwIfAborted(checked)
    if (checked.pool !== undefined) poolInternals(checked.pool).checkOpen()
    const label = `the UDP socket on port ${checked.port}`
    return new UdpSocket(label, checked, (pool, dispatch) => bindNative(checked, pool, address, dispatch))
  }

  /**
   * One more handle of a socket that was shared, here or in another worker thread, with the lease to read from it: packets
   * that wait in the kernel are this handle's now, also those that came while a predecessor died. Everything that belongs to the
   * socket and not to a handle is as it was: address, connection, memberships, timestamps, counters.
   *
   * @param token what `share()` returned, posted or cloned as often as one likes
   * @throws WRAITH_ERR_STALE_TOKEN (the socket is closed, or was shared in another process), WRAITH_ERR_BUSY (another handle
   *   has the lease), WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_POOL_CLOSED, WRAITH_ERR_ABORTED, those of the
   *   options and those of {@link BufferPool}
   */
  static attach(token: UdpSocketToken, options: UdpAttachOptions = {}): UdpSocket {
    const id = checkToken(token)
    const checked = checkAttachOptions(options)
    throwIfAborted(checked)
    if (checked.pool !== undefined) poolInternals(checked.pool).checkOpen()
    return new UdpSocket('a shared UDP socket', checked, (pool, dispatch) =>
      attachNative(checked, id, pool, dispatch),
    )
  }

  /**
   * Shares the socket with other worker threads, and gives up this handle's lease to read from it. The token can be posted;
   * whoever attaches with it first has the lease. From now on the descriptor belongs to the process: it survives the end
   * of any worker, and is closed when the last handle is closed with `close()`. Hence keep one where nothing ends it.
   *
   * This handle stays good for everything else. `consume`, `for await` and `tryReceive` take the lease again when it is free.
   * Called again it gives the lease up again and returns an equal token.
   *
   * @throws WRAITH_ERR_BUSY (it has a consumer, or a batch is out), WRAITH_ERR_SOCKET_CLOSED
   */
  share(): UdpSocketToken {
    return makeToken(this.#reader.share())
  }

  /** The pool that packets are received into. */
  get pool(): BufferPool {
    return this.#pool
  }

  /**
   * Calls `handler` with each batch, in the async context of this call. The batch is the handler's until it returns; if
   * it returns a promise, until that settles, and no other batch comes meanwhile. What it throws is an uncaught exception,
   * and the next batch comes all the same.
   *
   * @throws WRAITH_ERR_BUSY (it has a consumer; another handle of a shared socket reads), WRAITH_ERR_SOCKET_CLOSED
   */
  consume(handler: BatchHandler): this {
    this.#reader.consume(callable('handler', handler))
    return this
  }

  /** Ends `consume` or a `for await` loop. Packets wait in the kernel until there is another consumer. */
  stop(): this {
    this.#reader.stop()
    return this
  }

  /** Batches one after the other; each is lent until the next turn. Leaving the loop stops reading. */
  [Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    return this.#reader.iterate()
  }

  /**
   * A batch of the packets that are waiting in the kernel, or `undefined`. It is lent until its `dispose()` or the next
   * call.
   *
   * @throws WRAITH_ERR_BUSY, WRAITH_ERR_SOCKET_CLOSED
   */
  tryReceive(): Batch | undefined {
    return this.#reader.tryReceive()
  }

  /** Stops reading for a while; the consumer stays. A paused socket costs no CPU and does not keep the process alive. */
  pause(): this {
    this.#reader.pause()
    return this
  }

  /** Reads on. */
  resume(): this {
    this.#reader.resume()
    return this
  }

  /** Whether `pause()` was called last. */
  get paused(): boolean {
    return this.#reader.paused
  }

  /**
   * Sends one datagram; the bytes are copied by the kernel before this returns. `false` when the send buffer is full:
   * nothing was sent, try again after `'drain'`.
   *
   * @param bytes a `Uint8Array` (not of shared or resizable memory), or a string, sent as UTF-8
   * @param to a port and an IP address (default: this machine), a {@link Peer}, or nothing on a connected socket
   * @throws WRAITH_ERR_NOT_CONNECTED, WRAITH_ERR_ALREADY_CONNECTED, WRAITH_ERR_INVALID_ADDRESS,
   *   WRAITH_ERR_MESSAGE_TOO_LARGE, WRAITH_ERR_SHARED_MEMORY, WRAITH_ERR_PERMISSION, WRAITH_ERR_SYSTEM
   */
  send(bytes: Uint8Array | string): boolean
  send(bytes: Uint8Array | string, peer: Peer): boolean
  send(bytes: Uint8Array | string, port: number, address?: string): boolean
  send(bytes: Uint8Array | string, to?: Peer | number, address?: string): boolean {
    this.#open()
    return this.#sender.send(bytes, to, address, undefined)
  }

  /**
   * Sends the bytes as datagrams of `segmentSize` bytes each, the last one shorter, with one system call and one way
   * through the network stack (UDP_SEGMENT): several times cheaper a packet than {@link UdpSocket.send}. At most 64
   * datagrams, and 65,507 bytes in all (IPv6: 65,527). All of them are sent, or `false` and none.
   *
   * @throws as {@link UdpSocket.send}; WRAITH_ERR_OUT_OF_RANGE, WRAITH_ERR_UNSUPPORTED
   */
  sendSegments(bytes: Uint8Array | string, segmentSize: number): boolean
  sendSegments(bytes: Uint8Array | string, segmentSize: number, peer: Peer): boolean
  sendSegments(bytes: Uint8Array | string, segmentSize: number, port: number, address?: string): boolean
  sendSegments(
    bytes: Uint8Array | string,
    segmentSize: number,
    to?: Peer | number,
    address?: string,
  ): boolean {
    const segment = wholeNumber('segmentSize', segmentSize, 1, MAX_PAYLOAD[this.#native.family])
    this.#open()
    return this.#sender.send(bytes, to, address, segment)
  }

  /**
   * Sends the bytes in use of a guard and takes the guard over: its buffer goes home when the kernel has the bytes. When
   * the send buffer is full it waits in a queue of 1024, in order, and `false` is returned: slow down until `'drain'`.
   *
   * @throws as {@link UdpSocket.send}; WRAITH_ERR_STALE_BUFFER, WRAITH_ERR_QUEUE_FULL. When it
   *   throws, the guard is still yours.
   */
  sendOwned(guard: PooledBuffer, peer?: Peer): boolean {
    this.#open()
    return this.#sender.sendOwned(guard, peer)
  }

  /** A reading socket keeps the process alive; this is how it is by default. */
  ref(): this {
    if (!this.#closed) this.#native.setRef(true)
    return this
  }

  /** A reading socket does not keep the process alive. */
  unref(): this {
    if (!this.#closed) this.#native.setRef(false)
    return this
  }

  /** Whether a reading socket keeps the process alive. */
  hasRef(): boolean {
    return !this.#closed && this.#native.hasRef()
  }

  /** Counters, frozen. After `close()`: those of its last moment. One system call. */
  metrics(): UdpMetrics {
    if (this.#lastMetrics !== undefined) return this.#lastMetrics
    return Object.freeze(fromNative(() => this.#native.metrics()) as unknown as UdpMetrics)
  }

  /** How the socket is set up: what was asked for and what the kernel gave. */
  info(): UdpInfo {
    const { recv, send } = this.#call((socket) => socket.bufferSizes())
    return Object.freeze({
      backend: this.#options.backend,
      batchSize: this.#options.batchSize,
      timestamps: this.#native.timestamps,
      recvBuffer: Object.freeze(recv),
      sendBuffer: Object.freeze(send),
    })
  }

  /**
   * Closes the socket. Its batch ends, slots go home, queued sends are dropped, a `for await` loop ends. Idempotent. Of a
   * shared socket it closes this handle; what waits in the kernel is for the next one, unless this was the last.
   *
   * @returns {@link UdpSocket.closed}
   */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#lastMetrics = this.metrics()
      this.#closed = true
      this.#options.signal?.removeEventListener('abort', this.#onAbort)
      this.#native.close()
      this.#reader.close()
      // Other sockets may have been given this one's pool.
      if (this.#ownsPool) this.#pool[Symbol.dispose]()
    }
    return this.#closedPromise
  }

  /** Resolves when the descriptor is closed and the port is free again; when others share it: when this handle is closed. */
  get closed(): Promise<void> {
    return this.#closedPromise
  }

  /** As {@link UdpSocket.close}, for `using`. */
  [Symbol.dispose](): void {
    void this.close()
  }

  /** As {@link UdpSocket.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Calls `listener` at each of these events. */
  on<K extends keyof UdpEventMap>(event: K, listener: (...args: UdpEventMap[K]) => void): this {
    this.#events.add(event, listener, false)
    return this
  }

  /** As {@link UdpSocket.on}, for the next time only. */
  once<K extends keyof UdpEventMap>(event: K, listener: (...args: UdpEventMap[K]) => void): this {
    this.#events.add(event, listener, true)
    return this
  }

  /** Takes a listener away. */
  off<K extends keyof UdpEventMap>(event: K, listener: (...args: UdpEventMap[K]) => void): this {
    this.#events.remove(event, listener)
    return this
  }

  #dispatch(kind: number, value: number | Error): number {
    if (kind === STARVED) return this.#reader.onStarved()
    if (kind === WRITABLE) {
      // What was queued is sent, and its slots are home.
      this.#internals.slots.feed()
      this.#events.emit('drain')
    } else if (kind === CLOSED) {
      this.#resolveClosed()
      this.#events.emit('close')
    } else this.#events.emit('error', wrapNative(value) as WraithError)
    return DONE
  }

  #open(): void {
    if (this.#closed) throw socketClosed()
  }

  #call<T>(call: (socket: NativeUdp) => T, option?: string): T {
    this.#open()
    return fromNative(() => call(this.#native), option)
  }

  #warnTruncated(rows: UdpRows, count: number): void {
    const size = rows.largest(count)
    if (size <= this.#pool.bufferSize) return
    this.#warned = true
    process.emitWarning(
      `a packet of ${size} bytes was cut to the pool's ${this.#pool.bufferSize}; bufferSize: ${size} would hold it ` +
        `(at most ${MAX_PAYLOAD[this.#native.family]} are possible). metrics().rxTruncated counts them.`,
      { type: 'WraithWarning', code: 'WRAITH_WARN_TRUNCATED' },
    )
  }
}

/** An address and a port as people write them. */
function text({ address, port, family }: Peer): string {
  return family === 'IPv6' ? `[${address}]:${port}` : `${address}:${port}`
}
