import { type Bytes, bytesOver } from '../bytes.js'
import { fromNative, WraithError, wrapNative } from '../errors.js'
import { keepHere } from '../exported.js'
import type { NativeAudit, NativePool } from '../native.js'
import { freshMemory, releaseMemory } from './debug.js'
import type { Home } from './guard.js'
import { Ticket } from './guard.js'
import { Holders, type LeakDetection, SAMPLE_INTERVAL } from './leaks.js'

/** How many slot numbers fit the mailbox. */
const MAILBOX = 32
const zero = Uint8Array.prototype.fill

/** A source that takes slots from this pool natively and may run short of them. */
export interface Source {
  /** For messages: which source this is. */
  toString(): string
  /** Slots have come back to the native free list: take them. Returns how many are still missing. */
  feed(): number
}

/** What the owner of a {@link Slots} is told. */
export interface SlotsEvents {
  /** A sampled acquire: a good moment to look at thresholds. */
  sampled(): void
  /** A guard was lost with this slot. */
  lost(slot: number): void
  /** Every slot is at home after `close`. */
  home(): void
  /** User code detached the slab's ArrayBuffer; the pool goes on with a new one. */
  remapped(): void
}

/**
 * The slots of a private pool as its isolate holds them: a magazine of tickets, filled from and flushed to the native
 * free list through the mailbox, 32 at a time.
 *
 * A ticket is in exactly one place: in the magazine, parked by slot number while native has the slot, or with whoever
 * took it. The magazine may hold the whole pool, because nobody else acquires from it: only sources of this isolate need
 * slots natively, and those that are short of them lower the limit (`#limit`) until they are fed.
 */
export class Slots implements Home {
  readonly bufferSize: number
  readonly capacity: number
  readonly holders: Holders
  readonly debug: boolean
  readonly #native: NativePool
  readonly #events: SlotsEvents
  readonly #mail: Uint32Array
  readonly #stride: number
  readonly #lostViews: FinalizationRegistry<number> | undefined
  readonly #hungry = new Set<Source>()
  readonly #magazine: Ticket[] = []
  readonly #parked: (Ticket | undefined)[]
  /** The acquire number of each slot's present holder; 0 while nobody has it. */
  readonly #sequenceOf: Float64Array
  readonly #sampleInterval: number
  #memory: ArrayBuffer
  #limit: number
  #sampleAt: number
  #closed = false
  /** How often a slot was taken. */
  taken = 0
  /** Slots lost with their guards. */
  leaked = 0

  constructor(
    native: NativePool,
    bufferSize: number,
    capacity: number,
    level: LeakDetection,
    debug: boolean,
    events: SlotsEvents,
  ) {
    this.#native = native
    this.#events = events
    this.bufferSize = bufferSize
    this.capacity = capacity
    this.debug = debug
    this.#memory = keepHere(native.memory)
    this.#mail = new Uint32Array(native.mailbox)
    this.#stride = native.stride
    this.#parked = new Array<Ticket | undefined>(capacity).fill(undefined)
    this.#sequenceOf = new Float64Array(capacity)
    this.holders = new Holders(level, this.#sequenceOf)
    this.#sampleInterval = level === 'stack' ? 1 : SAMPLE_INTERVAL
    this.#sampleAt = 1
    this.#limit = debug ? 0 : capacity
    this.#lostViews = level === 'off' ? undefined : new FinalizationRegistry((slot) => this.#lose(slot))
  }

  /** The slab as this isolate sees it; asked for anew when user code has detached it. */
  get memory(): ArrayBuffer {
    if (this.#memory.byteLength === 0) this.#remap()
    return this.#memory
  }

  /** Where a slot begins in {@link Slots.memory}. */
  offsetOf(slot: number): number {
    return slot * this.#stride
  }

  /** A free slot's ticket, or `undefined` when none is to be had. */
  take(): Ticket | undefined {
    const ticket = this.#magazine.pop()
    if (ticket === undefined || ticket.view.byteLength === 0) return this.#takeSlow(ticket)
    this.#sequenceOf[ticket.slot] = ++this.taken
    if (this.taken >= this.#sampleAt) this.#sample(ticket)
    return ticket
  }

  /** Zeroes a slot and takes it home. */
  put(ticket: Ticket): void {
    const view = ticket.view
    this.#sequenceOf[ticket.slot] = 0
    ticket.length = 0
    if (this.#magazine.length < this.#limit && view.byteLength !== 0) {
      zero.call(view, 0)
      this.#magazine.push(ticket)
    } else this.#putSlow(ticket)
  }

  note(ticket: Ticket, note: unknown): void {
    this.holders.note(ticket.slot, note)
  }

  /** How many slots `take` could get now. */
  get available(): number {
    return this.#closed ? 0 : this.#magazine.length + this.#native.available()
  }

  /** Whether every slot is in the native free list, or out of use for good. */
  get allHome(): boolean {
    return this.#native.available() + this.leaked === this.capacity
  }

  /** How many slots are in guards' hands. */
  get lent(): number {
    let lent = 0
    for (let slot = 0; slot < this.capacity; slot++) if (this.isLent(slot)) lent++
    return lent
  }

  isLent(slot: number): boolean {
    return (this.#sequenceOf[slot] as number) > 0
  }

  /** The owner table with this isolate's slots split into those in the magazine and those in guards' hands. */
  audit(): { native: NativeAudit; cached: number; lent: number } {
    return { native: fromNative(() => this.#native.audit()), cached: this.#magazine.length, lent: this.lent }
  }

  /** A slot that native has already made this isolate's (a row that was taken out of a batch). */
  adopt(slot: number, length: number): Ticket {
    const ticket = this.#unpark(slot)
    if (this.debug) {
      const own = freshMemory(this.bufferSize)
      own.set(ticket.view.subarray(0, length))
      this.#setView(ticket, own)
    }
    ticket.length = length
    this.#sequenceOf[slot] = ++this.taken
    if (this.taken >= this.#sampleAt) this.#sample(ticket)
    return ticket
  }

  /** Takes a slot out of the magazine for native to have, or -1. (It then belongs to the one who asked.) */
  spare(): number {
    const ticket = this.#magazine.pop()
    if (ticket === undefined) return -1
    this.#park(ticket)
    return ticket.slot
  }

  /** Native is about to read the slot of a guard: what was written must lie in the slab. The guard keeps its view. */
  settle(ticket: Ticket): void {
    if (this.debug) this.#slotBytes(ticket.slot).set(ticket.view)
    else if (ticket.view.byteLength === 0) this.#setView(ticket, this.#slotBytes(ticket.slot))
  }

  /** Native has taken the slot out of a guard's hands; its ticket is parked. */
  gaveUp(ticket: Ticket): void {
    this.#sequenceOf[ticket.slot] = 0
    ticket.length = 0
    if (this.debug) releaseMemory(ticket.view)
    this.#park(ticket)
  }

  /** A source is short of slots: gives it what the magazine has, and what comes home from now on. */
  starve(source: Source): boolean {
    this.#hungry.add(source)
    this.#limit = 0
    const had = this.#magazine.length
    this.#flushMagazine()
    return had > 0
  }

  /** Slots have come to the native free list: sources that are short of them may take them. */
  feed(): void {
    for (const source of this.#hungry) if (source.feed() === 0) this.sated(source)
  }

  /** The source needs no more slots (it was fed, or it is gone). */
  sated(source: Source): void {
    if (this.#hungry.delete(source) && this.#hungry.size === 0 && !this.#closed && !this.debug)
      this.#limit = this.capacity
  }

  /** No slot is handed out from now on; those that are out come home. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#limit = 0
    this.#flushMagazine()
    this.#native.close()
    this.#tellWhenHome()
  }

  #takeSlow(popped: Ticket | undefined): Ticket | undefined {
    let ticket = popped
    if (this.#closed) return undefined
    if (ticket === undefined) {
      if (!this.#refill()) return undefined
      ticket = this.#magazine.pop() as Ticket
    }
    if (this.debug) this.#setView(ticket, freshMemory(this.bufferSize))
    else if (ticket.view.byteLength === 0) this.#setView(ticket, this.#slotBytes(ticket.slot))
    this.#sequenceOf[ticket.slot] = ++this.taken
    if (this.taken >= this.#sampleAt) this.#sample(ticket)
    return ticket
  }

  #putSlow(ticket: Ticket): void {
    if (this.debug) {
      releaseMemory(ticket.view)
      this.#setView(ticket, this.#slotBytes(ticket.slot))
    }
    const detached = ticket.view.byteLength === 0
    if (detached) this.#setView(ticket, this.#slotBytes(ticket.slot))
    zero.call(ticket.view, 0)
    this.#mail[0] = ticket.slot
    this.#park(ticket)
    this.#handBack(1, detached)
    this.feed()
    this.#tellWhenHome()
  }

  #refill(): boolean {
    const want = this.debug ? 1 : MAILBOX
    const got = this.#native.refill(want)
    // Read backwards, so that the slot that came home last (and is still in the cache) is taken first.
    for (let i = got - 1; i >= 0; i--) this.#magazine.push(this.#unpark(this.#mail[i] as number))
    return got > 0
  }

  #flushMagazine(): void {
    while (this.#magazine.length > 0) {
      let count = 0
      while (count < MAILBOX && this.#magazine.length > 0) {
        const ticket = this.#magazine.pop() as Ticket
        this.#mail[count++] = ticket.slot
        this.#park(ticket)
      }
      this.#handBack(count, false)
    }
  }

  /** The slots in the mailbox go back to the native free list. */
  #handBack(count: number, dirty: boolean): void {
    try {
      this.#native.flush(count, dirty)
    } catch (error) {
      throw wrapNative(error)
    }
  }

  #park(ticket: Ticket): void {
    this.#parked[ticket.slot] = ticket
  }

  #unpark(slot: number): Ticket {
    const ticket = this.#parked[slot]
    if (ticket === undefined) {
      const made = new Ticket(this, slot, this.#slotBytes(slot))
      this.#lostViews?.register(made.view, slot, made)
      return made
    }
    this.#parked[slot] = undefined
    if (ticket.view.byteLength === 0) this.#setView(ticket, this.#slotBytes(slot))
    return ticket
  }

  #setView(ticket: Ticket, view: Bytes): void {
    this.#lostViews?.unregister(ticket)
    ticket.view = view
    this.#lostViews?.register(view, ticket.slot, ticket)
  }

  #slotBytes(slot: number): Bytes {
    return bytesOver(this.memory, slot * this.#stride, this.bufferSize)
  }

  #remap(): void {
    this.#memory = keepHere(fromNative(() => this.#native.map()))
    this.#events.remapped()
  }

  #sample(ticket: Ticket): void {
    this.#sampleAt = this.taken + this.#sampleInterval
    this.holders.sample(ticket.slot, this.taken)
    this.#events.sampled()
  }

  #lose(slot: number): void {
    this.leaked++
    fromNative(() => this.#native.quarantine(slot))
    this.#events.lost(slot)
    this.#sequenceOf[slot] = 0
    this.#tellWhenHome()
  }

  #tellWhenHome(): void {
    if (this.#closed && this.allHome) this.#events.home()
  }
}

/** A pool that was closed. */
export function poolClosed(): WraithError {
  return new WraithError(
    'WRAITH_ERR_POOL_CLOSED',
    'the pool is closed. Acquire before close(), or make a new pool.',
  )
}
