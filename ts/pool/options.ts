import { outOfRange } from '../errors.js'
import { boolean, checkOptions, oneOf, wholeNumber } from '../validate.js'
import type { LeakDetection } from './leaks.js'
import type { BufferPoolOptions } from './types.js'

const OPTIONS = [
  'bufferSize',
  'capacity',
  'onExhausted',
  'maxFallback',
  'mlock',
  'hugePages',
  'leakDetection',
] as const satisfies readonly (keyof BufferPoolOptions)[]
const LEVELS = ['off', 'count', 'sampled', 'stack'] as const

export const MAX_BUFFER_SIZE = 16 * 1024 * 1024
export const MAX_CAPACITY = 1 << 20
/** The owner table and batches count a slab's bytes in 32 bits. */
const MAX_MEMORY = 0xffff_ffff

/** Options that have been checked, with their defaults. Only `undefined` asks for a default. */
export function checkPoolOptions(given: BufferPoolOptions): Required<BufferPoolOptions> {
  const {
    bufferSize = 2048,
    capacity = 1024,
    onExhausted = 'allocate',
    maxFallback = capacity,
    mlock = false,
    hugePages = false,
    leakDetection,
  } = checkOptions('BufferPool', given, OPTIONS)
  const checked = {
    bufferSize: wholeNumber('bufferSize', bufferSize, 1, MAX_BUFFER_SIZE),
    capacity: wholeNumber('capacity', capacity, 1, MAX_CAPACITY),
    onExhausted: oneOf('onExhausted', onExhausted, ['allocate', 'throw']),
    maxFallback: wholeNumber('maxFallback', maxFallback, 0, MAX_CAPACITY),
    mlock: boolean('mlock', mlock),
    hugePages: boolean('hugePages', hugePages),
    leakDetection: leakLevel(leakDetection),
  }
  if (bufferSize * capacity > MAX_MEMORY) {
    const most = `at most ${Math.floor(MAX_MEMORY / bufferSize)} for buffers of ${bufferSize} bytes (4 GiB in all)`
    throw outOfRange('capacity', capacity, most, 'Make several pools.')
  }
  return checked
}

function leakLevel(given: unknown): LeakDetection {
  if (given !== undefined) return oneOf('leakDetection', given, LEVELS)
  const environment = process.env['WRAITH_LEAK']
  return environment === undefined || environment === ''
    ? 'sampled'
    : oneOf('WRAITH_LEAK', environment, LEVELS)
}
