import { isIP } from 'node:net'

import type { NativeUdp } from '../native.js'
import { boolean, wholeNumber } from '../validate.js'
import { resolve } from './bind.js'
import { hostName, invalidAddress, sendPort } from './options.js'
import type { Peer } from './peers.js'
import { loopback } from './sender.js'

/** How the controls reach a socket that is open. Throws when it is closed; `option` names what native refuses. */
export type Call = <T>(call: (socket: NativeUdp) => T, option?: string) => T

/** What the kernel is asked and told about a socket, other than packets. Any handle of a shared socket may use it. */
export abstract class SocketControls {
  readonly #call: Call
  readonly #family: () => 4 | 6

  /** @internal */
  constructor(call: Call, family: () => 4 | 6) {
    this.#call = call
    this.#family = family
  }

  /**
   * Fixes the peer: only its packets are received, and `send(bytes)` goes there. Host names are resolved.
   *
   * @throws (rejects) WRAITH_ERR_ALREADY_CONNECTED, WRAITH_ERR_INVALID_ADDRESS, WRAITH_ERR_SYSTEM
   */
  async connect(port: number, address?: string): Promise<void> {
    sendPort(port)
    const host = address === undefined ? loopback(this.#family()) : hostName('address', address)
    const resolved = await resolve(host, this.#family())
    this.#call((socket) => socket.connect(port, resolved), 'address')
  }

  /** Undoes `connect`. @throws WRAITH_ERR_NOT_CONNECTED */
  disconnect(): void {
    this.#call((socket) => socket.disconnect())
  }

  /** Where the socket is bound. */
  address(): Peer {
    return Object.freeze(this.#call((socket) => socket.address()))
  }

  /** Where it is connected to. @throws WRAITH_ERR_NOT_CONNECTED */
  remoteAddress(): Peer {
    return Object.freeze(this.#call((socket) => socket.remoteAddress()))
  }

  /** Joins a multicast group, on the interface with this address (IPv4) or zone (IPv6, `'::%eth0'`). */
  addMembership(group: string, multicastInterface?: string): void {
    this.#membership(true, group, undefined, multicastInterface)
  }

  /** Leaves a multicast group. */
  dropMembership(group: string, multicastInterface?: string): void {
    this.#membership(false, group, undefined, multicastInterface)
  }

  /** Joins a group for the packets of one sender only. */
  addSourceSpecificMembership(source: string, group: string, multicastInterface?: string): void {
    this.#membership(true, group, hostName('source', source), multicastInterface)
  }

  /** Undoes {@link UdpSocket.addSourceSpecificMembership}. */
  dropSourceSpecificMembership(source: string, group: string, multicastInterface?: string): void {
    this.#membership(false, group, hostName('source', source), multicastInterface)
  }

  /** Allows or forbids sending to broadcast addresses. */
  setBroadcast(on: boolean): void {
    boolean('on', on)
    this.#call((socket) => socket.setBroadcast(on))
  }

  /** Hops of unicast packets, 1 to 255. */
  setTTL(ttl: number): void {
    wholeNumber('ttl', ttl, 1, 255)
    this.#call((socket) => socket.setTtl(ttl))
  }

  /** Hops of multicast packets, 0 to 255. */
  setMulticastTTL(ttl: number): void {
    wholeNumber('ttl', ttl, 0, 255)
    this.#call((socket) => socket.setMulticastTtl(ttl))
  }

  /** Whether this machine gets its own multicast packets. */
  setMulticastLoopback(on: boolean): void {
    boolean('on', on)
    this.#call((socket) => socket.setMulticastLoopback(on))
  }

  /** The interface that multicast packets leave by. */
  setMulticastInterface(multicastInterface: string): void {
    this.#literal('multicastInterface', multicastInterface)
    this.#call((socket) => socket.setMulticastInterface(multicastInterface), 'multicastInterface')
  }

  /** SO_RCVBUF in bytes, as the kernel reports it. */
  getRecvBufferSize(): number {
    return this.#call((socket) => socket.bufferSizes()).recv.got
  }

  /** SO_SNDBUF in bytes, as the kernel reports it. */
  getSendBufferSize(): number {
    return this.#call((socket) => socket.bufferSizes()).send.got
  }

  #membership(
    join: boolean,
    group: string,
    source: string | undefined,
    multicastInterface: string | undefined,
  ): void {
    this.#literal('group', group)
    if (source !== undefined) this.#literal('source', source)
    if (multicastInterface !== undefined) this.#literal('multicastInterface', multicastInterface)
    this.#call((socket) => socket.membership(join, group, source, multicastInterface), 'group')
  }

  /** An address of the socket's family, perhaps with a zone; names are not resolved here. */
  #literal(option: string, given: string): void {
    const family = this.#family()
    if (isIP(hostName(option, given)) !== family)
      throw invalidAddress(option, given, `an IPv${family} address`)
  }
}
