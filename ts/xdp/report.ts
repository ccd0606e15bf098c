import { fromNative } from '../errors.js'
import type { NativeXdp } from './native.js'
import type { XdpInfo } from './socket-types.js'
import { inOurNames } from './support.js'
import type { XdpCounters, XdpDrops, XdpMetrics, XdpQueueMetrics } from './types.js'

type Sums = { -readonly [K in keyof XdpCounters]: XdpCounters[K] }

const NOTHING: XdpCounters = {
  rxPackets: 0,
  rxBytes: 0,
  rxBatches: 0,
  rxAbandoned: 0,
  rxEmptyPolls: 0,
  rxStarved: 0,
  rxKicks: 0,
  rxDropped: 0,
  drops: [],
  rxInvalidDescriptors: 0,
  badDescriptors: 0,
  ownershipFaults: 0,
  txPackets: 0,
  txBytes: 0,
  txCompletions: 0,
  txKicks: 0,
  txWouldBlock: 0,
  txInvalidDescriptors: 0,
}

/** The counters of all queues of a socket, frozen. */
export function metricsOf(native: NativeXdp): XdpMetrics {
  const queues = fromNative(() => native.metrics()).map(frozen)
  const sums = { ...NOTHING } as Sums
  for (const queue of queues) {
    for (const name of Object.keys(NOTHING) as (keyof XdpCounters)[]) {
      if (name !== 'drops') sums[name] += queue[name]
    }
  }
  const polls = sums.rxBatches + sums.rxEmptyPolls
  return Object.freeze({
    ...sums,
    drops: Object.freeze(together(queues.flatMap(({ drops }) => drops))),
    packetsPerPoll: polls === 0 ? 0 : sums.rxPackets / polls,
    queues: Object.freeze(queues),
  })
}

function frozen(queue: XdpQueueMetrics): XdpQueueMetrics {
  const drops = queue.drops.map((drop) => Object.freeze({ ...drop, remedy: inOurNames(drop.remedy) }))
  return Object.freeze({ ...queue, drops: Object.freeze(drops) })
}

/** One entry a reason. */
function together(drops: readonly XdpDrops[]): XdpDrops[] {
  const reasons = new Map<string, XdpDrops>()
  for (const drop of drops) {
    const frames = (reasons.get(drop.reason)?.frames ?? 0) + drop.frames
    reasons.set(drop.reason, Object.freeze({ ...drop, frames }))
  }
  return [...reasons.values()]
}

/** What a socket is, frozen; as text one line. */
export function infoOf(native: NativeXdp, views: 'zero-copy' | 'copied'): XdpInfo {
  const { text, queues, ...rest } = fromNative(() => native.info())
  const info = { ...rest, queues: Object.freeze(queues), views }
  // Not enumerable, so that the fields print and compare as data.
  Object.defineProperty(info, 'toString', { value: () => text })
  return Object.freeze(info)
}
