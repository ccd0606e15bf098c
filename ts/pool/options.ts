import { invalidType, outOfRange, show, WraithError } from '../errors.js'
import { boolean, checkOptions, oneOf, wholeNumber } from '../validate.js'
import type { LeakDetection } from './leaks.js'
import type { AttachOptions, BufferPoolOptions, PoolToken } from './types.js'

const OPTIONS = [
  'bufferSize',
  'capacity',
  'onExhausted',
  'maxFallback',
  'mlock',
  'hugePages',
  'leakDetection',
  'shared',
  'ticketTimeout',
] as const satisfies readonly (keyof BufferPoolOptions)[]
const ATTACH_OPTIONS = [
  'onExhausted',
  'maxFallback',
  'leakDetection',
] as const satisfies readonly (keyof AttachOptions)[]
const LEVELS = ['off', 'count', 'sampled', 'stack'] as const

export const MAX_BUFFER_SIZE = 16 * 1024 * 1024
export const MAX_CAPACITY = 1 << 20
/** The owner table and batches count a slab's bytes in 32 bits. */
const MAX_MEMORY = 0xffff_ffff

/** How long a ticket stays good when nobody adopts it, in milliseconds. */
const TICKET_TIMEOUT = 30_000

export type CheckedPoolOptions = Required<BufferPoolOptions>

/** Options that have been checked, with their defaults. Only `undefined` asks for a default. */
export function checkPoolOptions(given: BufferPoolOptions): CheckedPoolOptions {
  const {
    bufferSize = 2048,
    capacity = 1024,
    onExhausted = 'allocate',
    maxFallback = capacity,
    mlock = false,
    hugePages = false,
    leakDetection,
    shared = false,
    ticketTimeout,
  } = checkOptions('BufferPool', given, OPTIONS)
  const checked = {
    bufferSize: wholeNumber('bufferSize', bufferSize, 1, MAX_BUFFER_SIZE),
    capacity: wholeNumber('capacity', capacity, 1, MAX_CAPACITY),
    onExhausted: oneOf('onExhausted', onExhausted, ['allocate', 'throw']),
    maxFallback: wholeNumber('maxFallback', maxFallback, 0, MAX_CAPACITY),
    mlock: boolean('mlock', mlock),
    hugePages: boolean('hugePages', hugePages),
    leakDetection: leakLevel(leakDetection),
    shared: boolean('shared', shared),
    ticketTimeout: wholeNumber('ticketTimeout', ticketTimeout ?? TICKET_TIMEOUT, 0, 0xffff_ffff),
  }
  if (ticketTimeout !== undefined && !shared) {
    throw new WraithError(
      'WRAITH_ERR_NOT_SHARED',
      `ticketTimeout is ${show(ticketTimeout)}, but tickets of a private pool carry copies and do not end. ` +
        'Remove the option, or make the pool with { shared: true }.',
      { option: 'ticketTimeout' },
    )
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

/** What a pool that is attached to leaves open. */
export function checkAttachOptions(given: AttachOptions, capacity: number) {
  const {
    onExhausted = 'allocate',
    maxFallback = capacity,
    leakDetection,
  } = checkOptions('BufferPool.attach', given, ATTACH_OPTIONS)
  return {
    onExhausted: oneOf('onExhausted', onExhausted, ['allocate', 'throw']),
    maxFallback: wholeNumber('maxFallback', maxFallback, 0, MAX_CAPACITY),
    leakDetection: leakLevel(leakDetection),
  }
}

/** What a pool's token says it is. */
export const POOL_TOKEN = 'wraith-transport/pool'

/** The id in a token, as far as it looks like one. */
export function checkToken(given: PoolToken): string {
  const { kind, id } = (given ?? {}) as { readonly kind?: unknown; readonly id?: unknown }
  if (kind !== POOL_TOKEN || typeof id !== 'string') {
    throw invalidType('token', given, 'a token that share() of a pool returned')
  }
  return id
}
