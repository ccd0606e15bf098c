import fc from 'fast-check'
import { expect, test } from 'vitest'
import { parseReference, parseStatsd, type StatsdTotals, zeroTotals } from '../../ts/cli/demo/statsd.ts'

function parse(text: string, start = 0): StatsdTotals {
  const totals = zeroTotals()
  parseStatsd(Buffer.from(text, 'latin1'), start, totals)
  return totals
}

test('a line adds its value and its rate in thousandths', () => {
  expect(parse('web.hits:3|c|@0.25')).toMatchObject({
    lines: 1,
    malformed: 0,
    valueMilli: 3000,
    rateMilli: 250,
  })
  expect(parse('web.ms:12.5|ms')).toMatchObject({
    lines: 1,
    malformed: 0,
    valueMilli: 12500,
    rateMilli: 1000,
  })
  expect(parse('g:0.0019|g')).toMatchObject({ lines: 1, valueMilli: 1 })
})

test('lines are told apart with and without a newline at the end', () => {
  expect(parse('a:1|c\nb:2|g')).toMatchObject({ lines: 2, valueMilli: 3000 })
  expect(parse('a:1|c\nb:2|g\n')).toEqual(parse('a:1|c\nb:2|g'))
})

test('parsing starts where it is told to', () => {
  expect(parse('xx:9|ca:1|c', 6)).toEqual(parse('a:1|c'))
})

test('names and types are told apart', () => {
  const names = ['a:1|c', 'b:1|c', 'a:1|g', 'ab:1|c'].map((line) => parse(line).names)
  expect(new Set(names).size).toBe(4)
})

test.each([
  'novalue',
  'a:|c',
  'a:1',
  'a:1|',
  'a:x|c',
  'a:1x|c',
  'a:1.2.3|c',
  'a:.|c',
  'a:1|c|',
  'a:1|c|0.1',
  'a:1|c|@',
  'a:1|c|@0',
  'a:1|c|@0.1x',
  'a:1|c|@0.1|#tag',
  '',
])('%j is counted as malformed and spoils no other line', (line) => {
  expect(parse(`${line}\nok:1|c\n`)).toEqual({ ...parse('ok:1|c'), malformed: 1 })
})

test('the byte parser agrees with the plain one on any text', () => {
  const pieces = fc.constantFrom(
    'a',
    'b',
    '1',
    '0',
    '9',
    '.',
    ':',
    '|',
    '@',
    '\n',
    'c',
    'ms',
    ':1|c',
    '|@0.5',
  )
  const text = fc.array(pieces, { maxLength: 40 }).map((parts) => parts.join(''))
  fc.assert(
    fc.property(text, (each) => {
      expect(parse(each)).toEqual(parseReference(each))
    }),
    { numRuns: 3000 },
  )
})
