import type { VethPair } from './veth.js'
import { FarEnd, xdpNear } from './xdp-ends.js'

/** How a worker's use of shared queues ends; it posts 'now' when it can be terminated. `mark(batch)`: its rows were seen. */
export const xdpEndings = {
  'inside its handler': "xdp.consume((batch) => { mark(batch); parentPort.postMessage('now'); for (;;); })",
  'inside its handler, with rows taken and views kept': `const kept = []
    xdp.consume((batch) => {
      mark(batch)
      kept.push(batch.take(0), batch.view)
      parentPort.postMessage('now')
      for (;;);
    })`,
  'while a promise holds its batch': `xdp.consume((batch) => {
    mark(batch)
    setInterval(() => parentPort.postMessage('now'), 1)
    return new Promise(() => {})
  })`,
  'while it iterates': `for await (const batch of xdp) {
    mark(batch)
    parentPort.postMessage('now')
    await new Promise((resolve) => setTimeout(resolve, 1e6))
  }`,
  'between two batches, with guards': `let batch
    while ((batch = xdp.tryReceive()) === undefined) await new Promise(setImmediate)
    mark(batch)
    batch.dispose()
    const guards = xdp.pool.acquireMany(8)
    setInterval(() => parentPort.postMessage(guards.length), 1)`,
  'at any moment': `xdp.consume((batch) => { mark(batch) })
    setTimeout(() => parentPort.postMessage('now'), (workerData.round * 7) % 23)`,
  'while it sends': `xdp.consume((batch) => { mark(batch) })
    const { pool } = xdp
    parentPort.postMessage('now')
    for (;;) {
      const guard = pool.tryAcquire()
      if (guard !== undefined) {
        guard.bytes.set(workerData.frame)
        guard.length = workerData.frame.length
        if (xdp.send(guard) === 0) guard.dispose()
      }
      await new Promise(setImmediate)
    }`,
} as const

export type XdpEnding = keyof typeof xdpEndings
export const xdpEndingNames = Object.keys(xdpEndings) as XdpEnding[]

/** Rows of a batch: what a worker that is terminated outside of its handler has received and not seen. */
export function mostUnseen(ending: XdpEnding): number {
  return ending === 'at any moment' || ending === 'while it sends' ? 64 : 0
}

export interface XdpSuccession {
  readonly workers: number
  /** Frames that were seen by somebody, and by two. */
  readonly seen: number
  readonly again: number
  /** Frames that were received, and those that the socket dropped: all that arrived. */
  readonly rxPackets: number
  readonly rxDropped: number
  /** Frames of batches that a worker had when it ended. */
  readonly rxAbandoned: number
  readonly arrived: number
  /** Those that a worker received and did not live to see. */
  readonly unseen: number
  readonly descriptorsGrown: number
  readonly exits: readonly number[]
}

/**
 * Queues that are shared, and workers that one after the other read from them while frames come, each terminated in one of the ways; in the end
 * the process itself reads what is left. Fails when a slot is not home, or anything was received twice.
 */
export async function xdpSuccession(
  pair: VethPair,
  endings: readonly XdpEnding[],
  rounds: number,
  { node, frames = 2048 }: { node?: string; frames?: number } = {},
): Promise<XdpSuccession> {
  const near = pair.near.start(
    `${xdpNear}
    import { readdirSync } from 'node:fs'
    const bodies = ${JSON.stringify(endings.map((name) => xdpEndings[name]))}
    const xdp = await open({ frames: ${frames} })
    const token = xdp.share()
    const marks = new Uint8Array(new SharedArrayBuffer(1 << 22))
    const frame = frameOf(datagram(0, 64))
    const exits = new Set()
    const run = async (body, round) => {
      const worker = startWorker(\`
        const marks = new Uint8Array(workerData.marks)
        const mark = (batch) => {
          for (let i = 0; i < batch.length; i++) {
            const bytes = batch.bytes(i)
            if (bytes.readUInt16BE(12) !== 0x0800) throw new Error('no frame of ours')
            Atomics.add(marks, bytes.readUInt32BE(42), 1)
          }
        }
        // Who died has given up its lease by now, or is about to.
        let xdp
        while (xdp === undefined) {
          try {
            xdp = XdpSocket.attach(workerData.token)
          } catch (error) {
            if (error.code !== 'WRAITH_ERR_BUSY') throw error
            await new Promise(setImmediate)
          }
        }
        \${body}
      \`, { token, marks: marks.buffer, frame, round })
      const failed = new Promise((_, reject) => worker.once('error', reject))
      await Promise.race([failed, new Promise((resolve) => worker.once('message', resolve))])
      exits.add(await worker.terminate())
    }
    print('open')
    let descriptors
    for (let round = 0; round < ${rounds}; round++) {
      await run(bodies[round % bodies.length], round)
      if (round === 4) descriptors = readdirSync('/proc/self/fd').length
    }
    print('over')
    const arrived = await next()
    // What the last one left, and what came since.
    xdp.consume((batch) => {
      for (let i = 0; i < batch.length; i++) marks[numberOf(packetOf(batch.bytes(i)).payload)]++
    })
    await until(() => {
      const { rxPackets, rxDropped } = xdp.metrics()
      return rxPackets + rxDropped >= arrived
    })
    const descriptorsGrown = readdirSync('/proc/self/fd').length - descriptors
    const { rxPackets, rxDropped, rxAbandoned } = await ended(xdp)
    let [seen, again] = [0, 0]
    for (const times of marks) {
      if (times > 0) seen++
      if (times > 1) again++
    }
    const free = await open({ frames: 64 })
    await ended(free)
    print({
      workers: ${rounds}, seen, again, rxPackets, rxDropped, rxAbandoned, arrived, unseen: rxPackets - seen,
      descriptorsGrown: Math.max(0, descriptorsGrown), exits: [...exits],
    })
    `,
    node === undefined ? {} : { node },
  )
  const far = new FarEnd(pair.far)
  await near.next()
  await far.stream({ burst: 8 })
  await near.next()
  const { sent, wire } = await far.halt()
  near.tell(sent - wire)
  const result = await near.next<XdpSuccession>()
  await near.end()
  return result
}
