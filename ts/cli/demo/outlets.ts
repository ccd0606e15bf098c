import dgram from 'node:dgram'
import { once } from 'node:events'
import { UdpSocket, WraithError } from '../../../index.js'
import type { Attach } from './messages.js'

/** A socket that sends to one port. */
export interface Outlet {
  /** Sends datagram `sequence`. False: the socket is full, nothing was sent; wait for {@link writable}. */
  send(datagram: Uint8Array, sequence: number): boolean
  /**
   * Sends datagrams of `size` bytes each, numbered from `first` on, with one call: all or none. Throws
   * WRAITH_ERR_UNSUPPORTED where the system cannot; `undefined` where the socket has no such call.
   */
  sendSegments: ((run: Uint8Array, size: number, first: number) => boolean) | undefined
  writable(): Promise<void>
  /** Waits for sends under way, then says which sequence numbers were refused since the last call. */
  takeFailed(): Promise<number[]>
  close(): void
}

export function openOutlet({ outlet, ...to }: Attach): Promise<Outlet> {
  return outlet === 'dgram' ? openDgram(to) : openWraith(to)
}

type Peers = Pick<Attach, 'from' | 'host' | 'port'>

async function openDgram({ host, port }: Peers): Promise<Outlet> {
  const socket = dgram.createSocket('udp4')
  socket.connect(port, host)
  await once(socket, 'connect')
  let failed: number[] = []
  let pending = 0
  let settled: (() => void) | undefined
  return {
    send(datagram, sequence) {
      pending++
      socket.send(datagram, (error) => {
        if (error) failed.push(sequence)
        if (--pending === 0) settled?.()
      })
      return true
    },
    sendSegments: undefined,
    writable: () => Promise.resolve(),
    async takeFailed() {
      if (pending > 0) await new Promise<void>((resolve) => (settled = resolve))
      settled = undefined
      const taken = failed
      failed = []
      return taken
    },
    close: () => socket.close(),
  }
}

async function openWraith({ from, host, port }: Peers): Promise<Outlet> {
  const socket = await UdpSocket.bind({ address: from, port: 0 })
  await socket.connect(port, host)
  let failed: number[] = []
  return {
    send(datagram, sequence) {
      try {
        return socket.send(datagram)
      } catch {
        failed.push(sequence)
        return true
      }
    },
    sendSegments(run, size, first) {
      try {
        return socket.sendSegments(run, size)
      } catch (error) {
        if (error instanceof WraithError && error.code === 'WRAITH_ERR_UNSUPPORTED') throw error
        for (let i = 0; i < run.length / size; i++) failed.push(first + i)
        return true
      }
    },
    writable: () => new Promise((resolve) => socket.once('drain', () => resolve())),
    takeFailed() {
      const taken = failed
      failed = []
      return Promise.resolve(taken)
    },
    close: () => socket.close(),
  }
}
