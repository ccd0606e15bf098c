import type { Bytes } from '../bytes.js'
import { fromNative, invalidType, outOfRange, WraithError } from '../errors.js'
import { checkOptions, wholeNumber } from '../validate.js'
import { backendOf, parsers } from './backend.js'
import { FrameColumns, type FrameProblem } from './frame-columns.js'
import type { FrameStatusName, FrameType } from './names.js'
import { checkStable } from './parse.js'

/** Of the WRAITH header; `crates/wraith-core/src/frames/wraith` has the whole layout. */
const HEADER_BYTES = 28
const NONCE_BYTES = 8
const MAX_PAYLOAD = 8944
const MAX_OFFSET = 2 ** 48
const FIRST_STREAM = 16
const LAST_TYPE = 15

/** One frame of the WRAITH protocol. */
export interface Frame {
  /** What it is for. */
  readonly type: FrameType
  /** Bits of `FrameFlag`; those without a name are kept. */
  readonly flags: number
  /** Its stream id: 0 is the connection, 1 to 15 are reserved. */
  readonly stream: number
  /** Its sequence number: 32 bits. */
  readonly sequence: number
  /** Its offset within the stream, in bytes: up to 2^48. */
  readonly offset: number
  /** 8 bytes, for the layer that encrypts. */
  readonly nonce: Uint8Array
  /** Up to 8944 bytes. */
  readonly payload: Uint8Array
}

/** What {@link buildFrame} writes: what is left out is 0 or empty. */
export type FrameFields = Pick<Frame, 'type'> & Partial<Frame>

/** Bytes that are not a frame: what {@link parseFrame} throws, with the parts of a {@link FrameProblem}. */
export class FrameError extends WraithError {
  readonly status: FrameStatusName
  /** Which field it is about, in words. */
  readonly field: string
  /** Where the field begins, in bytes from the start of the frame. */
  readonly offset: number
  /** For lengths the bytes that are needed; for everything else, and for what is too long, the limit. */
  readonly needed: number
  /** What is there instead: bytes, or the field's value. */
  readonly present: number

  /** @internal */
  constructor({ status, field, offset, needed, present, message }: FrameProblem) {
    const what = `bytes are not a frame: ${message}. Pass the bytes of one whole frame.`
    super('WRAITH_ERR_INVALID_FRAME', what, { option: 'bytes' })
    this.status = status
    this.field = field
    this.offset = offset
    this.needed = needed
    this.present = present
  }
}

let one: FrameColumns | undefined
const START = Uint32Array.of(0)
const LENGTH = new Uint32Array(1)

/**
 * The one frame that bytes are. `nonce` and `payload` are views onto the same memory; bytes behind the payload are left alone. For
 * many frames `parseFrames` is the fast way.
 *
 * @throws WRAITH_ERR_INVALID_FRAME (a {@link FrameError}), WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_SHARED_MEMORY, and those of
 *   `simdBackend()`
 */
export function parseFrame(bytes: Uint8Array): Frame {
  checkBytes('bytes', bytes)
  backendOf('parseFrame', undefined)
  one ??= new FrameColumns(1)
  // Anything that long is no frame, whatever its exact length.
  LENGTH[0] = Math.min(bytes.length, 0xffff_ffff)
  one.parseBytes(bytes, START, LENGTH, undefined)
  const problem = one.ok === 1 ? undefined : one.explain(0)
  const offset = one.offset(0)
  one.forget()
  if (problem !== undefined) throw new FrameError(problem)
  const payload = one.payloadOffsets[0] as number
  return {
    type: one.types[0] as FrameType,
    flags: one.flags[0] as number,
    stream: one.streams[0] as number,
    sequence: one.sequences[0] as number,
    offset,
    nonce: bytes.subarray(0, NONCE_BYTES),
    payload: bytes.subarray(payload, payload + (one.payloadLengths[0] as number)),
  }
}

const FIELDS = ['type', 'flags', 'stream', 'sequence', 'offset', 'nonce', 'payload']
const NOTHING = new Uint8Array(0)
const ZEROS = new Uint8Array(NONCE_BYTES)

/**
 * Writes a frame to the start of `into`, or to a new Buffer, and returns its bytes: a view onto `into`. The payload may lie in `into`
 * already, best from byte 28 on. What it writes is what {@link parseFrame} takes.
 *
 * @throws WRAITH_ERR_INVALID_ARG_TYPE, WRAITH_ERR_OUT_OF_RANGE, WRAITH_ERR_UNKNOWN_OPTION, WRAITH_ERR_SHARED_MEMORY
 */
export function buildFrame(fields: FrameFields): Bytes
export function buildFrame<T extends Uint8Array>(fields: FrameFields, into: T): T
export function buildFrame(fields: FrameFields, into?: Uint8Array): Uint8Array {
  checkOptions('buildFrame', fields, FIELDS)
  const { payload = NOTHING, nonce = ZEROS } = fields
  const type = wholeNumber('type', fields.type, 1, LAST_TYPE)
  const flags = wholeNumber('flags', fields.flags ?? 0, 0, 0xff)
  const stream = wholeNumber('stream', fields.stream ?? 0, 0, 0xffff)
  if (stream !== 0 && stream < FIRST_STREAM) {
    throw outOfRange('stream', stream, `0 for the connection, or ${FIRST_STREAM} to 65535`)
  }
  const sequence = wholeNumber('sequence', fields.sequence ?? 0, 0, 0xffff_ffff)
  const offset = wholeNumber('offset', fields.offset ?? 0, 0, MAX_OFFSET)
  checkBytes('nonce', nonce)
  checkBytes('payload', payload)
  if (nonce.length !== NONCE_BYTES) throw wrongLength('nonce', nonce, `${NONCE_BYTES}`)
  if (payload.length > MAX_PAYLOAD) {
    throw wrongLength('payload', payload, `at most ${MAX_PAYLOAD}`)
  }
  const length = HEADER_BYTES + payload.length
  const target = into ?? Buffer.allocUnsafe(length)
  checkBytes('into', target)
  if (target.length < length) throw wrongLength('into', target, `at least ${length}`)
  const head = type * 2 ** 24 + flags * 2 ** 16 + stream
  fromNative(() => parsers().buildFrame(target, payload, nonce, head, sequence, offset))
  return target.subarray(0, length)
}

function checkBytes(option: string, bytes: unknown): asserts bytes is Uint8Array {
  if (!(bytes instanceof Uint8Array)) throw invalidType(option, bytes, 'a Uint8Array')
  checkStable(option, bytes)
}

function wrongLength(option: string, { length }: Uint8Array, allowed: string): WraithError {
  return new WraithError(
    'WRAITH_ERR_OUT_OF_RANGE',
    `${option} must have ${allowed} bytes, but it has ${length}. Pass ${allowed} bytes.`,
    { option },
  )
}
