/// <reference lib="esnext.disposable" preserve="true" />
import { throwIfAborted } from '../abort.js'
import { invalidType, WraithError, wrapNative } from '../errors.js'
import { Events } from '../events.js'
import { native } from '../native.js'
import { type BufferPool, type PoolInternals, poolInternals } from '../pool/buffer-pool.js'
import { isGuard, type PooledBuffer } from '../pool/guard.js'
import { type Batch, isBatch, rowsOf } from '../receive/batch.js'
import { BATCH, type BatchHandler, CLOSED, DONE, Reader, STARVED, socketClosed } from '../receive/reader.js'
import { callable, checkOptions, finiteNumber, wholeNumber } from '../validate.js'
import { readFilter } from './filter.js'
import type { NativeXdp, NativeXdpReady } from './native.js'
import { openNative, poolOf } from './open.js'
import { type CheckedAttach, checkAttach, checkOpen, checkOpenQueues } from './options.js'
import { probe } from './probe.js'
import { infoOf, metricsOf } from './report.js'
import { FrameRows } from './rows.js'
import { FrameSender } from './sender.js'
import type { XdpAttachOptions, XdpInfo, XdpQueuesOptions, XdpSocketOptions } from './socket-types.js'
import { fromNativeXdp, requireLinux } from './support.js'
import { testFilter } from './test-filter.js'
import { checkToken, makeToken, type XdpSocketToken } from './token.js'
import type { XdpFilter, XdpMetrics, XdpProbe, XdpVerdict } from './types.js'
import { Upkeep } from './upkeep.js'

interface XdpEventMap {
  /** A send that accepted fewer frames than it was given would accept more now. */
  drain: []
  /**
   * The interface has gone or is down; or frames cannot be received, and reading is paused; or the UMEM's memory was moved, and the socket is
   * closed. Without a listener it is thrown.
   */
  error: [error: WraithError]
  /** The queues are free again. */
  close: []
}

/** Whether a value is a socket, whatever its prototype says. */
let isXdpSocket: (value: unknown) => value is XdpSocket

/** Options of `xdp.send`. */
export interface XdpSendOptions {
  /** The queue to send through. Default: the one that a batch came through, else the first. */
  readonly queue?: number
  /** Of a batch: only these rows. Default: all that were neither taken nor sent. */
  readonly rows?: readonly number[]
}

/**
 * Frames of a network interface before the kernel's stack sees them (AF_XDP), in batches, in the slots of a pool that is the UMEM. Linux only;
 * needs CAP_NET_ADMIN, CAP_NET_RAW and CAP_BPF (`docs/xdp-rights.md`).
 *
 * The filter says which frames come here; everything else goes on to the kernel. Frames are read when there is a consumer and wait in the RX
 * rings otherwise, as many as there are frames. Everything runs on the event loop of the isolate that opened or attached; there is no thread.
 */
export class XdpSocket implements AsyncDisposable, Disposable {
  readonly #native: NativeXdp
  readonly #options: CheckedAttach
  readonly #pool: BufferPool
  readonly #internals: PoolInternals
  readonly #rows: FrameRows
  readonly #reader: Reader<FrameRows>
  readonly #sender: FrameSender
  readonly #upkeep: Upkeep
  readonly #events = new Events<XdpEventMap>(['drain', 'error', 'close'])
  readonly #onAbort = (): void => void this.close()
  readonly #closedPromise: Promise<void>
  readonly #name: string
  readonly #info: XdpInfo
  #resolveClosed: () => void = () => {}
  #closed = false
  /** What is still to happen before it is closed: libuv lets go, the sockets are closed. */
  #toClose = 2
  #lastMetrics: XdpMetrics | undefined

  private constructor(ready: NativeXdpReady, options: CheckedAttach) {
    this.#options = options
    this.#pool = poolOf(ready)
    this.#internals = poolInternals(this.#pool)
    this.#closedPromise = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
    this.#native = fromNativeXdp(() =>
      ready.start(
        Number(this.#internals.id),
        (kind, value) =>
          kind === BATCH ? this.#reader.onRows(value as number) : this.#dispatch(kind, value),
        () => this.#ended(),
      ),
    )
    try {
      this.#info = infoOf(this.#native, options.views)
    } catch (error) {
      this.#native.close()
      throw error
    }
    this.#name = `the AF_XDP socket on ${this.#info.interface}`
    this.#rows = new FrameRows(this.#native, this.#internals, options.views)
    this.#reader = new Reader({
      native: this.#native,
      pool: this.#internals,
      rows: () => this.#rows,
      name: () => this.#name,
      resource: 'WRAITH_XDP',
      watchesOn: true,
    })
    this.#sender = new FrameSender(this.#native, this.#pool, this.#internals, (accepted, asked) =>
      this.#upkeep.sent(accepted, asked),
    )
    this.#upkeep = new Upkeep(this.#native, {
      hasRoom: () => this.#sender.hasRoom(),
      drained: () => this.#events.emit('drain'),
      failed: (error) => this.#fail(error),
    })
    this.#internals.attach(this.#reader)
    options.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /**
   * Opens an interface of this network namespace: attaches the filter's program and binds a socket to each queue, all over one UMEM. Takes
   * milliseconds; up to a second for each step when the kernel has not yet freed what was closed before. Many drivers reset the link
   * when a program is attached natively: `XdpSocket.probe` says so.
   *
   * @param interfaceName as `ip link` shows it
   * @throws (rejects) WRAITH_ERR_UNSUPPORTED: not Linux, or the driver lacks the mode; WRAITH_ERR_PERMISSION: the capability that is missing;
   *   WRAITH_ERR_ADDRESS_NOT_AVAILABLE: no such interface; WRAITH_ERR_ADDRESS_IN_USE: another program is attached, or a queue is bound;
   *   WRAITH_ERR_MESSAGE_TOO_LARGE: the MTU is larger than a frame; WRAITH_ERR_NO_MEMORY; WRAITH_ERR_ABORTED; those of the options
   */
  static async open(interfaceName: string, options: XdpSocketOptions): Promise<XdpSocket> {
    requireLinux()
    const checked = checkOpen(interfaceName, options)
    const { umem } = options
    if (umem !== undefined && !isXdpSocket(umem)) throw invalidType('umem', umem, 'an XdpSocket')
    const shared = umem === undefined ? {} : { umemOf: umem.#open().number }
    const [ready] = await openNative({ ...checked.native, ...shared }, checked.signal)
    return new XdpSocket(ready as NativeXdpReady, checked)
  }

  /**
   * Opens an interface for several threads: a UMEM for each queue, and a token with which one thread attaches to it. The queues belong to the
   * process from then on: each is closed when the last handle of it is closed with `close()`.
   *
   * @returns a token for each queue, by ascending number
   * @throws (rejects) as {@link XdpSocket.open}
   */
  static async openQueues(
    interfaceName: string,
    options: XdpQueuesOptions,
  ): Promise<readonly XdpSocketToken[]> {
    requireLinux()
    const checked = checkOpenQueues(interfaceName, options)
    const opened = await openNative(checked.native, checked.signal)
    return Object.freeze(opened.map((ready) => makeToken(fromNativeXdp(() => ready.share()))))
  }

  /**
   * One more handle of queues that were shared, here or in another worker thread, with the lease to read from and send to them: frames that
   * wait in the rings are this handle's now, also those that came while a predecessor died.
   *
   * @param token what `share()` or `openQueues()` returned
   * @throws WRAITH_ERR_STALE_TOKEN (closed, or of another process), WRAITH_ERR_BUSY (another handle has the lease),
   *   WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_ABORTED, those of the options
   */
  static attach(token: XdpSocketToken, options: XdpAttachOptions = {}): XdpSocket {
    const id = checkToken(token)
    const checked = checkAttach(options)
    throwIfAborted(checked)
    requireLinux()
    return new XdpSocket(
      fromNativeXdp(() => native().attachXdp(id)),
      checked,
    )
  }

  /**
   * Where a filter sends a frame, by the kernel's own word: its program is loaded and run on the frame, with no interface involved.
   *
   * @param frame a whole Ethernet frame, from its destination address on
   * @throws those of the filter, WRAITH_ERR_PERMISSION, WRAITH_ERR_UNSUPPORTED
   */
  static testFilter(filter: XdpFilter, frame: Uint8Array): XdpVerdict {
    return testFilter(filter, frame)
  }

  /**
   * What opening an interface would come to, and what to do about each thing that is in the way. Changes nothing.
   *
   * @throws WRAITH_ERR_UNSUPPORTED: not Linux; WRAITH_ERR_ADDRESS_NOT_AVAILABLE: no such interface
   */
  static probe(interfaceName: string): XdpProbe {
    return probe(interfaceName)
  }

  /**
   * The UMEM: guards that are acquired here, or taken out of batches, are sent without a copy. It belongs to the socket and ends with it; other
   * threads may attach to it (`pool.share()`).
   */
  get pool(): BufferPool {
    return this.#pool
  }

  /**
   * Calls `handler` with each batch, in the async context of this call. The batch is the handler's until it returns; if it returns a promise,
   * until that settles, and no other batch comes meanwhile. Every view of the batch is empty after that, or, with `views: 'copied'`, shows a
   * later one. What it throws is an uncaught exception, and the next batch comes all the same.
   *
   * @throws WRAITH_ERR_BUSY (it has a consumer; another handle reads), WRAITH_ERR_SOCKET_CLOSED
   */
  consume(handler: BatchHandler): this {
    this.#reader.consume(callable('handler', handler))
    this.#upkeep.watch()
    return this
  }

  /** Ends `consume` or a `for await` loop. Frames wait in the RX rings until there is another consumer. */
  stop(): this {
    this.#reader.stop()
    return this
  }

  /** Batches one after the other; each is lent until the next turn. Leaving the loop stops reading. */
  [Symbol.asyncIterator](): AsyncGenerator<Batch, void, undefined> {
    this.#upkeep.watch()
    return this.#reader.iterate()
  }

  /**
   * A batch of the frames that are waiting in the RX rings, or `undefined`. It is lent until its `dispose()` or the next call.
   *
   * @throws WRAITH_ERR_BUSY, WRAITH_ERR_SOCKET_CLOSED
   */
  tryReceive(): Batch | undefined {
    return this.#reader.tryReceive()
  }

  /**
   * Looks for frames again and again for up to `ms` milliseconds, without a turn of the event loop, and calls `handler` with each batch: for a
   * worker that has a CPU to itself. Ends early when the handler returns `false`. Nothing else of this thread runs meanwhile.
   *
   * @returns how many frames there were
   * @throws WRAITH_ERR_BUSY, WRAITH_ERR_SOCKET_CLOSED, WRAITH_ERR_OUT_OF_RANGE, and what the handler throws
   */
  busyLoop(handler: BatchHandler, ms = 100): number {
    callable('handler', handler)
    const end = performance.now() + finiteNumber('ms', ms, 0, 60_000)
    let frames = 0
    do {
      const batch = this.#reader.tryReceive()
      if (batch === undefined) continue
      frames += batch.length
      try {
        if (handler(batch) === false) break
      } finally {
        batch.dispose()
      }
    } while (performance.now() < end)
    return frames
  }

  /** Stops reading for a while; the consumer stays. */
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
   * Sends frames, and returns how many were accepted, from the first one on; the rest is still yours, and worth another try after `'drain'`.
   *
   * Guards: their `length` bytes from the front, the Ethernet header first. Accepted ones are given away, and their buffers come home when
   * they were sent. Those of another pool are copied.
   *
   * A batch, of this socket or of another one: its rows as they are now, with what was changed in them. Accepted rows are no part of it
   * any more, and all views of the batch are empty (unless they are copies): call `bytes(i)` again. With sockets that have different UMEMs the frames are copied, and
   * the rows stay.
   *
   * @throws WRAITH_ERR_STALE_BUFFER, WRAITH_ERR_STALE_BATCH, WRAITH_ERR_OUT_OF_RANGE, WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_UNSUPPORTED (no
   *   TX ring), WRAITH_ERR_BUSY (another handle has the lease), WRAITH_ERR_SOCKET_CLOSED, WRAITH_ERR_SYSTEM (the interface is down).
   *   When it throws, some of the frames may have been accepted: those guards are disposed, those rows taken.
   */
  send(frames: Batch | PooledBuffer | readonly PooledBuffer[], options: XdpSendOptions = {}): number {
    const { queue, rows } = checkOptions('send', options, ['queue', 'rows'])
    if (queue !== undefined) wholeNumber('queue', queue, 0, 4095)
    this.#open()
    // Before a frame is copied, of which there may be none.
    if (this.#info.txRing === 0) throw noTxRing()
    return isBatch(frames) ? this.#sendBatch(frames, queue, rows) : this.#sendGuards(frames, queue, rows)
  }

  /**
   * Changes the filter while everything is open: the new program takes the old one's place between two frames. Takes a few milliseconds.
   *
   * @throws those of the filter; WRAITH_ERR_UNSUPPORTED: `'none'` has no program, and cannot be changed from or to
   */
  setFilter(filter: XdpFilter): this {
    const options = readFilter(filter)
    fromNativeXdp(() => this.#open().setFilter(options), 'filter')
    return this
  }

  /**
   * Shares the queues with other worker threads, and gives up this handle's lease to read and send. The token can be posted; whoever attaches
   * with it first has the lease. From now on the queues belong to the process: they survive the end of any worker, and are closed when the
   * last handle is closed with `close()`.
   *
   * This handle stays good for everything else. `consume`, `for await` and `tryReceive` take the lease again when it is free.
   *
   * @throws WRAITH_ERR_BUSY (it has a consumer, or a batch is out), WRAITH_ERR_SOCKET_CLOSED
   */
  share(): XdpSocketToken {
    return makeToken(this.#reader.share())
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

  /**
   * Counters, frozen. After `close()`: those of its last moment. One system call for each queue. While another handle has the lease the
   * kernel's own counts are those of its last look.
   */
  metrics(): XdpMetrics {
    return this.#lastMetrics ?? metricsOf(this.#native)
  }

  /** What was asked for and what it came to; `String(info)` is one line. The filter and its program are those of now. */
  info(): XdpInfo {
    return this.#closed ? this.#info : infoOf(this.#native, this.#options.views)
  }

  /**
   * Closes the socket: its batch ends, the program is detached, frames that are being sent are waited for briefly, slots go home. Open guards
   * stay good. Idempotent. Of shared queues it closes this handle; the queues with the last.
   *
   * @returns {@link XdpSocket.closed}
   */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#lastMetrics = this.metrics()
      this.#closed = true
      this.#options.signal?.removeEventListener('abort', this.#onAbort)
      this.#upkeep.end()
      // Views first: the kernel has the frames again when native has closed.
      this.#rows.end()
      this.#native.close()
      this.#reader.close()
      this.#pool[Symbol.dispose]()
    }
    return this.#closedPromise
  }

  /** Resolves when the queues can be bound again; when others share them: when this handle is closed. */
  get closed(): Promise<void> {
    return this.#closedPromise
  }

  /** As {@link XdpSocket.close}, for `using`. */
  [Symbol.dispose](): void {
    void this.close()
  }

  /** As {@link XdpSocket.close}, for `await using`. */
  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  /** Calls `listener` at each of these events. */
  on<K extends keyof XdpEventMap>(event: K, listener: (...args: XdpEventMap[K]) => void): this {
    this.#events.add(event, listener, false)
    return this
  }

  /** As {@link XdpSocket.on}, for the next time only. */
  once<K extends keyof XdpEventMap>(event: K, listener: (...args: XdpEventMap[K]) => void): this {
    this.#events.add(event, listener, true)
    return this
  }

  /** Takes a listener away. */
  off<K extends keyof XdpEventMap>(event: K, listener: (...args: XdpEventMap[K]) => void): this {
    this.#events.remove(event, listener)
    return this
  }

  static {
    isXdpSocket = (value): value is XdpSocket =>
      typeof value === 'object' && value !== null && #native in value
  }

  #open(): NativeXdp {
    if (this.#closed) throw socketClosed()
    return this.#native
  }

  #sendBatch(batch: Batch, queue: number | undefined, chosen: readonly number[] | undefined): number {
    const rows = rowsOf(batch)
    if (!(rows instanceof FrameRows)) throw invalidType('frames', batch, 'a batch of an XdpSocket, or guards')
    return this.#sender.rows(batch, rows, chosen, queue)
  }

  #sendGuards(
    frames: PooledBuffer | readonly PooledBuffer[],
    queue: number | undefined,
    rows: unknown,
  ): number {
    const guards = isGuard(frames) ? [frames] : frames
    if (!Array.isArray(guards)) throw invalidType('frames', frames, 'a batch, a guard or an array of guards')
    if (rows !== undefined) {
      throw new WraithError(
        'WRAITH_ERR_INVALID_ARG_TYPE',
        'rows is for batches, but guards were given. Remove it, or pass a batch.',
        { option: 'rows' },
      )
    }
    return this.#sender.guards(guards, queue)
  }

  #dispatch(kind: number, value: number | Error): number {
    if (kind === STARVED) return this.#reader.onStarved()
    if (kind === CLOSED) this.#ended()
    else this.#fail(wrapNative(value) as WraithError)
    return DONE
  }

  #fail(error: WraithError): void {
    // The UMEM was moved by user code: native has closed the queues.
    if (error.code === 'WRAITH_ERR_STALE_BUFFER') void this.close()
    this.#events.emit('error', error)
  }

  #ended(): void {
    if (--this.#toClose > 0) return
    this.#resolveClosed()
    this.#events.emit('close')
  }
}

function noTxRing(): WraithError {
  return new WraithError(
    'WRAITH_ERR_UNSUPPORTED',
    'this socket has no TX ring, so it only receives. Open it with txRing above 0.',
  )
}
