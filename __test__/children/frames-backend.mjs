// Parses frames and packets with whatever backend the environment asks for, and says what came of it.

import { createHash } from 'node:crypto'
import { laidOut, mixedFrames, mixedPackets } from '../../benches/node/support/traffic.mjs'
import { FrameColumns, PacketColumns, parseFrames, parsePackets, simdBackend } from '../../dist/index.js'

const ROWS = 300
const digest = (columns) => createHash('sha256').update(new Uint8Array(columns.statuses.buffer)).digest('hex')
const refusal = (call) => {
  try {
    call()
    return undefined
  } catch ({ code, option, message }) {
    return { code, option, message }
  }
}

const frames = laidOut(mixedFrames(ROWS, 1), 2)
const packets = laidOut(mixedPackets(ROWS, 1), 2)
const columns = [new FrameColumns(ROWS), new PacketColumns(ROWS)]
const refused = refusal(() => parseFrames(frames.bytes, frames.offsets, frames.lengths, columns[0]))
if (refused === undefined) {
  parsePackets(packets.bytes, packets.offsets, packets.lengths, columns[1])
  console.log(
    JSON.stringify({ backend: simdBackend(), digests: columns.map(digest), ok: columns.map(({ ok }) => ok) }),
  )
} else {
  const named = parseFrames(frames.bytes, frames.offsets, frames.lengths, columns[0], { backend: 'scalar' })
  console.log(JSON.stringify({ refused, again: refusal(simdBackend), named: named.ok }))
}
