import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { afterEach, expect } from 'vitest'
import { type Batch, type BufferPool, type Peer, UdpSocket, type UdpSocketOptions } from 'wraith-transport'

/** Both system calls that receive; what a user sees must not depend on which one it is. */
export const backends = ['recvmmsg', 'recvmsg'] as const
export const debug = !['', '0', undefined].includes(process.env['WRAITH_DEBUG'])

const open: UdpSocket[] = []
const counterparts: Socket[] = []

/** A socket on a loopback address, closed and audited after the test. */
export async function bind(options: UdpSocketOptions = {}): Promise<UdpSocket> {
  const loopback = options.type === 'udp6' ? '::1' : '127.0.0.1'
  const socket = await UdpSocket.bind(options.fd === undefined ? { address: loopback, ...options } : options)
  open.push(socket)
  return socket
}

/** Fails when a slot is not where it should be: after a test, with its sockets closed, that is at home. */
export function expectAllHome(pool: BufferPool): void {
  const audit = pool.audit()
  expect(audit.problems).toEqual([])
  const { posted, batched, op, transit, retiring } = audit
  expect({ posted, batched, op, transit, retiring }).toEqual({
    posted: 0,
    batched: 0,
    op: 0,
    transit: 0,
    retiring: 0,
  })
}

afterEach(async () => {
  const sockets = open.splice(0)
  await Promise.all(sockets.map((socket) => socket.close()))
  for (const socket of counterparts.splice(0)) socket.close()
  for (const socket of sockets) {
    expect(socket.metrics().ownershipFaults).toBe(0)
    expectAllHome(socket.pool)
  }
})

/** A `node:dgram` socket on a loopback address, closed after the test. */
export async function dgram(type: 'udp4' | 'udp6' = 'udp4', address?: string): Promise<Socket> {
  const socket = createSocket(type)
  socket.bind(0, address ?? (type === 'udp6' ? '::1' : '127.0.0.1'))
  await once(socket, 'listening')
  counterparts.push(socket)
  return socket
}

/** Sends datagrams with `node:dgram`, one after the other. On loopback they have arrived when this resolves. */
export async function deliver(
  from: Socket,
  to: { port: number; address: string },
  ...datagrams: (string | Uint8Array)[]
): Promise<void> {
  for (const [i, datagram] of datagrams.entries()) {
    // node:dgram answers in a next tick: without a turn of the loop nobody could receive meanwhile.
    if (i % 32 === 31) await new Promise(setImmediate)
    await new Promise<void>((resolve, reject) => {
      from.send(datagram, to.port, to.address, (error) => (error ? reject(error) : resolve()))
    })
  }
}

/** Looks at a condition until it holds. Bounded, so that a hang is reported by name. */
export async function until(condition: () => boolean, what = String(condition)): Promise<void> {
  for (let looks = 0; looks < 10_000; looks++) {
    if (condition()) return
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  throw new Error(`never came true: ${what}`)
}

/** Lets the event loop go round often enough for anything that is due to happen. */
export async function turns(count = 20): Promise<void> {
  for (let turn = 0; turn < count; turn++) await new Promise(setImmediate)
}

/** A row of a batch, copied out of it. */
export interface Row {
  readonly text: string
  readonly bytes: Uint8Array
  readonly peer: Peer
  readonly truncated: boolean
  readonly wireLength: number
}

export function rowsOf(batch: Batch): Row[] {
  return Array.from({ length: batch.length }, (_, i) => ({
    text: batch.bytes(i).toString(),
    bytes: Uint8Array.from(batch.bytes(i)),
    peer: batch.peer(i),
    truncated: batch.truncated(i),
    wireLength: batch.wireLength(i),
  }))
}

/** The bytes of each row as text. */
export const texts = (batch: Batch): string[] => rowsOf(batch).map((row) => row.text)

/** Consumes until `count` packets have come, and leaves the consumer in place. */
export function collect(socket: UdpSocket, count: number): Promise<Row[]> {
  const rows: Row[] = []
  return new Promise((resolve) => {
    socket.consume((batch) => {
      rows.push(...rowsOf(batch))
      if (rows.length >= count) resolve(rows)
    })
  })
}

/** Everything that waits in the kernel, batch by batch. */
export function drain(socket: UdpSocket): Row[][] {
  const batches: Row[][] = []
  for (let batch = socket.tryReceive(); batch !== undefined; batch = socket.tryReceive()) {
    batches.push(rowsOf(batch))
  }
  return batches
}

/** Bytes that differ by seed and position. */
export function pattern(length: number, seed = length): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 31 + seed * 17 + (i >> 8)) & 0xff)
}

/** Matches an error of this package by its code. */
export const failsWith = (code: string, option?: string): unknown =>
  expect.objectContaining({ code, ...(option === undefined ? {} : { option }) })
