import { bytesOver } from '../bytes.js'
import { fromNative, wrapNative } from '../errors.js'
import type { NativeAudit, NativeSlots } from '../native.js'
import { freshMemory, releaseMemory } from './debug.js'
import { type Home, lostMemory, Ticket } from './guard.js'
import { Holders, SAMPLE_INTERVAL } from './leaks.js'
import type { SlotMemory } from './memory.js'
import type { Sharing } from './sharing.js'
import { closedOr, poolClosed, type SlotsEvents, type SlotsSetup, type Source } from './source.js'
import { cancelSlots, copyToken, slotToken } from './ticket.js'

/** How many slot numbers fit the mailbox. */
const MAILBOX = 32
/** The limit of a magazine into which nothing may be put. */
const NOTHING = new Uint32Array(1)
const zero = Uint8Array.prototype.fill
const NO_BYTES = bytesOver(new ArrayBuffer(0), 0, 0)

/**
 * The slots of a pool as its isolate holds them: a magazine of tickets, filled from and flushed to the native free list
 * through the mailbox, 32 at a time.
 *
 * A ticket is in exactly one place: in the magazine, parked by slot number while native has the slot, or with whoever
 * took it. A private pool's magazine may hold the whole pool, because nobody else acquires from it: only sources of this
 * isolate need slots natively, and those that are short of them close the magazine until they are fed. A shared pool's
 * magazine holds what native allows, so that it never starves other isolates.
 */
export class Slots implements Home {
  readonly bufferSize: number
  readonly capacity: number
  readonly holders: Holders
  readonly debug: boolean
  readonly #native: NativeSlots
  readonly #memory: SlotMemory
  readonly #sharing: Sharing | undefined
  readonly #events: SlotsEvents
  readonly #mail: Uint32Array
  readonly #lost: FinalizationRegistry<number> | undefined
  readonly #hungry = new Set<Source>()
  readonly #magazine: Ticket[] = []
  readonly #parked: (Ticket | undefined)[]
  /** The acquire number of each slot's present holder; 0 while nobody has it. */
  readonly #sequenceOf: Float64Array
  readonly #sampleInterval: number
  readonly #openLimit: Uint32Array
  /** `#openLimit`, or {@link NOTHING}. */
  #limit: Uint32Array
  #sampleAt: number
  #closed = false
  /** A shared pool that was closed: how many slots are in guards' hands. */
  #out = 0
  /** How often a slot was taken. */
  taken = 0
  /** Slots lost with their guards. */
  leaked = 0
  /** Slots whose memory user code has moved away while a guard had them. */
  moved = 0

  constructor(setup: SlotsSetup) {
    const { native, capacity, level, debug } = setup
    this.#native = native
    this.#memory = setup.memory
    this.#sharing = setup.sharing
    this.#events = setup.events
    this.bufferSize = setup.bufferSize
    this.capacity = capacity
    this.debug = debug
    this.#mail = new Uint32Array(native.mailbox, 0, MAILBOX)
    this.#parked = new Array<Ticket | undefined>(capacity).fill(undefined)
    this.#sequenceOf = new Float64Array(capacity)
    this.holders = new Holders(level, this.#sequenceOf)
    this.#sampleInterval = level === 'stack' ? 1 : SAMPLE_INTERVAL
    this.#sampleAt = 1
    this.#openLimit = setup.limit
    this.#limit = debug ? NOTHING : setup.limit
    this.#lost = level === 'off' ? undefined : new FinalizationRegistry((slot) => this.#lose(slot))
  }

  /** Whether other isolates use the pool too. */
  get shared(): boolean {
    return this.#sharing !== undefined
  }

  /** The slab as this isolate sees it; a private pool's alone. */
  get memory(): ArrayBuffer {
    return this.#memory.whole
  }

  offsetOf(slot: number): number {
    return this.#memory.offsetOf(slot)
  }

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
    if (this.#magazine.length < (this.#limit[0] as number) && view.byteLength !== 0) {
      zero.call(view, 0)
      this.#magazine.push(ticket)
    } else this.#putSlow(ticket)
  }

  note({ slot }: Ticket, note: unknown): void {
    this.holders.note(slot, note)
  }

  /** How many slots `take` could get now. */
  get available(): number {
    return this.#closed ? 0 : this.#magazine.length + this.#native.available()
  }

  get cached(): number {
    return this.#magazine.length
  }

  /** Whether nothing is out: of a private pool, natively neither; of a shared pool, in this isolate's guards. */
  get allHome(): boolean {
    if (this.shared) return this.#out === 0
    return this.#native.available() + this.leaked === this.capacity
  }

  /** How many slots are in guards' hands. */
  get lent(): number {
    return this.#sequenceOf.reduce((lent, sequence) => lent + Number(sequence > 0), 0)
  }

  isLent(slot: number): boolean {
    return (this.#sequenceOf[slot] as number) > 0
  }

  /** The owner table with this isolate's slots split into those in the magazine and those in guards' hands. */
  audit(): { native: NativeAudit; cached: number; lent: number } {
    return { native: fromNative(() => this.#native.audit()), cached: this.#magazine.length, lent: this.lent }
  }

  /** A slot that native has already made this isolate's (a row that was taken out of a batch, a ticket). */
  adopt(slot: number, length: number): Ticket {
    const ticket = this.#unpark(slot)
    if (ticket === undefined) throw lostMemory()
    if (this.debug) {
      const own = freshMemory(this.bufferSize, ticket.life)
      own.set(ticket.view)
      ticket.view = own
    }
    ticket.length = length
    this.#took(ticket)
    return ticket
  }

  get mailed(): number {
    return this.#mail[0] as number
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
    const empty = ticket.view.byteLength === 0
    if (this.debug && !empty) this.#memory.view(ticket.slot, ticket.life)?.set(ticket.view)
    else if (empty && !this.debug && !this.shared) this.#show(ticket)
  }

  gaveUp(ticket: Ticket): void {
    this.#sequenceOf[ticket.slot] = 0
    ticket.length = 0
    if (this.debug) releaseMemory(ticket.view)
    this.#park(ticket)
    this.#out--
    this.#tellWhenHome()
  }

  /** Native has not taken the slot after all. A shared pool's guard has it through a new view then. */
  kept(ticket: Ticket): void {
    if (this.shared && !this.debug && ticket.view.byteLength === 0) this.#show(ticket)
  }

  /** A shared pool's slot sets out as a ticket; a private one's bytes do. */
  transfer(ticket: Ticket): string | undefined {
    const sharing = this.#sharing
    if (sharing === undefined) {
      const token = copyToken(ticket)
      this.put(ticket)
      return token
    }
    if (this.#closed) throw poolClosed()
    this.settle(ticket)
    let digits: string | undefined
    try {
      digits = sharing.native.transfer(ticket.slot, ticket.length)
    } catch (error) {
      this.kept(ticket)
      throw closedOr(wrapNative(error))
    }
    this.gaveUp(ticket)
    if (digits === undefined) {
      this.movedAway(1)
      return undefined
    }
    return slotToken(sharing.native.pool, digits)
  }

  cancel(token: string): boolean {
    const sharing = this.#sharing
    return sharing !== undefined && cancelSlots(sharing.native, token)
  }

  /** Somebody is short of slots: gives them what the magazine has, and what comes home from now on. */
  starve(source: Source): boolean {
    this.#hungry.add(source)
    this.#limit = NOTHING
    const had = this.#magazine.length > 0
    this.flushMagazine()
    return had
  }

  /** Slots have come to the native free list: those who are short of them may take them. (Native hands out a shared pool's.) */
  feed(): void {
    if (this.shared) return
    for (const source of this.#hungry) if (source.feed() === 0) this.sated(source)
  }

  /** The source needs no more slots (it was fed, or it is gone). */
  sated(source: Source): void {
    if (this.#hungry.delete(source) && this.#hungry.size === 0 && !this.#closed && !this.debug)
      this.#limit = this.#openLimit
  }

  /** No slot is handed out from now on; those that are out come home. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#limit = NOTHING
    this.#out = this.lent
    this.flushMagazine()
    this.#native.close()
    this.#tellWhenHome()
  }

  flushMagazine(): void {
    while (this.#magazine.length > 0) this.#spill(Math.min(MAILBOX, this.#magazine.length))
  }

  /** A slot that native made this isolate's, and that nobody wants any more, goes home. */
  giveBack(slot: number): void {
    this.#mail[0] = slot
    this.#handBack(1, false)
  }

  #took(ticket: Ticket): void {
    this.#sequenceOf[ticket.slot] = ++this.taken
    if (this.taken >= this.#sampleAt) this.#sample(ticket)
  }

  #takeSlow(popped: Ticket | undefined): Ticket | undefined {
    let ticket = popped
    while (!this.#closed) {
      if (ticket === undefined) {
        if (!this.#refill()) return undefined
        ticket = this.#magazine.pop()
        continue
      }
      if (this.debug) ticket.view = freshMemory(this.bufferSize, ticket.life)
      else if (ticket.view.byteLength === 0 && !this.#show(ticket)) {
        this.#park(ticket)
        ticket = undefined
        continue
      }
      this.#took(ticket)
      return ticket
    }
    return undefined
  }

  #putSlow(ticket: Ticket): void {
    if (this.debug) releaseMemory(ticket.view)
    // Debug mode lent other memory; otherwise user code has detached it. Native zeroes the slot then.
    const empty = ticket.view.byteLength === 0
    if (!empty) zero.call(ticket.view, 0)
    const most = this.#limit[0] as number
    if (most > 1 && !empty) {
      // The magazine is full: the colder half goes home at once.
      this.#spill(Math.min(MAILBOX, most >> 1))
      this.#magazine.push(ticket)
      return
    }
    this.#mail[0] = ticket.slot
    this.#park(ticket)
    this.#out--
    this.#handBack(1, empty)
    this.feed()
    this.#tellWhenHome()
  }

  #refill(): boolean {
    const want = Math.min(MAILBOX, this.#limit[0] as number) || 1
    const got = this.#native.refill(want)
    if (got < 0) {
      this.#events.closedElsewhere()
      return false
    }
    // Read backwards, so that the slot that came home last (and is still in the cache) is taken first.
    for (let i = got - 1; i >= 0; i--) {
      const ticket = this.#unpark(this.#mail[i] as number)
      if (ticket !== undefined) this.#magazine.push(ticket)
    }
    this.#events.crossed()
    return got > 0
  }

  /** The oldest tickets of the magazine go home, `most` of them or as many as there are: others may have changed the limit. */
  #spill(most: number): void {
    const tickets = this.#magazine.splice(0, most)
    for (const [at, ticket] of tickets.entries()) {
      this.#mail[at] = ticket.slot
      this.#park(ticket)
    }
    if (tickets.length > 0) this.#handBack(tickets.length, false)
  }

  #handBack(count: number, dirty: boolean): void {
    const moved = fromNative(() => this.#native.flush(count, dirty))
    if (moved > 0) this.movedAway(moved)
    this.#events.crossed()
  }

  #show(ticket: Ticket): boolean {
    const view = this.#memory.view(ticket.slot, ticket.life)
    if (view === undefined) this.movedAway(1)
    else ticket.view = view
    return view !== undefined
  }

  /** Native has taken slots out of use, because user code has moved their memory. */
  movedAway(slots: number): void {
    this.moved += slots
    this.#events.moved(slots)
  }

  #park(ticket: Ticket): void {
    this.#parked[ticket.slot] = ticket
  }

  /** The ticket of a slot that has arrived. `undefined`: its memory was moved away meanwhile, and it is out of use. */
  #unpark(slot: number): Ticket | undefined {
    const parked = this.#parked[slot]
    if (parked !== undefined && parked.view.byteLength !== 0) {
      this.#parked[slot] = undefined
      return parked
    }
    const ticket = parked ?? this.#firstTicket(slot)
    if (!this.#show(ticket)) return undefined
    this.#parked[slot] = undefined
    return ticket
  }

  /** A slot's ticket here, for good: it is lost with its guard and its view, to which nothing else refers while it is out. */
  #firstTicket(slot: number): Ticket {
    const ticket = new Ticket(this, slot, NO_BYTES)
    this.#lost?.register(ticket.life, slot)
    return ticket
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
    this.#out--
    this.#tellWhenHome()
  }

  #tellWhenHome(): void {
    if (this.#closed && this.allHome) this.#events.home()
  }
}
