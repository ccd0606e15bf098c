import type { Clock } from './clock.js'
import {
  type ContentTotals,
  DATA,
  END,
  HEADER_BYTES,
  MAGIC_0,
  MAGIC_1,
  PAYLOADS,
  readSentNs,
  readSequence,
} from './datagrams.js'
import { parseStatsd, zeroTotals } from './statsd.js'

/** The two kinds of work done for each packet. */
export type Work = 'count' | 'parse'

export interface TallyOptions {
  work: Work
  clock: Clock
  /** Sequence numbers from here on are not of this demo. */
  maxPackets: number
  /** Take the latency of about one packet in as many as this power of two, at most 65,536. */
  latencyEvery: number
  /** Called at the first packet of a new generation, before it is counted. */
  onBegin: () => void
  /** Called at each end mark of the current generation. */
  onEnd: () => void
}

const MOST_LATENCIES = 1 << 15
/** 2^32 over the golden ratio: spreads sequence numbers, so that no place in a burst is sampled more than another. */
const SPREAD = 0x9e3779b1

/** What was received in a generation. */
export interface Tallied {
  totals: ContentTotals
  ends: number
  duplicates: number
  /** Datagrams that no sender of this demo made, or that came from another generation. */
  strays: number
  /** How often each payload was received, by the sequence numbers seen. */
  payloads: Uint32Array
  /** Sum of the sequence numbers seen. */
  sequenceSum: number
  latenciesNs: Float64Array
}

/**
 * The handler that both receivers run, packet by packet, and its book-keeping: which sequence numbers came, what the
 * contents add up to, how long some of them took. It allocates nothing while packets come.
 */
export class Tally {
  readonly #options: TallyOptions
  readonly #parse: boolean
  readonly #seen: Uint32Array
  readonly #latencies: Float64Array
  readonly #latencyMask: number
  readonly #statsd = zeroTotals()
  #generation = 0
  #samples = 0
  #packets = 0
  #bytes = 0
  #ends = 0
  #duplicates = 0
  #strays = 0

  constructor(options: TallyOptions) {
    this.#options = options
    this.#parse = options.work === 'parse'
    this.#seen = new Uint32Array(Math.ceil(options.maxPackets / 32))
    this.#latencies = new Float64Array(
      Math.min(MOST_LATENCIES, Math.ceil(options.maxPackets / options.latencyEvery) + 1),
    )
    this.#latencyMask = options.latencyEvery - 1
  }

  get packets(): number {
    return this.#packets
  }

  get ends(): number {
    return this.#ends
  }

  datagram(bytes: Uint8Array): void {
    if (bytes.length < HEADER_BYTES || bytes[2] !== this.#generation || bytes[3] !== DATA) {
      if (!this.#unusual(bytes)) return
    }
    const sequence = readSequence(bytes)
    const word = sequence >>> 5
    const bit = 1 << (sequence & 31)
    if (word >= this.#seen.length || bytes[0] !== MAGIC_0 || bytes[1] !== MAGIC_1) {
      this.#strays++
      return
    }
    const seen = this.#seen[word] as number
    if ((seen & bit) !== 0) this.#duplicates++
    this.#seen[word] = seen | bit
    const sampled = ((Math.imul(sequence, SPREAD) >>> 16) & this.#latencyMask) === 0
    if (sampled && this.#samples < this.#latencies.length) {
      this.#latencies[this.#samples++] = this.#options.clock.now() - readSentNs(bytes)
    }
    this.#packets++
    this.#bytes += bytes.length
    if (this.#parse) parseStatsd(bytes, HEADER_BYTES, this.#statsd)
  }

  /** An end mark, a new generation or a stranger. True when `bytes` is a packet to count after all. */
  #unusual(bytes: Uint8Array): boolean {
    if (bytes.length < HEADER_BYTES || bytes[0] !== MAGIC_0 || bytes[1] !== MAGIC_1) {
      this.#strays++
      return false
    }
    if ((bytes[2] as number) === this.#generation + 1) this.#begin()
    else if (bytes[2] !== this.#generation) {
      this.#strays++
      return false
    }
    if (bytes[3] !== END) return bytes[3] === DATA
    this.#ends++
    this.#options.onEnd()
    return false
  }

  #begin(): void {
    this.#generation++
    this.#seen.fill(0)
    Object.assign(this.#statsd, zeroTotals())
    this.#samples = 0
    this.#packets = 0
    this.#bytes = 0
    this.#ends = 0
    this.#duplicates = 0
    this.#strays = 0
    this.#options.onBegin()
  }

  read(): Tallied {
    const payloads = new Uint32Array(PAYLOADS)
    let sequenceSum = 0
    for (let word = 0; word < this.#seen.length; word++) {
      let bits = this.#seen[word] as number
      while (bits !== 0) {
        const bit = 31 - Math.clz32(bits & -bits)
        const sequence = word * 32 + bit
        payloads[sequence % PAYLOADS] = (payloads[sequence % PAYLOADS] as number) + 1
        sequenceSum += sequence
        bits &= bits - 1
      }
    }
    return {
      totals: { packets: this.#packets, bytes: this.#bytes, statsd: { ...this.#statsd } },
      ends: this.#ends,
      duplicates: this.#duplicates,
      strays: this.#strays,
      payloads,
      sequenceSum,
      latenciesNs: this.#latencies.slice(0, this.#samples),
    }
  }
}
