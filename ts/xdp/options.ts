import { type AbortSignalLike, checkSignal } from '../abort.js'
import { invalidType, WraithError } from '../errors.js'
import { boolean, checkOptions, oneOf, wholeNumber } from '../validate.js'
import { readFilter } from './filter.js'
import type { NativeXdpOptions } from './native.js'
import { checkInterface } from './probe.js'
import { canRename } from './rows.js'
import type { XdpAttachOptions, XdpBusyPoll, XdpQueuesOptions, XdpSocketOptions } from './socket-types.js'

const ATTACH_OPTIONS = ['signal', 'views'] as const satisfies readonly (keyof XdpAttachOptions)[]

const QUEUES_OPTIONS = [
  'filter',
  'queues',
  'mode',
  'memoryBudget',
  'frames',
  'frameSize',
  'headroom',
  'txFrames',
  'rxRing',
  'txRing',
  'batchSize',
  'busyPoll',
  'promiscuous',
  'hugePages',
  'ticketTimeout',
  'signal',
] as const satisfies readonly (keyof XdpQueuesOptions)[]

const OPEN_OPTIONS = [
  ...QUEUES_OPTIONS,
  'views',
  'umem',
] as const satisfies readonly (keyof XdpSocketOptions)[]

const MODES = ['auto', 'zerocopy', 'copy', 'generic'] as const
const DEFAULT_BUDGET = 256 * 2 ** 20
/** A slab's offsets are 32-bit words. */
const MAX_BUDGET = 64 * 2 ** 30
const MAX_FRAMES = 2 ** 20
const MIN_FRAMES = 16
const MAX_QUEUES = 4096
const TICKET_TIMEOUT_MS = 30_000
const MAX_TIMEOUT_MS = 0x7fff_ffff

/** What a handle chooses for itself. */
export interface CheckedAttach {
  readonly signal: AbortSignalLike | undefined
  readonly views: 'zero-copy' | 'copied'
}

/** Checks what `XdpSocket.attach` was given. */
export function checkAttach(given: XdpAttachOptions): CheckedAttach {
  return attachOf(checkOptions('XdpSocket.attach', given, ATTACH_OPTIONS))
}

/** Checks what `XdpSocket.open` was given, but for `umem`. Nothing has been reserved when it throws. */
export function checkOpen(
  name: string,
  given: XdpSocketOptions,
): CheckedAttach & { readonly native: NativeXdpOptions } {
  const options = checkOptions('XdpSocket.open', given, OPEN_OPTIONS)
  return { ...attachOf(options), native: nativeOptions(name, options, false) }
}

/** Checks what `XdpSocket.openQueues` was given. */
export function checkOpenQueues(
  name: string,
  given: XdpQueuesOptions,
): { readonly signal: AbortSignalLike | undefined; readonly native: NativeXdpOptions } {
  const options = checkOptions('XdpSocket.openQueues', given, QUEUES_OPTIONS)
  const signal = optional('signal', options.signal, checkSignal)
  return { signal, native: nativeOptions(name, options, true) }
}

function attachOf(options: XdpAttachOptions): CheckedAttach {
  const views = oneOf('views', options.views ?? (canRename() ? 'zero-copy' : 'copied'), [
    'zero-copy',
    'copied',
  ])
  if (views === 'zero-copy' && !canRename()) {
    throw new WraithError(
      'WRAITH_ERR_UNSUPPORTED',
      `views: 'zero-copy' needs ArrayBuffer.prototype.transfer, which Node.js ${process.versions.node} lacks. Use Node.js 22 or ` +
        "newer, or views: 'copied'.",
      { option: 'views' },
    )
  }
  return { signal: optional('signal', options.signal, checkSignal), views }
}

function nativeOptions(name: string, options: XdpQueuesOptions, split: boolean): NativeXdpOptions {
  const { mode = 'auto', memoryBudget = DEFAULT_BUDGET, frameSize = 2048, headroom = 0 } = options
  const { promiscuous = false, hugePages = false, ticketTimeout = TICKET_TIMEOUT_MS } = options
  if (frameSize !== 2048 && frameSize !== 4096) {
    wholeNumber('frameSize', frameSize, 2048, 4096)
    throw new WraithError(
      'WRAITH_ERR_OUT_OF_RANGE',
      `frameSize must be 2048 or 4096, but ${String(frameSize)} was given. Pass one of the two.`,
      { option: 'frameSize' },
    )
  }
  const optionals = {
    queues: optional('queues', options.queues, queueList),
    frames: optional('frames', options.frames, (n, v) => wholeNumber(n, v, MIN_FRAMES, MAX_FRAMES)),
    txFrames: optional('txFrames', options.txFrames, (n, v) => wholeNumber(n, v, 0, MAX_FRAMES)),
    rxRing: optional('rxRing', options.rxRing, (n, v) => ringSize(n, v, 1)),
    txRing: optional('txRing', options.txRing, (n, v) => ringSize(n, v, 0)),
    batchSize: optional('batchSize', options.batchSize, (n, v) => wholeNumber(n, v, 1, 1024)),
    ...optional('busyPoll', options.busyPoll, busyPoll),
  }
  const given = Object.fromEntries(Object.entries(optionals).filter(([, value]) => value !== undefined))
  return {
    interface: checkInterface(name),
    filter: readFilter(options.filter),
    mode: oneOf('mode', mode, MODES),
    memoryBudget: wholeNumber('memoryBudget', memoryBudget, MIN_FRAMES * 2048, MAX_BUDGET),
    frameSize,
    headroom: wholeNumber('headroom', headroom, 0, 4096),
    promiscuous: boolean('promiscuous', promiscuous),
    hugePages: boolean('hugePages', hugePages),
    split,
    ticketTimeout: wholeNumber('ticketTimeout', ticketTimeout, 0, MAX_TIMEOUT_MS),
    ...given,
  }
}

function queueList(option: string, given: unknown): readonly number[] {
  if (!Array.isArray(given)) throw invalidType(option, given, 'an array of queue numbers')
  wholeNumber(
    `${option}.length`,
    given.length,
    1,
    MAX_QUEUES,
    'Name a queue, or leave the option out for all.',
  )
  return given.map((queue, i) => wholeNumber(`${option}[${i}]`, queue, 0, MAX_QUEUES - 1))
}

function ringSize(option: string, given: unknown, least: 0 | 1): number {
  const size = wholeNumber(option, given, least, MAX_FRAMES)
  if (size === 0 || Number.isInteger(Math.log2(size))) return size
  throw new WraithError(
    'WRAITH_ERR_OUT_OF_RANGE',
    `${option} must be a power of two up to ${MAX_FRAMES}, but ${size} was given. Use ${2 ** Math.ceil(Math.log2(size))}.`,
    { option },
  )
}

function busyPoll(option: string, given: unknown): { busyPollUsecs: number; busyPollBudget: number } {
  const { usecs, budget = 64 } = checkOptions(option, given as XdpBusyPoll, ['usecs', 'budget'])
  return {
    busyPollUsecs: wholeNumber(`${option}.usecs`, usecs, 1, 1_000_000),
    busyPollBudget: wholeNumber(`${option}.budget`, budget, 1, 65_535),
  }
}

function optional<T>(
  name: string,
  value: unknown,
  check: (name: string, value: unknown) => T,
): T | undefined {
  return value === undefined ? undefined : check(name, value)
}
