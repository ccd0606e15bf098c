import type { NativeAddress, NativeUdp } from '../native.js'

/** Who sent a packet; also where to send one. */
export interface Peer {
  readonly address: string
  readonly family: 'IPv4' | 'IPv6'
  readonly port: number
}

const NO_PEER = 0xffff_ffff
const ENTRY_BYTES = 32
/** Fields of an entry of the table, as 32-bit words. */
const WORDS = ENTRY_BYTES / 4
const VERSION = 6

/**
 * Peers by their number in native's cache of 4096. A peer object is made when it is first asked for and is frozen; the
 * version in the table says when a number has come to mean another peer.
 */
export class Peers {
  readonly #native: NativeUdp
  readonly #ids: Uint32Array
  readonly #bytes: Uint8Array
  readonly #halves: Uint16Array
  readonly #words: Uint32Array
  readonly #cached: (Peer | undefined)[]
  readonly #versions: Uint32Array

  constructor(native: NativeUdp, ids: Uint32Array) {
    this.#native = native
    this.#ids = ids
    const { privateBlock, columns } = native
    const { peerTable, peerCount } = columns
    this.#bytes = new Uint8Array(privateBlock, peerTable, peerCount * ENTRY_BYTES)
    this.#halves = new Uint16Array(privateBlock, peerTable, peerCount * (ENTRY_BYTES / 2))
    this.#words = new Uint32Array(privateBlock, peerTable, peerCount * WORDS)
    this.#cached = new Array<Peer | undefined>(peerCount).fill(undefined)
    this.#versions = new Uint32Array(peerCount)
  }

  at(row: number): Peer {
    const id = this.#ids[row] as number
    if (id === NO_PEER) return freeze(this.#native.source(row))
    const version = this.#words[id * WORDS + VERSION] as number
    const cached = this.#cached[id]
    if (cached !== undefined && this.#versions[id] === version) return cached
    const peer = this.#make(row, id)
    this.#cached[id] = peer
    this.#versions[id] = version
    return peer
  }

  #make(row: number, id: number): Peer {
    const half = id * (ENTRY_BYTES / 2)
    if (this.#halves[half] !== 4) return freeze(this.#native.source(row))
    const at = id * ENTRY_BYTES + 8
    const bytes = this.#bytes
    const address = `${bytes[at]}.${bytes[at + 1]}.${bytes[at + 2]}.${bytes[at + 3]}`
    return freeze({ address, family: 'IPv4', port: this.#halves[half + 1] as number })
  }
}

function freeze({ address, family, port }: NativeAddress): Peer {
  return Object.freeze({ address, family, port })
}
