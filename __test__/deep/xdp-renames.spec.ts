import { existsSync } from 'node:fs'
import { describe, expect } from 'vitest'
import { vethTest } from '../support/veth.js'
import { FarEnd, xdpNear } from '../support/xdp-ends.js'

const scripts = new URL('../../scripts/lib/runtimes.mjs', import.meta.url).href
const { majors, nodeOf } = (await import(scripts)) as {
  majors: readonly number[]
  nodeOf(major: number): string
}
/** Where native can give memory a new name. */
const renaming = majors.filter((major) => major >= 22)

const BATCHES = 100_000
/** Two windows and a part of a third. */
const FRAMES = 20_000
const UMEM = FRAMES * 2048
const WORKERS = 60
const MIB = 2 ** 20

interface Memory {
  readonly rss: number
  readonly heapUsed: number
  readonly external: number
}

/** Batches of one frame, each looked at, so that a window is renamed for each. */
const source = `
${xdpNear}
/** Mappings of the UMEM's size. */
const umems = () => {
  const maps = [...readFileSync('/proc/self/maps', 'utf8').matchAll(/^([0-9a-f]+)-([0-9a-f]+) /gm)]
  const sizes = maps.map(([, from, to]) => parseInt(to, 16) - parseInt(from, 16))
  return sizes.filter((size) => size >= ${UMEM} && size < ${UMEM} + (1 << 16)).length
}
const settled = async () => {
  for (let i = 0; i < 4; i++) {
    gc()
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  const { rss, heapUsed, external } = process.memoryUsage()
  return { rss, heapUsed, external }
}
const options = { filter: { udpPorts: [PORT] }, frames: ${FRAMES}, batchSize: 1 }
const [token] = await XdpSocket.openQueues('wraith0', options)
let xdp = XdpSocket.attach(token)
const kept = new Array(1000)
const views = new Array(10)
let [batches, alive, wrong] = [0, 0, 0]
const read = (batch) => {
  const at = batches % kept.length
  // Those of batches that have ended.
  if (kept[at] !== undefined && kept[at].length + kept[at].buffer.byteLength > 0) alive++
  kept[at] = batch.bytes(0)
  views[at % 10] = batch.view
  if (batch.length !== 1 || numberOf(packetOf(kept[at]).payload) >= 1 << 30) wrong++
  batches++
}
const reached = async (count) => {
  xdp.consume(read)
  await until(() => batches >= count)
  xdp.stop()
  return settled()
}
print('open')
await next()
const early = await reached(${BATCHES / 5})
const late = await reached(${BATCHES})
const during = umems()
xdp.share()
let before
let lives = 0
for (let i = 0; i < ${WORKERS}; i++) {
  if (i === ${WORKERS / 6}) before = await settled()
  const worker = startWorker(\`
    const xdp = XdpSocket.attach(workerData.token)
    const kept = new Array(100)
    let batches = 0
    xdp.consume((batch) => {
      kept[batches % 100] = [batch.bytes(0), batch.view]
      if (++batches === 100) parentPort.postMessage('reads')
    })
  \`, { token })
  await once(worker, 'message')
  if ((await worker.terminate()) === 1) lives++
}
const after = await settled()
print('done')
await next()
// It takes the lease again, and reads what the last worker has left.
while (xdp.tryReceive() !== undefined);
const still = umems()
kept.fill(undefined)
views.fill(undefined)
await ended(xdp)
xdp = undefined
await settled()
print({ batches, alive, wrong, early, late, during, lives, before, after, still, gone: umems() })
`

describe.each(renaming)('on Node.js %d', (major) => {
  vethTest(
    `${BATCHES} renamed windows with living views, and ${WORKERS} workers that are terminated, leave no memory behind`,
    {},
    async (pair) => {
      const node = nodeOf(major)
      expect(existsSync(node), `${node}: run node scripts/setup.mjs --runtimes`).toBe(true)
      const near = pair.near.start(source, { node })
      const far = new FarEnd(pair.far)
      expect(await near.next()).toBe('open')
      await far.stream({ burst: 48 })
      near.tell('go')
      expect(await near.next()).toBe('done')
      await far.halt()
      near.tell('halted')
      const { early, late, before, after, batches, ...exact } = await near.next<
        Record<'early' | 'late' | 'before' | 'after', Memory> & { readonly batches: number }
      >()
      expect(batches).toBeGreaterThanOrEqual(BATCHES)
      // The UMEM is there once, however often it was renamed and whoever has ended, and is unmapped when the last handle is closed.
      expect(exact).toEqual({ alive: 0, wrong: 0, during: 1, lives: WORKERS, still: 1, gone: 0 })
      for (const [then, now] of [
        [early, late],
        [before, after],
      ] as const) {
        expect(now.heapUsed - then.heapUsed).toBeLessThan(4 * MIB)
        expect(now.external - then.external).toBeLessThan(4 * MIB)
        expect(now.rss - then.rss).toBeLessThan(24 * MIB)
      }
      expect((await near.end()).code).toBe(0)
    },
  )
})
