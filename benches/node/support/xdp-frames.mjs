// The frames that crates/wraith-transport/examples/xdp_generate.rs sends, written down once more, and what reading them must come to.

export const PORT = 6343
export const NEAR_MAC = '02:00:00:00:00:0a'
export const NEAR = '192.0.2.1'
export const FAR = '192.0.2.2'
export const HEADERS = 42
/** Where a frame's number is: in the sender's address, and in front of the payload. */
export const NUMBERS_AT = [8, HEADERS]
/** How much a reader looks at. */
export const READ = 32
const FIRST_PORT = 40_000
const IPV4 = 0x0800
const UDP = 17

/** The frame with number 0, of one flow. */
export function frameOf(size) {
  const frame = Buffer.from(Uint8Array.from({ length: size }, (_, at) => at))
  frame.set(Buffer.from(`${NEAR_MAC.replaceAll(':', '')}020000000000`, 'hex'))
  frame.writeUInt16BE(IPV4, 12)
  frame.set([0x45, 0, 0, 0, 0, 0, 0, 0, 64, UDP, 0, 0, ...[FAR, NEAR].flatMap((a) => a.split('.'))], 14)
  frame.writeUInt16BE(size - 14, 16)
  let sum = 0
  for (let at = 14; at < 34; at += 2) sum += frame.readUInt16BE(at)
  frame.writeUInt16BE(~((sum & 0xffff) + (sum >>> 16)) & 0xffff, 24)
  frame.writeUInt16BE(FIRST_PORT, 34)
  frame.writeUInt16BE(PORT, 36)
  frame.writeUInt16BE(size - 34, 38)
  frame.fill(0, 40, 46)
  return frame
}

const bytesOf = (number) =>
  (number & 255) + ((number >>> 8) & 255) + ((number >>> 16) & 255) + (number >>> 24)
const sumOf = (bytes) => bytes.subarray(0, READ).reduce((sum, byte) => sum + byte, 0)

/** What one reading of a frame comes to: of its first bytes, of its payload's first bytes, of fields, of columns. */
const EACH = {
  bytes: (size) => (number) => sumOf(frameOf(size)) + bytesOf(number),
  payload: (size) => (number) => sumOf(frameOf(size).subarray(HEADERS)) + bytesOf(number),
  fields: (size) => (number) => number + IPV4 + UDP + FIRST_PORT + PORT + size - 34,
  columns: (size) => () => IPV4 + UDP + FIRST_PORT + PORT + size - HEADERS,
  nothing: () => () => 0,
}

/** The sum of `count` readings from the frame `first` on, as a 32-bit integer. */
export function expectedSum(reading, size, first, count) {
  const each = EACH[reading](size)
  // The number is added, or its bytes are: the rest is the same for all frames.
  const rest = each(0)
  const varying =
    reading === 'fields'
      ? (number) => number
      : reading === 'bytes' || reading === 'payload'
        ? bytesOf
        : () => 0
  let sum = 0
  for (let number = first; number < first + count; number++) sum = (sum + rest + varying(number)) | 0
  return sum
}
