import { invalidType, WraithError } from '../errors.js'
import type { Ticket } from './guard.js'

/** Digits of a pool's id. */
const ID = 32
/** Digits of one slot and its generation. */
const SLOT = 16
/** Instead of a slot's digits: that a copy of bytes follows, with 8 digits for how many. */
const COPY = 'x'
const COPY_HEAD = 9
const NO_POOL = '0'.repeat(ID)
const DIGITS = /^[0-9a-f]+$/

/** Where tickets come from. */
export interface TicketHome {
  /** Takes a ticket back, if nobody has adopted it. */
  cancel(token: string): boolean
}

/**
 * Buffers on their way to another thread, from `transfer()` until `pool.adopt(ticket)` or `pool.adoptMany(ticket)` there. They
 * belong to nobody meanwhile.
 *
 * Post it whole (`postMessage(ticket)` clones `{ token }`), or its `token`, a string, which costs half as much. A shared
 * pool's ticket can be adopted once, by whoever is attached to that pool; one that nobody adopts within the
 * pool's `ticketTimeout` ends, and its buffers go home. A ticket of a private pool's buffer, or of a fallback buffer, carries a
 * copy of the bytes in use.
 */
export class BufferTicket {
  /** What names the buffers: letters and digits, or a copy of bytes. */
  readonly token: string
  readonly #home: TicketHome

  /** @internal */
  constructor(home: TicketHome, token: string) {
    this.token = token
    this.#home = home
  }

  /**
   * Takes the buffers back, zeroed, those that nobody has adopted. Works where the ticket was made.
   *
   * @returns whether there were any. (A copy has nothing to take back.)
   */
  cancel(): boolean {
    return this.#home.cancel(this.token)
  }

  /** @internal */
  cancelAs(token: string): boolean {
    return this.#home.cancel(token)
  }
}

/** The token of slots of a pool. */
export function slotToken(pool: string, digits: string): string {
  return pool + digits
}

/** A token that carries the bytes in use. */
export function copyToken(ticket: Ticket): string {
  const { view, length } = ticket
  return NO_POOL + COPY + length.toString(16).padStart(8, '0') + view.toString('latin1', 0, length)
}

/** One ticket for all of them. */
export function joinTickets(tickets: readonly BufferTicket[]): BufferTicket {
  const tokens = tickets.map((ticket) => ticket.token)
  const at = tokens.findIndex((token) => !token.startsWith(NO_POOL))
  const pool = tokens[at]?.slice(0, ID) ?? NO_POOL
  for (const token of tokens) {
    if (!token.startsWith(NO_POOL) && !token.startsWith(pool)) {
      throw new WraithError(
        'WRAITH_ERR_FOREIGN_BUFFER',
        'these buffers come from several shared pools. Make one ticket for those of each pool.',
      )
    }
  }
  const home = tickets[Math.max(0, at)]
  const joined = pool + tokens.map((token) => token.slice(ID)).join('')
  return new BufferTicket({ cancel: () => home?.cancelAs(joined) ?? false }, joined)
}

/** A slot to adopt, or bytes to copy. */
export type Entry = { readonly digits: string } | { readonly bytes: string }

/** What a ticket names: a pool's slots, copies of bytes, or both. */
export interface Named {
  readonly pool: string
  readonly entries: readonly Entry[]
}

/** The token of a ticket, of a clone of one, or a token itself. */
export function tokenOf(ticket: unknown): string {
  const token =
    typeof ticket === 'string' ? ticket : (ticket as { token?: unknown } | null | undefined)?.token
  if (typeof token !== 'string') throw malformed(ticket)
  return token
}

/** The pool's id and the digits, when a token names exactly one slot. */
export function oneSlot(token: string): string | undefined {
  return token.length === ID + SLOT && token[ID] !== COPY ? token.slice(ID) : undefined
}

/** @throws WRAITH_ERR_INVALID_ARG_TYPE */
export function readToken(token: string): Named {
  const pool = token.slice(0, ID)
  const entries: Entry[] = []
  if (pool.length < ID || !DIGITS.test(pool)) throw malformed(token)
  for (let at = ID; at < token.length; ) {
    if (token[at] === COPY) {
      const length = digits(token, at + 1, at + COPY_HEAD)
      at += COPY_HEAD + length
      if (at > token.length) throw malformed(token)
      entries.push({ bytes: token.slice(at - length, at) })
    } else {
      digits(token, at, at + SLOT)
      entries.push({ digits: token.slice(at, at + SLOT) })
      at += SLOT
    }
  }
  return { pool, entries }
}

function digits(token: string, from: number, to: number): number {
  const text = token.slice(from, to)
  if (text.length < to - from || !DIGITS.test(text)) throw malformed(token)
  return Number.parseInt(text, 16)
}

function malformed(given: unknown): Error {
  return invalidType('ticket', given, 'a ticket that transfer() made, or its token')
}

/** Takes back the tickets of slots that a token names; returns whether there were any. */
export function cancelSlots(native: { cancel(digits: string): boolean }, token: string): boolean {
  const ended = readToken(token).entries.map((entry) => 'digits' in entry && native.cancel(entry.digits))
  return ended.includes(true)
}
