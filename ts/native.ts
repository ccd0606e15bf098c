import { createRequire } from 'node:module'

import { WraithError } from './errors.js'
import type {
  NativeXdpFilter,
  NativeXdpFilterTest,
  NativeXdpOptions,
  NativeXdpProbe,
  NativeXdpReady,
} from './xdp/native.js'

export type { NativeXdpFilter, NativeXdpFilterTest, NativeXdpMatch } from './xdp/native.js'

/** The outcome of asking the kernel for something that it may refuse. */
export interface Granted {
  readonly asked: boolean
  readonly got: boolean
  /** Why not, and what lifts the limit. */
  readonly why?: string
}

/** What the addon says about a pool's memory. */
export interface NativePoolInfo {
  readonly bytes: number
  readonly stride: number
  readonly mlock: Granted
  readonly hugePages: Granted
}

/** The owner table, counted by state. */
export interface NativeAudit {
  readonly capacity: number
  readonly free: number
  readonly cached: number
  readonly lent: number
  readonly posted: number
  readonly op: number
  readonly transit: number
  readonly retiring: number
  readonly quarantined: number
  readonly problems: string[]
  /** A shared pool: how many of `cached` are this attachment's. */
  readonly own?: number
}

/** What private and shared pools have in common; slot numbers cross through `mailbox`, up to 32 at a time. */
export interface NativeSlots {
  readonly mailbox: ArrayBuffer
  /** How many came; -1: the pool is closed. */
  refill(count: number): number
  /** How many could not leave, because user code has moved their memory. */
  flush(count: number, dirty: boolean): number
  quarantine(slot: number): void
  available(): number
  audit(): NativeAudit
  holders(): string[]
  info(): NativePoolInfo
  close(): boolean
}

/** A private pool as the addon hands it out. */
export interface NativePool extends NativeSlots {
  readonly id: string
  readonly stride: number
  readonly memory: ArrayBuffer
  map(): ArrayBuffer
}

/** What each attachment to a shared pool publishes, in this order, as doubles. */
export interface NativeFigures {
  readonly acquires: number
  readonly exhaustions: number
  readonly waits: number
  readonly fallbackAllocations: number
  readonly leaked: number
  readonly cached: number
  readonly fallbackLive: number
  readonly waiting: number
}

/** Everybody's figures. */
export interface NativeAllFigures {
  readonly isolates: readonly (NativeFigures & {
    readonly id: number
    readonly threadId: number
    readonly lent: number
  })[]
  readonly ended: NativeFigures
  readonly transferred: number
  readonly adopted: number
  readonly cancelled: number
  readonly expired: number
  readonly reclaimed: number
  readonly rustAcquires: number
}

/** An attachment to a shared pool as the addon hands it out. */
export interface NativeShared extends NativeSlots {
  /** What the pool's tokens name. */
  readonly pool: string
  /** What names this attachment in this isolate. */
  readonly number: number
  readonly bufferSize: number
  readonly capacity: number
  /** Whether closing it closes the pool for all. */
  readonly creator: boolean
  /** One word, read only: how many slots a magazine may hold. */
  readonly limit: ArrayBuffer
  /** The figures of this attachment, for others to read. */
  readonly counters: ArrayBuffer
  /** The ArrayBuffer of a slot that this attachment holds; undefined when its memory was moved: it is out of use then. */
  memory(slot: number): ArrayBuffer | undefined
  /** A ticket's digits; undefined when the slot's memory was moved: it is out of use then. */
  transfer(slot: number, length: number): string | undefined
  /** The slot; the number of bytes in use is in the mailbox. */
  adopt(digits: string): number
  cancel(digits: string): boolean
  /** A slot, or -1 - id of a wait. */
  wait(): number
  cancelWait(id: number): boolean
  /** Bits (1 flush, 2 closed, 4 home), then pairs of a wait's id and its slot. */
  events(): number[]
  /** Milliseconds after which a sweep may help one who waits; 0: never. */
  patience(): number
  sweep(): number
  figures(): NativeAllFigures
  /** The attachment has left, and everything of it is home: its figures are part of the sums from now on. */
  retire(): void
  setRef(keepAlive: boolean): void
  exercise(threads: number, acquires: number, done: () => void): { found(): [number, number] }
}

/** A handle of a channel as the addon hands it out. Up to 32 slots cross at a time. */
export interface NativeChannel {
  readonly id: string
  /** Numbers of the slots that are to be sent. */
  readonly slots: ArrayBuffer
  /** Their bytes in use, and those of the rows that were received. */
  readonly lengths: ArrayBuffer
  /** One word, read only: how many slots are in the channel, and 2^31 when it is closed. */
  readonly depth: ArrayBuffer
  /**
   * Sends slots. Those that a closed channel does not take go home. What became of each is in `slots` then: 0 its bytes are under
   * way, and it is still here; 1 it has left; 2 its memory was moved, and it is out of use.
   */
  send(count: number): void
  /** Becomes the one who receives; `wake` is called when there is something after a `receive` that found nothing. */
  listen(wake: () => void): void
  /** How many came; 0: none now; -1: the channel was closed. The batch before must have ended. */
  receive(most: number): number
  /** The ArrayBuffer of a row's slot; undefined when its memory was moved. */
  memory(row: number): ArrayBuffer | undefined
  /** Where copied rows can be read, one place after the other; undefined when none is copied. */
  arena(): ArrayBuffer | undefined
  /** The slot of a row, which is the attachment's from now on; `written`: with the bytes of its place in the arena. */
  take(row: number, written: boolean): number
  /** Ends the batch. How many slots could not go home, because user code has moved their memory. */
  finish(): number
  /** As `finish`, and somebody else may receive. */
  leave(): number
  setRef(keepAlive: boolean): void
  /** Sent, received, dropped. */
  counts(): number[]
  close(): boolean
}

/** What `createSharedPool` takes. */
export interface NativeSharedOptions {
  readonly bufferSize: number
  readonly capacity: number
  readonly mlock: boolean
  readonly hugePages: boolean
  /** Milliseconds; 0: never. */
  readonly ticketTimeout: number
  readonly threadId: number
}

/** Where the columns of a batch lie in the two exported blocks, in bytes. */
export interface NativeColumns {
  readonly rows: number
  readonly timestamps: number
  readonly timestampsMs: number
  readonly offsets: number
  readonly lengths: number
  readonly flags: number
  readonly privateSlots: number
  readonly privateOffsets: number
  readonly privateLengths: number
  readonly privateWireLengths: number
  readonly privatePeers: number
  readonly peerTable: number
  readonly peerCount: number
}

/** A source's address as the addon gives it. */
export interface NativeAddress {
  readonly address: string
  readonly family: 'IPv4' | 'IPv6'
  readonly port: number
}

/** A socket buffer's size: asked, got, and what would lift a limit. */
export interface NativeBufferSize {
  readonly asked?: number
  readonly got: number
  readonly note?: string
}

/** What `bindUdp` takes; every field is checked in TypeScript for the message and in Rust for safety. */
export interface NativeUdpOptions {
  readonly pool: string
  readonly family: number
  readonly address?: string
  readonly port: number
  readonly ipv6Only: boolean
  readonly reuseAddr: boolean
  readonly reusePort: boolean
  readonly recvBufferSize?: number
  readonly sendBufferSize?: number
  readonly timestamps: boolean
  readonly fd?: number
  readonly batchSize: number
  readonly dropTruncated: boolean
  readonly portable: boolean
}

/** What is wrong with a frame, and, with the parts that only packets have, with a packet. */
export interface NativeProblem {
  readonly status: string
  readonly field: string
  readonly offset: number
  readonly needed: number
  readonly present: number
  readonly message: string
  readonly layer?: string
  readonly claimedBy?: string
  readonly limitedBy?: string
}

type NativeParse = (
  bytes: Uint8Array,
  offsets: Uint32Array,
  lengths: Uint32Array,
  block: ArrayBuffer,
  backend?: string,
) => number
type NativeExplain = (bytes: Uint8Array, offset: number, length: number) => NativeProblem | undefined

/** Parsing and building in memory of the caller's. */
export interface NativeParsers {
  backend(): { readonly active: string; readonly available: string[]; readonly forced: boolean }
  readonly parseFrames: NativeParse
  readonly parsePackets: NativeParse
  readonly explainFrame: NativeExplain
  readonly explainPacket: NativeExplain
  /** `head` is type × 2^24 + flags × 2^16 + stream. */
  buildFrame(
    into: Uint8Array,
    payload: Uint8Array,
    nonce: Uint8Array,
    head: number,
    sequence: number,
    offset: number,
  ): number
}

/** What `attachUdp` takes; checked as above. */
export interface NativeUdpAttachOptions {
  readonly id: string
  readonly pool: string
  readonly batchSize: number
  readonly dropTruncated: boolean
  readonly portable: boolean
}

/** What batches are received from, as the addon hands it out. */
export interface NativeSource {
  /** `true`: there are few slots to receive into, or none, which no descriptor will tell. */
  resume(): boolean | undefined
  pause(): void
  /** Inside the dispatcher: as `pause`, but without the system call when `resume` follows before it returns. */
  hold(): void
  receive(): number
  finish(): void
  /** `base`: where places count from, for a source whose memory JavaScript sees in windows. */
  parseFrames(block: ArrayBuffer, backend?: string, base?: number): number
  parsePackets(block: ArrayBuffer, backend?: string, base?: number): number
  explainFrame(row: number): NativeProblem | undefined
  explainPacket(row: number): NativeProblem | undefined
  missing(): number
  shed(keep: number): number
  setRef(keepAlive: boolean): void
  hasRef(): boolean
  /** On a shared pool: `wake` is called when `fed` has something to fetch. */
  listen(wake: () => void): void
  /** On a shared pool: whether there is a slot to receive into now; otherwise it comes. `consumed`: keeps the loop alive. */
  wait(consumed: boolean): boolean
  /** On a shared pool: posts what came; whether the wait is over. */
  fed(): boolean
  /** Gives up the lease to read, and returns the id to attach with. */
  share(): string
  /** Takes the lease, unless it is here. */
  lease(): void
  close(): void
}

/** A bound socket as the addon hands it out. */
export interface NativeUdp extends NativeSource {
  readonly family: 4 | 6
  readonly timestamps: boolean
  readonly publicBlock: ArrayBuffer
  readonly privateBlock: ArrayBuffer
  readonly columns: NativeColumns
  take(row: number, replacement: number): number
  source(row: number): NativeAddress
  send(bytes: Uint8Array, port: number, address: string | undefined, segment?: number): boolean
  sendSlot(slot: number, length: number, port: number, address: string | undefined): number
  connect(port: number, address: string): void
  disconnect(): void
  address(): NativeAddress
  remoteAddress(): NativeAddress
  membership(join: boolean, group: string, source: string | undefined, iface: string | undefined): void
  setBroadcast(on: boolean): void
  setTtl(ttl: number): void
  setMulticastTtl(ttl: number): void
  setMulticastLoopback(on: boolean): void
  setMulticastInterface(iface: string): void
  bufferSizes(): { readonly recv: NativeBufferSize; readonly send: NativeBufferSize }
  metrics(): Record<string, number>
  /** On a shared pool: the slot of a row; undefined when user code has moved its memory. */
  memory(row: number): ArrayBuffer | undefined
  /** On a shared pool: takes the slot of a row out of use when its memory was moved; whether it was. */
  lose(row: number): boolean
}

/** What the addon tells a source's dispatcher. */
export type NativeDispatch = (kind: number, value: number | Error) => number

/** The addon. */
export interface Native {
  createPool(bufferSize: number, capacity: number, mlock: boolean, hugePages: boolean): NativePool
  createSharedPool(options: NativeSharedOptions, wake: () => void): NativeShared
  attachPool(id: string, threadId: number, wake: () => void): NativeShared
  createChannel(pool: string, copyUpTo: number): NativeChannel
  attachChannel(id: string, pool: string, copyUpTo: number): NativeChannel
  bindUdp(options: NativeUdpOptions, dispatch: NativeDispatch): NativeUdp
  createParsers(): NativeParsers
  attachUdp(options: NativeUdpAttachOptions, dispatch: NativeDispatch): NativeUdp
  checkXdpPrefix(text: string): void
  createXdpFilterTest(filter: NativeXdpFilter): NativeXdpFilterTest
  probeXdp(interfaceName: string): NativeXdpProbe
  openXdp(options: NativeXdpOptions): Promise<readonly NativeXdpReady[] | { readonly error: Error }>
  attachXdp(id: string): NativeXdpReady
}

function load(): Native {
  const runtime = process.versions['bun'] !== undefined ? 'Bun' : 'Deno' in globalThis ? 'Deno' : undefined
  if (runtime !== undefined) {
    throw new WraithError(
      'WRAITH_ERR_RUNTIME_UNSUPPORTED',
      `${runtime} does not offer the libuv functions that packet I/O needs. Run on Node.js 20.19 or newer.`,
    )
  }
  try {
    return createRequire(import.meta.url)('./native/binding.cjs') as Native
  } catch (cause) {
    const name = `@wraith-transport/binding-${process.platform}-${process.arch}${process.platform === 'linux' ? '-gnu' : ''}`
    throw new WraithError(
      'WRAITH_ERR_NATIVE_MISSING',
      `the prebuilt binary for ${process.platform} ${process.arch} could not be loaded. ` +
        `Install the package ${name} in the same version, without --omit=optional.`,
      { cause },
    )
  }
}

let loaded: Native | undefined

/** The addon, loaded on first use so that an import never fails for a missing binary. */
export function native(): Native {
  loaded ??= load()
  return loaded
}
