import { invalidType, outOfRange, WraithError, wrapNative } from '../errors.js'
import { type Home, isGuard, PooledBuffer, PooledBuffers, peekTicket, takeTicket } from './guard.js'
import type { Sharing } from './sharing.js'
import type { Slots } from './slots.js'
import { poolClosed } from './source.js'
import { type Entry, oneSlot, readToken, tokenOf } from './ticket.js'

/** The pool that adopts. */
export interface Adopter {
  readonly slots: Slots
  readonly sharing: Sharing | undefined
  isOwn(home: Home): boolean
  acquire(): PooledBuffer
}

/** One buffer, of a ticket or of another pool's guard. */
export function adopt(pool: Adopter, given: unknown): PooledBuffer {
  if (isGuard(given)) return adoptGuard(pool, given)
  const token = tokenOf(given)
  const digits = oneSlot(token)
  const { sharing } = pool
  // What is posted most: no array and no object for it.
  if (digits !== undefined && sharing !== undefined && token.startsWith(sharing.native.pool))
    return adoptSlot(pool, sharing, digits)
  const { pool: id, entries } = readToken(token)
  const [entry] = entries
  if (entry === undefined || entries.length > 1) {
    throw outOfRange(
      'ticket',
      `${entries.length} buffers`,
      'a ticket of one buffer',
      'Use adoptMany(ticket).',
    )
  }
  return adoptEntry(pool, id, entry)
}

/** All buffers of a ticket, or none. */
export function adoptMany(pool: Adopter, given: unknown): PooledBuffers {
  if (isGuard(given)) throw invalidType('ticket', given, 'a ticket that transfer() made, or its token')
  const token = tokenOf(given)
  const { pool: id, entries } = readToken(token)
  const guards = new PooledBuffers()
  try {
    for (const entry of entries) guards.push(adoptEntry(pool, id, entry))
  } catch (error) {
    guards.dispose()
    if (!(error instanceof WraithError && error.code === 'WRAITH_ERR_FOREIGN_BUFFER'))
      pool.slots.cancel(token)
    throw error
  }
  return guards
}

function adoptEntry(pool: Adopter, id: string, entry: Entry): PooledBuffer {
  if ('bytes' in entry) {
    const { bytes } = entry
    return fill(pool, bytes.length, (guard) => guard.bytes.write(bytes, 0, bytes.length, 'latin1'))
  }
  const { sharing } = pool
  if (sharing === undefined || sharing.native.pool !== id) {
    throw new WraithError(
      'WRAITH_ERR_FOREIGN_BUFFER',
      'this ticket comes from another pool, where it is still good. Let a pool adopt it that is attached to the one it was ' +
        'made from, or adopt it there and pass the guard.',
      { option: 'ticket' },
    )
  }
  return adoptSlot(pool, sharing, entry.digits)
}

function adoptSlot({ slots }: Adopter, sharing: Sharing, digits: string): PooledBuffer {
  let slot: number
  try {
    slot = sharing.native.adopt(digits)
  } catch (thrown) {
    throw refusal(wrapNative(thrown, 'ticket'))
  }
  return new PooledBuffer(slots.adopt(slot, slots.mailed))
}

function adoptGuard(pool: Adopter, guard: PooledBuffer): PooledBuffer {
  const { view, length, home } = peekTicket(guard)
  if (pool.isOwn(home)) return new PooledBuffer(takeTicket(guard))
  const copy = fill(pool, length, (into) => into.bytes.set(view.subarray(0, length)))
  guard.dispose()
  return copy
}

function fill(pool: Adopter, length: number, write: (guard: PooledBuffer) => void): PooledBuffer {
  const { bufferSize } = pool.slots
  if (length > bufferSize) {
    const most = `at most ${bufferSize} bytes, this pool's bufferSize`
    throw outOfRange('ticket', `${length} bytes`, most, 'Make the pool with larger buffers.')
  }
  const guard = pool.acquire()
  write(guard)
  guard.length = length
  return guard
}

function refusal(error: unknown): unknown {
  if (!(error instanceof WraithError)) return error
  if (error.code === 'WRAITH_ERR_POOL_CLOSED') return poolClosed()
  // A number that the pool does not have was never in a ticket.
  if (error.code !== 'WRAITH_ERR_STALE_TICKET' && error.code !== 'WRAITH_ERR_OUT_OF_RANGE') return error
  return new WraithError(
    'WRAITH_ERR_STALE_TICKET',
    'this ticket is not good any more: it was adopted, cancelled, or taken back after the ticketTimeout of its pool. ' +
      'Adopt a ticket once, and soon.',
    { option: 'ticket', cause: error },
  )
}
