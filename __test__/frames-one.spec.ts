import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  BufferPool,
  buildFrame,
  type Frame,
  FrameError,
  FrameFlag,
  FrameType,
  parseFrame,
  WraithError,
} from 'wraith-transport'

import { expectRefusal, type Refusal, thrownBy } from './support/errors.ts'

const whole = (max: number) => fc.integer({ min: 0, max })
const frames: fc.Arbitrary<Frame> = fc.record({
  type: fc.constantFrom(...Object.values(FrameType)),
  flags: whole(0xff),
  stream: fc.oneof(fc.constant(0), fc.integer({ min: 16, max: 0xffff })),
  sequence: fc.integer({ min: 0, max: 0xffff_ffff }),
  offset: fc.oneof(whole(2 ** 31), fc.integer({ min: 0, max: 2 ** 48 })),
  nonce: fc.uint8Array({ minLength: 8, maxLength: 8 }),
  payload: fc.uint8Array({ maxLength: 300 }),
})

test('what is built is what is parsed, field by field', () => {
  fc.assert(
    fc.property(frames, (frame) => {
      const bytes = buildFrame(frame)
      const parsed = parseFrame(bytes)
      expect({
        ...parsed,
        nonce: Uint8Array.from(parsed.nonce),
        payload: Uint8Array.from(parsed.payload),
      }).toEqual(frame)
      expect(buildFrame(parsed).equals(bytes)).toBe(true)
    }),
  )
})

test('the bytes are those of the specification', () => {
  const bytes = buildFrame({
    type: FrameType.StreamOpen,
    flags: FrameFlag.Syn | FrameFlag.Cmp,
    stream: 0x1234,
    sequence: 0x8000_0001,
    offset: 0x0000_a1b2_c3d4_e5f6,
    nonce: Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8),
    payload: Buffer.from('hi'),
  })
  expect(bytes.toString('hex')).toBe(
    ['0102030405060708', '09', '11', '1234', '80000001', '0000a1b2c3d4e5f6', '0002', '0000', '6869'].join(''),
  )
})

describe('buildFrame', () => {
  test('leaves out what is left out', () => {
    const bytes = buildFrame({ type: FrameType.Ping })
    expect(bytes.toString('hex')).toBe(`${'00'.repeat(8)}05${'00'.repeat(19)}`)
    expect(Buffer.isBuffer(bytes)).toBe(true)
  })

  test('writes into memory of the caller’s and nothing behind the frame', () => {
    const memory = new Uint8Array(40).fill(0xa5)
    const bytes = buildFrame({ type: FrameType.Data, payload: Uint8Array.of(1, 2) }, memory)
    expect([bytes.buffer, bytes.byteOffset, bytes.length]).toEqual([memory.buffer, 0, 30])
    expect([...memory.subarray(28)]).toEqual([1, 2, ...Array(10).fill(0xa5)])
  })

  test.each([0, 5, 27, 28, 29, 40])(
    'takes a payload and a nonce that lie in that memory, at byte %i',
    (at) => {
      const memory = Uint8Array.from({ length: 64 }, (_, i) => i)
      const [payload, nonce] = [memory.slice(at, at + 20), memory.slice(at, at + 8)]
      const fields = { payload: memory.subarray(at, at + 20), nonce: memory.subarray(at, at + 8) }
      const bytes = buildFrame({ type: FrameType.Data, ...fields }, memory)
      expect(bytes).toEqual(new Uint8Array(buildFrame({ type: FrameType.Data, payload, nonce })))
    },
  )

  test('writes into a slot of a pool', () => {
    const pool = new BufferPool({ bufferSize: 64, capacity: 4 })
    const guard = pool.acquire()
    const bytes = buildFrame({ type: FrameType.Ack, sequence: 3 }, guard.bytes)
    expect(parseFrame(bytes).sequence).toBe(3)
    guard.dispose()
    pool.close()
  })

  const type = 'WRAITH_ERR_INVALID_ARG_TYPE'
  const range = 'WRAITH_ERR_OUT_OF_RANGE'
  const ok = { type: FrameType.Data }
  const cases: [string, unknown, unknown, Refusal][] = [
    ['no fields', undefined, undefined, { code: type }],
    ['no type', {}, undefined, { code: type, option: 'type', given: 'undefined' }],
    ['type 0', { type: 0 }, undefined, { code: range, option: 'type', given: '0' }],
    ['type 16', { type: 16 }, undefined, { code: range, option: 'type', given: '16' }],
    ['flags 256', { ...ok, flags: 256 }, undefined, { code: range, option: 'flags', given: '256' }],
    ['stream 1', { ...ok, stream: 1 }, undefined, { code: range, option: 'stream', given: '1' }],
    ['stream 15', { ...ok, stream: 15 }, undefined, { code: range, option: 'stream', given: '15' }],
    ['stream 65536', { ...ok, stream: 65_536 }, undefined, { code: range, option: 'stream' }],
    ['sequence -1', { ...ok, sequence: -1 }, undefined, { code: range, option: 'sequence', given: '-1' }],
    ['offset 2^48 + 1', { ...ok, offset: 2 ** 48 + 1 }, undefined, { code: range, option: 'offset' }],
    [
      'an offset that is a bigint',
      { ...ok, offset: 1n },
      undefined,
      { code: type, option: 'offset', given: '1n' },
    ],
    [
      'a nonce of 7',
      { ...ok, nonce: new Uint8Array(7) },
      undefined,
      { code: range, option: 'nonce', given: '7' },
    ],
    ['a string', { ...ok, payload: 'hi' }, undefined, { code: type, option: 'payload', given: '"hi"' }],
    [
      'a payload of 8945',
      { ...ok, payload: new Uint8Array(8945) },
      undefined,
      { code: range, option: 'payload', given: '8945' },
    ],
    [
      'shared memory',
      { ...ok, payload: new Uint8Array(new SharedArrayBuffer(1)) },
      undefined,
      { code: 'WRAITH_ERR_SHARED_MEMORY', option: 'payload' },
    ],
    [
      'too little room',
      ok,
      new Uint8Array(27),
      { code: range, option: 'into', given: '27', allowed: 'at least 28' },
    ],
    ['no bytes to write to', ok, [], { code: type, option: 'into' }],
    [
      'shared memory to write to',
      ok,
      new Uint8Array(new SharedArrayBuffer(64)),
      { code: 'WRAITH_ERR_SHARED_MEMORY', option: 'into' },
    ],
    [
      'a name it does not know',
      { ...ok, seqence: 1 },
      undefined,
      { code: 'WRAITH_ERR_UNKNOWN_OPTION', option: 'seqence', allowed: 'sequence' },
    ],
  ]
  test.each(cases)('refuses %s', (_name, fields, into, refusal) => {
    const error = thrownBy(() => buildFrame(fields as never, into as never))
    expectRefusal(error, { option: error.option, ...refusal })
  })
})

describe('parseFrame', () => {
  test('shows nonce and payload where they lie, and leaves what is behind them alone', () => {
    const memory = Buffer.concat([
      buildFrame({ type: FrameType.Data, payload: Buffer.from('payload') }),
      Buffer.from('tail'),
    ])
    const { nonce, payload } = parseFrame(memory)
    expect(payload.toString()).toBe('payload')
    memory.fill(0x7a)
    expect([payload.toString(), nonce[0]]).toEqual(['zzzzzzz', 0x7a])
  })

  test('throws what is wrong with which field', () => {
    const bytes = buildFrame({ type: FrameType.Data, payload: new Uint8Array(10) })
    const error = thrownBy(() => parseFrame(bytes.subarray(0, 30)))
    expect(error).toBeInstanceOf(FrameError)
    expect(error).toBeInstanceOf(WraithError)
    expect(error).toMatchObject({
      code: 'WRAITH_ERR_INVALID_FRAME',
      option: 'bytes',
      status: 'payload-truncated',
      field: 'payload length',
      offset: 24,
      needed: 38,
      present: 30,
    })
    expectRefusal(error, { code: 'WRAITH_ERR_INVALID_FRAME', option: 'bytes', allowed: '38' })
  })

  test('refuses what is no bytes', () => {
    const type = 'WRAITH_ERR_INVALID_ARG_TYPE'
    expectRefusal(
      thrownBy(() => parseFrame('frame' as never)),
      { code: type, option: 'bytes' },
    )
    const shared = new Uint8Array(new SharedArrayBuffer(28))
    expectRefusal(
      thrownBy(() => parseFrame(shared)),
      { code: 'WRAITH_ERR_SHARED_MEMORY', option: 'bytes' },
    )
    expect(thrownBy(() => parseFrame(new Uint8Array(0)))).toMatchObject({ status: 'truncated', present: 0 })
  })
})
