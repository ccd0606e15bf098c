import { describe, expect, test } from 'vitest'
import { FrameColumns, PacketColumns, parseFrames, parsePackets, simdBackends } from 'wraith-transport'

import { expectRefusal, type Refusal, thrownBy } from './support/errors.ts'

const bytes = new Uint8Array(64)
const one = Uint32Array.of(0)
const shared = new SharedArrayBuffer(64)
const resizable = new (ArrayBuffer as unknown as new (length: number, options: object) => ArrayBuffer)(64, {
  maxByteLength: 128,
})

/** Columns whose memory was transferred away. */
function detached<T extends FrameColumns | PacketColumns>(columns: T): T {
  const memory = columns.statuses.buffer as ArrayBuffer
  structuredClone(memory, { transfer: [memory] })
  return columns
}

const type = 'WRAITH_ERR_INVALID_ARG_TYPE'
const range = 'WRAITH_ERR_OUT_OF_RANGE'
const memory = 'WRAITH_ERR_SHARED_MEMORY'

describe.each([
  { name: 'parseFrames', parse: parseFrames as (...args: unknown[]) => unknown, Columns: FrameColumns },
  { name: 'parsePackets', parse: parsePackets as (...args: unknown[]) => unknown, Columns: PacketColumns },
])('$name refuses', ({ parse, Columns }) => {
  const inColumns = new Columns(64)
  const cases: [string, unknown[], Refusal][] = [
    ['nothing', [], { code: type, option: 'bytes', given: 'undefined', allowed: 'a batch' }],
    ['a string', ['abc', one, one], { code: type, option: 'bytes', given: '"abc"' }],
    ['an ArrayBuffer', [bytes.buffer, one, one], { code: type, option: 'bytes' }],
    ['a DataView', [new DataView(bytes.buffer), one, one], { code: type, option: 'bytes' }],
    ['an object like a batch', [{ length: 1, offsets: one, lengths: one }], { code: type, option: 'bytes' }],
    [
      'offsets that are an array',
      [bytes, [0], one],
      { code: type, option: 'offsets', given: 'an array of 1' },
    ],
    ['no lengths', [bytes, one], { code: type, option: 'lengths', given: 'undefined' }],
    ['lengths of another type', [bytes, one, Int32Array.of(1)], { code: type, option: 'lengths' }],
    [
      'fewer lengths than offsets',
      [bytes, Uint32Array.of(0, 1), one],
      { code: range, option: 'lengths', given: '1' },
    ],
    [
      'columns of the other kind',
      [bytes, one, one, Columns === FrameColumns ? new PacketColumns(1) : new FrameColumns(1)],
      { code: type, option: 'columns' },
    ],
    [
      'an object with the prototype of columns',
      [bytes, one, one, Object.create(Columns.prototype)],
      { code: type, option: 'columns' },
    ],
    [
      'columns that are too short',
      [bytes, Uint32Array.of(0, 1), Uint32Array.of(1, 1), new Columns(1)],
      { code: range, option: 'columns', given: 'columns of 1', allowed: 'at least 2 rows' },
    ],
    [
      'columns that were transferred',
      [bytes, one, one, detached(new Columns(1))],
      { code: 'WRAITH_ERR_DETACHED', option: 'columns' },
    ],
    [
      'bytes in the columns',
      [new Uint8Array(inColumns.statuses.buffer), one, one, inColumns],
      { code: type, option: 'bytes' },
    ],
    ['bytes that are shared', [new Uint8Array(shared), one, one], { code: memory, option: 'bytes' }],
    [
      'offsets that are shared',
      [bytes, new Uint32Array(shared, 0, 1), one],
      { code: memory, option: 'offsets' },
    ],
    [
      'lengths that are shared',
      [bytes, one, new Uint32Array(shared, 0, 1)],
      { code: memory, option: 'lengths' },
    ],
    ['bytes that can be resized', [new Uint8Array(resizable), one, one], { code: memory, option: 'bytes' }],
    [
      'an option it does not know',
      [bytes, one, one, undefined, { back: 'sse2' }],
      { code: 'WRAITH_ERR_UNKNOWN_OPTION', option: 'back', allowed: 'backend' },
    ],
    [
      'a backend that does not exist',
      [bytes, one, one, undefined, { backend: 'mmx' }],
      { code: range, option: 'backend', given: '"mmx"', allowed: /'avx2'/ },
    ],
    [
      'a backend that is no string',
      [bytes, one, one, undefined, { backend: 4 }],
      { code: type, option: 'backend' },
    ],
  ]

  test.each(cases)('%s', (_name, args, refusal) => {
    expectRefusal(
      thrownBy(() => parse(...args)),
      refusal,
    )
  })

  test('a backend that this CPU does not have', () => {
    // No CPU has both.
    const missing = process.arch === 'arm64' ? 'avx2' : 'neon'
    const error = thrownBy(() => parse(bytes, one, one, undefined, { backend: missing }))
    expectRefusal(error, {
      code: 'WRAITH_ERR_UNSUPPORTED',
      option: 'backend',
      given: missing,
      allowed: /scalar/,
    })
    expect(simdBackends).toContain(missing)
  })

  test('nothing of places that are garbage, rows of which are out of bounds', () => {
    const columns = parse(bytes, Uint32Array.of(0xffff_ffff, 65, 0), Uint32Array.of(0xffff_ffff, 0, 65))
    const { statuses, ok } = columns as FrameColumns
    expect([ok, new Set(statuses).size]).toEqual([0, 1])
  })

  test('nothing of offsets and lengths that lie in the columns themselves', () => {
    const columns = new Columns(8)
    const words = new Uint32Array(columns.statuses.buffer, 0, 8)
    expect(parse(bytes, words, words, columns)).toBe(columns)
    expect((columns as FrameColumns).length).toBe(8)
  })
})

describe.each([
  ['FrameColumns', FrameColumns],
  ['PacketColumns', PacketColumns],
] as const)('new %s', (_name, Columns) => {
  const refusals: [unknown, Refusal][] = [
    [undefined, { code: type, option: 'capacity', given: 'undefined' }],
    ['8', { code: type, option: 'capacity', given: '"8"' }],
    [0, { code: range, option: 'capacity', given: '0' }],
    [1.5, { code: range, option: 'capacity', given: '1.5' }],
    [2 ** 24 + 1, { code: range, option: 'capacity', given: '16777217' }],
  ]
  test.each(refusals)('refuses a capacity of %s', (capacity, refusal) => {
    expectRefusal(
      thrownBy(() => new Columns(capacity as never)),
      refusal,
    )
  })

  test('has columns of its capacity in one memory, and rows only after a parse', () => {
    const columns = new Columns(3)
    const arrays = Object.values(columns).filter((value) => ArrayBuffer.isView(value))
    expect(new Set(arrays.map((array) => array.buffer)).size).toBe(1)
    expect(arrays.every((array) => (array as Uint8Array).length === 3)).toBe(true)
    expect([columns.length, columns.ok, columns.capacity]).toEqual([0, 0, 3])
    for (const row of [0, -1, 0.5, '0']) {
      expectRefusal(
        thrownBy(() => columns.explain(row as never)),
        { code: range, option: 'i' },
      )
    }
  })
})

test('rows beyond the last parse have no offset and no address', () => {
  const frames = parseFrames(bytes, one, one)
  const packets = parsePackets(bytes, one, one)
  for (const row of [1, -1, Number.NaN]) {
    expectRefusal(
      thrownBy(() => frames.offset(row)),
      { code: range, option: 'i', allowed: 'from 0 to 0' },
    )
    expectRefusal(
      thrownBy(() => packets.sourceAddress(row)),
      { code: range, option: 'i' },
    )
    expectRefusal(
      thrownBy(() => packets.destinationAddress(row)),
      { code: range, option: 'i' },
    )
  }
})
