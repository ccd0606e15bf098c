import { isUnstable } from '../bytes.js'
import { invalidType, WraithError, wrapNative } from '../errors.js'
import type { NativeUdp } from '../native.js'
import { FALLBACK, isGuard, lostMemory, type PooledBuffer, peekTicket, takeTicket } from '../pool/guard.js'
import type { Slots } from '../pool/slots.js'
import { hostName, sendPort } from './options.js'
import type { Peer } from './peers.js'

/** Native's answer when user code has moved the memory of a slot away. */
const MOVED = 3

/** This machine, as a destination. */
export function loopback(family: 4 | 6): string {
  return family === 4 ? '127.0.0.1' : '::1'
}

/** The sending half of a socket that is open. */
export class Sender {
  readonly #native: NativeUdp
  readonly #slots: Slots
  readonly #family: 4 | 6

  constructor(native: NativeUdp, slots: Slots, family: 4 | 6) {
    this.#native = native
    this.#slots = slots
    this.#family = family
  }

  #target(to: unknown, address: unknown): { port: number; address: string | undefined } {
    if (to === undefined) return { port: 0, address: undefined }
    if (typeof to === 'object' && to !== null) {
      const peer = to as Partial<Peer>
      return { port: sendPort(peer.port), address: hostName('peer.address', peer.address) }
    }
    return {
      port: sendPort(to),
      address: address === undefined ? loopback(this.#family) : hostName('address', address),
    }
  }

  /** One datagram, or several of `segment` bytes each. */
  send(bytes: Uint8Array | string, to: unknown, address: unknown, segment: number | undefined): boolean {
    const data = typeof bytes === 'string' ? Buffer.from(bytes) : bytes
    if (!(data instanceof Uint8Array)) throw invalidType('bytes', bytes, 'a Uint8Array or a string')
    if (isUnstable(data)) {
      throw new WraithError(
        'WRAITH_ERR_SHARED_MEMORY',
        'bytes lie in a SharedArrayBuffer or a resizable ArrayBuffer, which could change while they are sent. Copy them ' +
          'into an ordinary Uint8Array first.',
        { option: 'bytes' },
      )
    }
    const target = this.#target(to, address)
    try {
      return this.#native.send(data, target.port, target.address, segment)
    } catch (error) {
      throw sendError(error)
    }
  }

  /** A guard of another pool or of the heap is sent from where it lies. */
  #sendForeign(guard: PooledBuffer, target: { port: number; address: string | undefined }): boolean {
    const { data } = guard
    let sent: boolean
    try {
      sent = this.#native.send(data, target.port, target.address)
    } catch (error) {
      throw sendError(error)
    }
    if (!sent) throw queueFull()
    guard.dispose()
    return true
  }

  /** Takes the guard over, unless it throws. */
  sendOwned(guard: PooledBuffer, peer: Peer | undefined): boolean {
    if (!isGuard(guard)) throw invalidType('guard', guard, 'a guard of a BufferPool')
    const ticket = peekTicket(guard)
    const slots = this.#slots
    const target = this.#target(peer, undefined)
    if (ticket.slot === FALLBACK || ticket.home !== slots) return this.#sendForeign(guard, target)
    slots.settle(ticket)
    let sent: number
    try {
      sent = this.#native.sendSlot(ticket.slot, ticket.length, target.port, target.address)
    } catch (error) {
      slots.kept(ticket)
      throw sendError(error)
    }
    if (sent === 0) {
      slots.kept(ticket)
      throw queueFull()
    }
    takeTicket(guard)
    slots.gaveUp(ticket)
    if (sent === MOVED) {
      slots.movedAway(1)
      throw lostMemory()
    }
    if (sent === 1) slots.feed()
    return sent === 1
  }
}

/** What a send was refused for; a wrong address is named by its argument. */
function sendError(thrown: unknown): unknown {
  const address = (thrown as { code?: unknown } | null)?.code === 'WRAITH_ERR_INVALID_ADDRESS'
  return wrapNative(thrown, address ? 'address' : undefined)
}

function queueFull(): WraithError {
  return new WraithError(
    'WRAITH_ERR_QUEUE_FULL',
    "the send buffer and the queue behind it are full; the guard is still yours. Wait for 'drain' before sending more.",
  )
}
