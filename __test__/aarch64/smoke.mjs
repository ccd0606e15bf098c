// What the addon does on 64-bit ARM, in a Node.js of that architecture: started by scripts/lib/aarch64.mjs under an emulator, beside a copy
// of the package whose addon was cross-built. Vitest's own native parts are not there, so this is node:test.

import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import { test } from 'node:test'
import {
  BufferPool,
  buildFrame,
  FrameColumns,
  FrameType,
  PacketColumns,
  parseFrame,
  parseFrames,
  parsePackets,
  simdBackend,
  UdpSocket,
} from 'wraith-transport'

const ROWS = 67

test('this is 64-bit ARM, with the addon of that architecture, and NEON is what parses', () => {
  assert.equal(process.arch, 'arm64')
  assert.deepEqual(simdBackend(), { active: 'neon', available: ['scalar', 'neon'] })
  const loaded = Object.keys(createRequire(import.meta.url).cache).filter((file) => file.endsWith('.node'))
  assert.deepEqual(
    loaded.map((file) => file.split('/').at(-1)),
    ['wraith-transport.linux-arm64-gnu.node'],
  )
})

test('a pool lends zeroed buffers, takes them back and adds up', () => {
  const pool = new BufferPool({ bufferSize: 1500, capacity: 8, onExhausted: 'throw' })
  const guards = Array.from({ length: 8 }, () => pool.acquire())
  for (const guard of guards) {
    assert.ok(guard.bytes.every((byte) => byte === 0))
    guard.bytes.fill(0xff)
  }
  assert.throws(() => pool.acquire(), { code: 'WRAITH_ERR_POOL_EXHAUSTED' })
  for (const guard of guards) guard.dispose()
  const again = pool.acquire()
  assert.ok(again.bytes.every((byte) => byte === 0))
  again.dispose()
  assert.throws(() => again.bytes, { code: 'WRAITH_ERR_STALE_BUFFER' })
  assert.equal(pool.audit().ok, true)
  pool.close()
})

/** Frames one behind the other, every fifth of them with a byte of its header changed. */
function frames() {
  const all = Array.from({ length: ROWS }, (_, i) => {
    const fields = {
      type: FrameType.Data,
      stream: 16 + i,
      sequence: 2 ** 32 - 1 - i,
      offset: i * 2 ** 40,
      flags: i,
    }
    const frame = buildFrame({ ...fields, payload: new Uint8Array(i).fill(i) })
    if (i % 5 === 0) frame[8 + (i % 20)] ^= 0xff
    return frame
  })
  return laid(all)
}

function laid(all) {
  const lengths = Uint32Array.from(all, (bytes) => bytes.length)
  const offsets = new Uint32Array(all.length)
  for (let i = 1; i < all.length; i++) offsets[i] = offsets[i - 1] + lengths[i - 1]
  return { bytes: new Uint8Array(Buffer.concat(all)), offsets, lengths }
}

/** Every array of a set of columns, by name. */
const arrays = (columns) =>
  Object.fromEntries(Object.entries(columns).filter(([, value]) => ArrayBuffer.isView(value)))

test('a frame that is built is read back', () => {
  const payload = Uint8Array.of(1, 2, 3)
  const frame = parseFrame(
    buildFrame({ type: FrameType.Ping, stream: 500, sequence: 7, offset: 2 ** 48, payload }),
  )
  const { type, stream, sequence, offset } = frame
  assert.deepEqual(
    { type, stream, sequence, offset },
    { type: FrameType.Ping, stream: 500, sequence: 7, offset: 2 ** 48 },
  )
  assert.deepEqual([...frame.payload], [1, 2, 3])
})

test('NEON and the scalar parser fill the columns of frames alike', () => {
  const { bytes, offsets, lengths } = frames()
  const [neon, scalar] = ['neon', 'scalar'].map((backend) =>
    parseFrames(bytes, offsets, lengths, new FrameColumns(ROWS), { backend }),
  )
  assert.ok(neon.ok > 0 && neon.ok < ROWS, `${neon.ok} good rows`)
  assert.equal(neon.ok, scalar.ok)
  assert.ok(Object.keys(arrays(neon)).length >= 8)
  assert.deepEqual(arrays(neon), arrays(scalar))
  assert.equal(neon.sequences[1], 2 ** 32 - 2)
})

test('NEON and the scalar parser fill the columns of packets alike', () => {
  const header = '020000000001020000000002080045000030000040004011000'.padEnd(52, '0')
  const packets = Array.from({ length: ROWS }, (_, i) => {
    const packet = Buffer.concat([Buffer.from(header, 'hex'), Buffer.alloc(36)])
    packet.writeUInt16BE(48, 16)
    packet[23] = 17
    packet.writeUInt32BE(0x0a000001 + i, 26)
    packet.writeUInt32BE(0xc0a80001, 30)
    packet.writeUInt16BE(1000 + i, 34)
    packet.writeUInt16BE(53, 36)
    packet.writeUInt16BE(28, 38)
    return i % 6 === 0 ? packet.subarray(0, 14 + i) : packet
  })
  const { bytes, offsets, lengths } = laid(packets)
  const [neon, scalar] = ['neon', 'scalar'].map((backend) =>
    parsePackets(bytes, offsets, lengths, new PacketColumns(ROWS), { backend }),
  )
  assert.ok(neon.ok > ROWS / 2 && neon.ok < ROWS, `${neon.ok} good rows`)
  assert.deepEqual(arrays(neon), arrays(scalar))
  assert.deepEqual([neon.sourcePorts[1], neon.destinationPorts[1]], [1001, 53])
})

/** A socket, or what the emulator lacks for one: QEMU 7.2 does not know the option by which Linux counts the packets that it drops. */
async function bind(t) {
  try {
    const socket = await UdpSocket.bind({ address: '127.0.0.1', port: 0 })
    t.after(() => socket.close())
    return socket
  } catch (error) {
    assert.equal(error.code, 'WRAITH_ERR_UNSUPPORTED')
    assert.match(error.message, /^setting SO_RXQ_OVFL to 1: .* \(os error 92\)/)
    t.diagnostic('not emulated: SO_RXQ_OVFL')
  }
}

test('a socket receives what node:dgram sends, byte for byte, and its batch is parsed as frames', async (t) => {
  const socket = await bind(t)
  if (socket === undefined) return
  const sender = createSocket('udp4')
  t.after(() => sender.close())
  sender.bind(0, '127.0.0.1')
  await once(sender, 'listening')
  const columns = new FrameColumns(256)
  const [sequences, ports] = [[], new Set()]
  const all = new Promise((resolve, reject) => {
    socket.consume((batch) => {
      try {
        parseFrames(batch, columns)
        for (let i = 0; i < batch.length; i++) {
          assert.equal(columns.statuses[i], 0)
          assert.deepEqual([...batch.bytes(i).subarray(28)], new Array(20).fill(columns.sequences[i]))
          sequences.push(columns.sequences[i])
          ports.add(batch.peer(i).port)
        }
        if (sequences.length === ROWS) resolve()
      } catch (error) {
        reject(error)
      }
    })
  })
  for (let i = 0; i < ROWS; i++) {
    const frame = buildFrame({ type: FrameType.Data, sequence: i, payload: new Uint8Array(20).fill(i) })
    sender.send(frame, socket.address().port, '127.0.0.1')
  }
  await all
  assert.deepEqual(
    sequences,
    Array.from({ length: ROWS }, (_, i) => i),
  )
  assert.deepEqual([...ports], [sender.address().port])
})

test('a socket sends what node:dgram receives', async (t) => {
  const receiver = createSocket('udp4')
  t.after(() => receiver.close())
  receiver.bind(0, '127.0.0.1')
  await once(receiver, 'listening')
  const socket = await bind(t)
  if (socket === undefined) return
  const arrived = once(receiver, 'message')
  assert.equal(socket.send(Buffer.from('hello'), receiver.address().port, '127.0.0.1'), true)
  const [message] = await arrived
  assert.equal(message.toString(), 'hello')
})
