// How a side of the benchmark of AF_XDP reads: each way is made for its process's state and gets batch after batch.

import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { PacketColumns, parsePackets } from '../../../dist/index.js'
import { frameOf, NUMBERS_AT, READ } from './xdp-frames.mjs'

// Sums are modulo 2^32, so that they stay small integers: adding must not cost heap.

function firstBytes(bytes) {
  const end = Math.min(bytes.length, READ)
  let sum = 0
  for (let at = 0; at < end; at++) sum += bytes[at]
  return sum
}

export const ways = {
  /** Every byte of every frame is compared. */
  check: (state) => {
    const frame = frameOf(state.size)
    let next
    return (batch) => {
      for (let row = 0; row < batch.length; row++) {
        const bytes = batch.bytes(row)
        const number = bytes.readUInt32BE(NUMBERS_AT[0])
        for (const at of NUMBERS_AT) frame.writeUInt32BE(number, at)
        assert.equal(frame.compare(bytes), 0, 'a frame came with other bytes')
        assert.ok(next === undefined || number >= next, 'frames came in another order')
        next = number + 1
        state.sum = (state.sum + firstBytes(bytes)) | 0
      }
      state.frames += batch.length
    }
  },

  nothing: (state) => (batch) => {
    state.frames += batch.length
  },

  bytes: (state) => (batch) => {
    let sum = 0
    for (let row = 0; row < batch.length; row++) sum += firstBytes(batch.bytes(row))
    state.sum = (state.sum + sum) | 0
    state.frames += batch.length
  },

  view: (state) => (batch) => {
    const { view, offsets, length } = batch
    let sum = 0
    for (let row = 0; row < length; row++) {
      const start = offsets[row]
      for (let at = start; at < start + READ; at++) sum += view.getUint8(at)
    }
    state.sum = (state.sum + sum) | 0
    state.frames += length
  },

  /** As a program does that knows its headers. */
  fields: (state) => (batch) => {
    const { view, offsets, length } = batch
    let sum = 0
    for (let row = 0; row < length; row++) {
      const at = offsets[row]
      const number = view.getInt32(at + 8)
      const ports = view.getUint16(at + 34) + view.getUint16(at + 36)
      sum =
        (sum + number + view.getUint16(at + 12) + view.getUint8(at + 23) + ports + view.getUint16(at + 38)) |
        0
    }
    state.sum = (state.sum + sum) | 0
    state.frames += length
  },

  columns: (state) => {
    const columns = new PacketColumns(1024)
    return (batch) => {
      parsePackets(batch, columns)
      const { etherTypes, protocols, sourcePorts, destinationPorts, payloadLengths } = columns
      let sum = 0
      for (let row = 0; row < batch.length; row++) {
        sum +=
          etherTypes[row] + protocols[row] + sourcePorts[row] + destinationPorts[row] + payloadLengths[row]
      }
      state.sum = (state.sum + sum) | 0
      state.frames += batch.length
    }
  },

  take: (state) => (batch) => {
    let sum = 0
    for (let row = 0; row < batch.length; row++) {
      const guard = batch.take(row)
      sum += firstBytes(guard.bytes)
      guard.dispose()
    }
    state.sum = (state.sum + sum) | 0
    state.frames += batch.length
  },

  copy: (state) => (batch) => {
    let sum = 0
    for (let row = 0; row < batch.length; row++) sum += firstBytes(batch.copy(row))
    state.sum = (state.sum + sum) | 0
    state.frames += batch.length
  },

  /** The first bytes are read, and the whole batch goes back as it is. */
  reflect: (state) => {
    const read = ways.bytes(state)
    return (batch) => {
      read(batch)
      assert.equal(state.xdp.send(batch), batch.length)
    }
  },

  /** Only looks; no consumer. */
  look: () => () => {},

  dgram: (state) => (message) => {
    state.sum = (state.sum + firstBytes(message)) | 0
    state.frames++
  },
}

/** Datagrams that this namespace's kernel had for a socket and threw away. */
export function udpErrors() {
  const [names, values] = readFileSync('/proc/self/net/snmp', 'utf8')
    .split('\n')
    .filter((line) => line.startsWith('Udp:'))
    .map((line) => line.split(' '))
  return Number(values[names.indexOf('InErrors')])
}
