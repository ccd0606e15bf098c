import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { BufferChannel, BufferPool, type PoolToken } from 'wraith-transport'

import { type Inside, PoolWorker } from './support/pool-workers.ts'
import { expectAudit } from './support/pools.ts'
import { act, type Command, type Did, type Report } from './support/sharing-actor.ts'

// One command at a time, whoever carries it out, so that the model is a plain list of who holds what. What threads do at the same
// moment is the soak's matter (soak/sharing-soak.spec.ts).

const runs = Number(process.env['WRAITH_MODEL_RUNS'] ?? 40)
const WORKERS = 2
const BYTES = 64

interface Attachment {
  readonly id: number
  readonly thread: number
  open: boolean
}
interface Held {
  readonly id: number
  readonly at: Attachment
  fill: number
}
interface OnTheWay extends Held {
  readonly token: string
}

const anchor = new BufferPool({ shared: true, capacity: 1 })
const here: Inside = { pool: anchor, kept: [], notes: {}, BufferPool, BufferChannel }
const threads: ((command: Command) => Promise<Did>)[] = [(command) => act(here, command)]
const workers: PoolWorker[] = []

beforeAll(async () => {
  for (let i = 0; i < WORKERS; i++) {
    const worker = await PoolWorker.start(anchor.share())
    workers.push(worker)
    threads.push((command) => worker.run(act, command))
  }
})
afterAll(async () => {
  for (const worker of workers) await worker.terminate()
  anchor.close()
})

const pick = <T>(from: readonly T[], at: number): T | undefined => from[at % Math.max(1, from.length)]
const without = <T>(from: T[], one: T): void => void from.splice(from.indexOf(one), 1)

/** A pool with its attachments beside the plainest model of it. */
class World {
  readonly pool: BufferPool
  readonly token: PoolToken
  readonly attachments: Attachment[] = [{ id: 0, thread: 0, open: true }]
  readonly held: Held[] = []
  readonly tickets: OnTheWay[] = []
  readonly stale: string[] = []
  /** What the buffers in the channel are full of, in their order. */
  readonly sent: number[] = []
  readonly waiting: Held[] = []
  waited = false
  ids = 1

  readonly capacity: number
  readonly channel: BufferChannel

  constructor(capacity: number, copyUpTo: number) {
    this.capacity = capacity
    this.pool = new BufferPool({
      shared: true,
      capacity,
      bufferSize: BYTES,
      onExhausted: 'throw',
      ticketTimeout: 0,
    })
    this.token = this.pool.share()
    this.channel = new BufferChannel(this.pool, { copyUpTo })
    here.notes['first'] = this.pool
    here.notes['channel'] = this.channel
  }

  get free(): number {
    return this.capacity - this.held.length - this.tickets.length - this.sent.length
  }

  tell(thread: number, command: Command): Promise<Did> {
    return (threads[thread] as (command: Command) => Promise<Did>)(command)
  }

  async begin(): Promise<void> {
    for (let thread = 0; thread <= WORKERS; thread++) await this.tell(thread, { what: 'begin' })
    for (let thread = 1; thread <= WORKERS; thread++) await this.attach(thread)
  }

  async attach(thread: number): Promise<void> {
    const attachment = { id: this.ids++, thread, open: true }
    this.attachments.push(attachment)
    const channel = this.channel.share()
    const command = { what: 'attach', id: attachment.id, token: this.token, channel } as const
    expect(await this.tell(thread, command)).toEqual({})
  }

  async acquire(at: Attachment, count: number, fill: number, what: 'acquire' | 'tryAcquire' | 'acquireMany') {
    const ids = Array.from({ length: count }, () => this.ids++)
    const did = await this.tell(at.thread, { what, id: at.id, ids, fill })
    const answer = did.error ?? (did.none ? 'none' : 'taken')
    const { available = 0 } = did
    if (count > this.capacity) expect(answer).toBe('WRAITH_ERR_OUT_OF_RANGE')
    else if (!at.open) expect(answer).toBe('WRAITH_ERR_POOL_CLOSED')
    // What rests in other threads' magazines is free, and cannot be had at this moment.
    else if (available >= count) expect(answer).toBe('taken')
    else if (count > this.free)
      expect(answer).toBe(what === 'tryAcquire' ? 'none' : 'WRAITH_ERR_POOL_EXHAUSTED')
    if (answer === 'taken') for (const id of ids) this.held.push({ id, at, fill })
    expect(available).toBeLessThanOrEqual(at.open ? this.capacity : 0)
  }

  /** Takes what can be had at this moment: what is left then rests with others. */
  async drain(at: Attachment, fill: number): Promise<void> {
    if (!at.open) return
    const ids = Array.from({ length: this.capacity }, () => this.ids++)
    const { error, available = 0 } = await this.tell(at.thread, { what: 'drain', id: at.id, ids, fill })
    expect(error).toBeUndefined()
    for (const id of ids.slice(0, available)) this.held.push({ id, at, fill })
  }

  async dispose(held: Held): Promise<void> {
    expect(await this.tell(held.at.thread, { what: 'dispose', id: held.id })).toEqual({})
    without(this.held, held)
  }

  async write(held: Held, fill: number): Promise<void> {
    expect(await this.tell(held.at.thread, { what: 'write', id: held.id, fill })).toEqual({})
    held.fill = fill
  }

  async transfer(held: Held): Promise<void> {
    const { token, error } = await this.tell(held.at.thread, { what: 'transfer', id: held.id })
    // An attachment that was closed gives its buffers back, and not away.
    expect(error).toBe(held.at.open ? undefined : 'WRAITH_ERR_POOL_CLOSED')
    if (token === undefined) return
    without(this.held, held)
    this.tickets.push({ ...held, token })
  }

  async adopt(ticket: OnTheWay, at: Attachment): Promise<void> {
    const id = this.ids++
    const did = await this.tell(at.thread, { what: 'adopt', id: at.id, ids: [id], token: ticket.token })
    expect(did.error).toBe(at.open ? undefined : 'WRAITH_ERR_POOL_CLOSED')
    if (did.error !== undefined) return
    expect(did.length).toBe(ticket.fill % BYTES)
    without(this.tickets, ticket)
    this.stale.push(ticket.token)
    this.held.push({ id, at, fill: ticket.fill })
  }

  async refused(
    token: string,
    at: Attachment,
    code: string,
    what: 'adopt' | 'adoptElsewhere',
  ): Promise<void> {
    const did = await this.tell(at.thread, { what, id: at.id, ids: [this.ids++], token })
    expect(did.error).toBe(at.open || what === 'adoptElsewhere' ? code : 'WRAITH_ERR_POOL_CLOSED')
  }

  async cancel(ticket: OnTheWay): Promise<void> {
    if (!ticket.at.open) return
    expect(await this.tell(ticket.at.thread, { what: 'cancel', id: ticket.id })).toEqual({ done: true })
    expect(await this.tell(ticket.at.thread, { what: 'cancel', id: ticket.id })).toEqual({ done: false })
    without(this.tickets, ticket)
    this.stale.push(ticket.token)
  }

  async send(held: Held): Promise<void> {
    const { error } = await this.tell(held.at.thread, { what: 'send', id: held.at.id, ids: [held.id] })
    expect(error).toBe(held.at.open ? undefined : 'WRAITH_ERR_CHANNEL_CLOSED')
    if (error !== undefined) return
    without(this.held, held)
    this.sent.push(held.fill)
  }

  /** One batch, every row of which is taken. */
  async receive(at: Attachment): Promise<void> {
    const ids = Array.from({ length: 32 }, () => this.ids++)
    const { error, length } = await this.tell(at.thread, { what: 'receive', id: at.id, ids })
    expect(error).toBe(at.open ? undefined : 'WRAITH_ERR_CHANNEL_CLOSED')
    if (error !== undefined) return
    expect(length).toBe(Math.min(32, this.sent.length))
    for (const [i, fill] of this.sent.splice(0, length).entries())
      this.held.push({ id: ids[i] as number, at, fill })
  }

  async wait(at: Attachment, fill: number): Promise<void> {
    const id = this.ids++
    const { error } = await this.tell(at.thread, { what: 'wait', id: at.id, ids: [id], fill })
    expect(error).toBeUndefined()
    this.waited = true
    if (at.open) this.waiting.push({ id, at, fill })
    else expect(await this.outcome(at.thread, id)).toBe('WRAITH_ERR_POOL_CLOSED')
  }

  /** How a call of acquireAsync ends: a test that never comes to that runs into its time limit. */
  async outcome(thread: number, id: number): Promise<string> {
    return (await this.tell(thread, { what: 'outcome', id })).error ?? 'granted'
  }

  async abort(waiting: Held): Promise<void> {
    await this.tell(waiting.at.thread, { what: 'abort', id: waiting.id })
    expect(await this.outcome(waiting.at.thread, waiting.id)).toBe('WRAITH_ERR_ABORTED')
    without(this.waiting, waiting)
  }

  async detach(at: Attachment): Promise<void> {
    if (at.id === 0) return
    at.open = false
    expect(await this.tell(at.thread, { what: 'detach', id: at.id })).toEqual({})
    for (const waiting of this.waiting.filter((one) => one.at === at)) {
      expect(await this.outcome(at.thread, waiting.id)).toBe('WRAITH_ERR_POOL_CLOSED')
      without(this.waiting, waiting)
    }
  }

  /** First come, first served: whoever is first gets what is free, wherever it rested. */
  async grant(): Promise<void> {
    while (this.waiting.length > 0 && this.free > 0) {
      const first = this.waiting.shift() as Held
      expect(await this.outcome(first.at.thread, first.id)).toBe('granted')
      this.held.push(first)
    }
  }

  /** At the quiet point after every step. */
  async audit(): Promise<void> {
    const reports = await Promise.all(threads.map((tell) => tell({ what: 'report' })))
    const all = reports.map(({ report }) => report as Report)
    for (const [thread, { stamps, pending }] of all.entries()) {
      const mine = this.held.filter(({ at }) => at.thread === thread)
      expect(stamps).toEqual(Object.fromEntries(mine.map(({ id, fill }) => [id, fill])))
      const waits = this.waiting.filter(({ at }) => at.thread === thread).map(({ id }) => id)
      expect(pending).toEqual(waits)
    }
    const { free, transit, quarantined } = expectAudit(this.pool)
    expect({ transit, quarantined }).toEqual({
      transit: this.tickets.length + this.sent.length,
      quarantined: 0,
    })
    expect(this.channel.queued).toBe(this.sent.length)
    const figures = all.flatMap(({ attachments }) => attachments)
    for (const { id, lent } of figures) {
      expect(lent).toBe(this.held.filter(({ at }) => at.id === id).length)
    }
    // Those who wait have magazines flushed, each on its own loop's next turn; without them nothing moves at this moment.
    const resting = figures.reduce((sum, { cached }) => sum + cached, free)
    if (this.waited) expect(free).toBeLessThanOrEqual(this.free)
    else expect(resting).toBe(this.free)
  }

  async finish(): Promise<void> {
    this.pool.close()
    this.sent.length = 0
    for (const { at, id } of this.waiting.splice(0)) {
      expect(await this.outcome(at.thread, id)).toBe('WRAITH_ERR_POOL_CLOSED')
    }
    for (const held of [...this.held]) await this.dispose(held)
    await this.pool.closed
    for (let thread = 0; thread <= WORKERS; thread++) await this.tell(thread, { what: 'end' })
    expect(expectAudit(this.pool).free).toBe(this.capacity)
  }

  async run({ what, by, at, fill }: Step): Promise<void> {
    const who = pick(this.attachments, by) as Attachment
    const [held, ticket, waits] = [pick(this.held, at), pick(this.tickets, at), pick(this.waiting, at)]
    const stale = pick(this.stale, at)
    if (what === 'acquire' || what === 'tryAcquire') await this.acquire(who, 1, fill, what)
    if (what === 'acquireMany') await this.acquire(who, 1 + (at % 12), fill, what)
    if (what === 'drain') await this.drain(who, fill)
    if (what === 'write' && held) await this.write(held, fill)
    if (what === 'dispose' && held) await this.dispose(held)
    if (what === 'transfer' && held) await this.transfer(held)
    if (what === 'send' && held) await this.send(held)
    if (what === 'receive') await this.receive(who)
    if (what === 'adopt' && ticket) await this.adopt(ticket, who)
    if (what === 'adoptAgain' && stale) await this.refused(stale, who, 'WRAITH_ERR_STALE_TICKET', 'adopt')
    if (what === 'adoptElsewhere' && ticket)
      await this.refused(ticket.token, who, 'WRAITH_ERR_FOREIGN_BUFFER', 'adoptElsewhere')
    if (what === 'cancel' && ticket) await this.cancel(ticket)
    if (what === 'wait') await this.wait(who, fill)
    if (what === 'abort' && waits) await this.abort(waits)
    if (what === 'attach' && this.attachments.length < 8) await this.attach(by % (WORKERS + 1))
    if (what === 'detach') await this.detach(who)
    await this.grant()
    await this.audit()
  }
}

const weights = {
  acquire: 6,
  tryAcquire: 3,
  acquireMany: 3,
  drain: 2,
  write: 2,
  dispose: 6,
  transfer: 5,
  send: 5,
  receive: 3,
  adopt: 5,
  adoptAgain: 1,
  adoptElsewhere: 1,
  cancel: 2,
  wait: 4,
  abort: 1,
  attach: 1,
  detach: 1,
} as const
interface Step {
  readonly what: keyof typeof weights
  readonly by: number
  readonly at: number
  readonly fill: number
}

const step: fc.Arbitrary<Step> = fc.oneof(
  ...Object.entries(weights).map(([what, weight]) => ({
    weight,
    arbitrary: fc.record({
      what: fc.constant(what as Step['what']),
      by: fc.nat({ max: 200 }),
      at: fc.nat({ max: 200 }),
      fill: fc.integer({ min: 1, max: 255 }),
    }),
  })),
)
const capacities = fc.oneof(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 7, max: 100 }))

test('any program over several threads does what a plain list of holders does', async () => {
  await fc.assert(
    fc.asyncProperty(
      capacities,
      fc.constantFrom(0, BYTES),
      fc.array(step, { maxLength: 40, size: 'max' }),
      async (capacity, copyUpTo, steps) => {
        const world = new World(capacity, copyUpTo)
        await world.begin()
        for (const one of steps) await world.run(one)
        await world.finish()
      },
    ),
    { numRuns: runs },
  )
}, 600_000)
