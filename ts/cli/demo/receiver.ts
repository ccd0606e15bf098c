import { setTimeout as delay } from 'node:timers/promises'
import { Clock } from './clock.js'
import { dropsSince, type SocketDrops, totalOf } from './drops.js'
import { HeapMeter, type HeapUse } from './heap.js'
import type { EndSeen, Opened, OpenReceiver, Received, Request } from './messages.js'
import { say, serve } from './service.js'
import { open, type Source } from './sources.js'
import { Tally } from './tally.js'

/**
 * The receiver process: one socket, one measurement. The measured time begins with the first packet of the generation
 * and ends with its end mark, both read in the handler, so that talking to the parent is outside of it.
 */

/** After the end mark nothing is under way any more; this is for a kernel whose counters lag behind. */
const SETTLE_MS = 1_000
const LIFETIME_MS = 120_000

class Measurement {
  readonly #tally: Tally
  readonly #heap = new HeapMeter()
  #source: Source | undefined
  #cpuAtBegin = process.cpuUsage()
  #beganAt = 0
  #cpuNs = 0
  #wallNs = 0
  #heapUse: HeapUse | undefined
  #dropsBefore: SocketDrops | undefined
  #droppedByProcBefore: number | undefined
  #batchesBefore: number | undefined

  constructor(request: OpenReceiver) {
    this.#tally = new Tally({
      work: request.work,
      clock: new Clock(request.epochNs),
      maxPackets: request.maxPackets,
      latencyEvery: request.latencyEvery,
      onBegin: () => this.#begin(),
      onEnd: () => this.#end(),
    })
  }

  async open(request: OpenReceiver): Promise<Opened> {
    const tally = this.#tally
    this.#source = await open(request, (bytes) => tally.datagram(bytes))
    const { port, recvBufferSize, about } = this.#source
    return { port, recvBufferSize, about }
  }

  async rest(ms: number): Promise<void> {
    await delay(ms)
    this.#dropsBefore = this.#source?.drops()
    this.#droppedByProcBefore = this.#source?.droppedByProc()
    this.#batchesBefore = this.#source?.batches()
  }

  #begin(): void {
    this.#heapUse = undefined
    this.#heap.start()
    this.#beganAt = performance.now()
    this.#cpuAtBegin = process.cpuUsage()
  }

  #end(): void {
    if (this.#heapUse === undefined && this.#beganAt > 0) {
      const cpu = process.cpuUsage(this.#cpuAtBegin)
      this.#cpuNs = (cpu.user + cpu.system) * 1e3
      this.#wallNs = (performance.now() - this.#beganAt) * 1e6
      this.#heapUse = this.#heap.stop()
    }
    say({ event: 'end' } satisfies EndSeen)
  }

  async finish(sent: number): Promise<Received> {
    const limit = performance.now() + SETTLE_MS
    while (performance.now() < limit) {
      const gone = totalOf(this.#drops() ?? {})
      if (this.#tally.packets + this.#tally.ends + gone >= sent) break
      await delay(5)
    }
    if (this.#heapUse === undefined) throw new Error('the end of the stream did not arrive')
    const received: Received = {
      ...this.#tally.read(),
      drops: this.#drops(),
      droppedByProc: this.#droppedByProc(),
      batches: difference(this.#source?.batches(), this.#batchesBefore),
      cpuNs: this.#cpuNs,
      wallNs: this.#wallNs,
      heap: this.#heapUse,
    }
    await this.#source?.close()
    return received
  }

  /** Since {@link rest}, by the library's own counter where it has one. */
  #drops(): SocketDrops | undefined {
    const now = this.#source?.drops()
    if (now !== undefined && this.#dropsBefore !== undefined) return dropsSince(now, this.#dropsBefore)
    const byProc = this.#droppedByProc()
    return byProc === undefined ? undefined : { receiveBuffer: byProc }
  }

  #droppedByProc(): number | undefined {
    return difference(this.#source?.droppedByProc(), this.#droppedByProcBefore)
  }
}

function difference(now: number | undefined, before: number | undefined): number | undefined {
  return now === undefined || before === undefined ? undefined : now - before
}

let measurement: Measurement | undefined

serve(LIFETIME_MS, (request: Request) => {
  if (request.do === 'open') {
    measurement = new Measurement(request)
    return measurement.open(request)
  }
  if (measurement === undefined) throw new Error(`'${request.do}' before 'open'`)
  if (request.do === 'rest') return measurement.rest(request.ms)
  if (request.do === 'finish') return measurement.finish(request.sent)
  throw new Error(`a receiver does not know '${request.do}'`)
})
