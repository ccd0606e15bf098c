import type { Namespace } from './netns.js'
import type { NodeProcess } from './node-process.js'
import type { VethPair } from './veth.js'

const children = new URL('../children/', import.meta.url)
const nearTools = new URL('xdp-near.mjs', children).href
const farEnd = new URL('xdp-far.mjs', children).href

/** What modules that use an XdpSocket begin with: the tools of xdp-near.mjs, and `open` with few frames, so that tests are quick. */
export const xdpNear = `
import * as near from ${JSON.stringify(nearTools)}
const { NEAR, FAR, PORT, Tally, audited, datagram, ended, faultless, frameOf, guardOf, numberOf, packetOf, rejectionOf } = near
const { thrownBy, turnRound, untilNow } = near
const open = (options = {}) => XdpSocket.open('wraith0', { filter: { udpPorts: [PORT] }, frames: 512, ...options })
const next = near.toldOnes()
const tools = ${JSON.stringify(nearTools)}
`

export interface Sending {
  readonly count: number
  /** The number of the first one. */
  readonly first?: number
  /** Bytes of each, in turn; 8 or more. Default 64. */
  readonly sizes?: readonly number[]
  /** From so many ports, from `from` on. */
  readonly flows?: number
  readonly from?: number
  readonly to?: string
  readonly ports?: readonly number[]
  readonly burst?: number
}

/** What became of what was to be sent. */
export interface Sent {
  readonly sent: number
  /** Those that could not be sent. */
  readonly failed: number
  /** Those of the sent that the wire itself dropped. */
  readonly wire: number
}

export interface Heard {
  readonly heard: number
  readonly different: number
  readonly again: number
  readonly damaged: number
  readonly peers: readonly string[]
}

/** Normal UDP sockets at the far end of a pair. */
export class FarEnd {
  readonly #process: NodeProcess

  constructor(namespace: Namespace) {
    this.#process = namespace.start(`await import(${JSON.stringify(farEnd)})`, { bare: true })
  }

  #ask<T>(what: string, options: object = {}): Promise<T> {
    this.#process.tell({ what, ...options })
    return this.#process.next<T>()
  }

  /** Sends numbered datagrams. */
  send(sending: Sending): Promise<Sent> {
    return this.#ask('send', sending)
  }

  /** Sends on, `burst` datagrams a millisecond, until {@link FarEnd.halt}. */
  stream(sending: Omit<Sending, 'count'> = {}): Promise<unknown> {
    return this.#ask('stream', sending)
  }

  halt(): Promise<Sent> {
    return this.#ask('halt')
  }

  /** What is sent from now on arrives through one queue of so many. */
  queue(queue: number, queues: number): Promise<unknown> {
    return this.#ask('queue', { queue, queues })
  }

  /** Hears what comes to a port from now on. */
  listen(port?: number, family: 4 | 6 = 4): Promise<unknown> {
    return this.#ask('listen', { port, family })
  }

  /** What has come to it, once there are `count` datagrams, or when a hang's time has gone. */
  heard(count: number, port?: number, ms?: number): Promise<Heard> {
    return this.#ask('heard', { count, port, ms })
  }
}

/** Starts a module in the near namespace, with the tools. */
export function startNear(pair: VethPair, source: string): NodeProcess {
  return pair.near.start(xdpNear + source)
}

/** How frames can be seen on this Node.js: the default first. */
export const viewKinds: readonly ('zero-copy' | 'copied')[] =
  'transfer' in ArrayBuffer.prototype ? ['zero-copy', 'copied'] : ['copied']
