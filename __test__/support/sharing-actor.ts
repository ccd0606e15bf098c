import type {
  BufferChannel,
  BufferPool,
  BufferTicket,
  ChannelToken,
  PooledBuffer,
  PoolToken,
} from 'wraith-transport'
import type { Inside } from './pool-workers.ts'

/** What a thread is told to do: `id` names an attachment, or the buffer, ticket or call it is about. */
export interface Command {
  readonly what: string
  readonly id?: number
  /** The names of the buffers that come of it. */
  readonly ids?: readonly number[]
  readonly fill?: number
  readonly token?: PoolToken | string
  readonly channel?: ChannelToken
}

/** What a thread holds; a buffer that is not the one byte throughout is reported as -1. */
export interface Report {
  readonly stamps: Readonly<Record<number, number>>
  readonly pending: readonly number[]
  readonly attachments: readonly { id: number; lent: number; cached: number }[]
}

/** What came of it. */
export interface Did {
  readonly error?: string
  readonly none?: boolean
  readonly available?: number
  readonly token?: string
  readonly length?: number
  readonly done?: boolean
  readonly report?: Report
}

interface State {
  readonly pools: Map<number, BufferPool>
  readonly channels: Map<number, BufferChannel>
  readonly guards: Map<number, PooledBuffer>
  readonly tickets: Map<number, BufferTicket>
  readonly calls: Map<number, { settled: boolean; outcome: Promise<string>; abort(): void }>
  readonly other: BufferPool
}

/** Carries a command out. It is sent to threads as text, so it uses nothing but its arguments. */
export async function act(inside: Inside, command: Command): Promise<Did> {
  const { what, id = 0, ids = [], fill = 0, token } = command
  const { notes, BufferPool, BufferChannel } = inside
  if (what === 'begin') {
    const pools = new Map(notes['first'] === undefined ? [] : [[0, notes['first'] as BufferPool]])
    const channels = new Map(notes['first'] === undefined ? [] : [[0, notes['channel'] as BufferChannel]])
    const other = new BufferPool({ shared: true, capacity: 1 })
    notes['state'] = { pools, channels, guards: new Map(), tickets: new Map(), calls: new Map(), other }
    return {}
  }
  const { pools, channels, guards, tickets, calls, other } = notes['state'] as State
  const pool = pools.get(id) as BufferPool
  const guard = guards.get(id) as PooledBuffer
  const stamp = (one: PooledBuffer, name: number, fill: number): void => {
    one.bytes.fill(fill)
    one.length = fill % one.bytes.length
    guards.set(name, one)
  }
  const fresh = (one: PooledBuffer, name: number): void => {
    if (!one.pooled || one.length !== 0 || one.bytes.some((byte) => byte !== 0))
      throw new Error('a dirty buffer')
    stamp(one, name, fill)
  }
  try {
    if (what === 'attach') {
      const attached = BufferPool.attach(token as PoolToken, { onExhausted: 'throw' })
      pools.set(id, attached)
      // One thread copies, the next one does not.
      const copyUpTo = id % 2 === 0 ? 0 : attached.bufferSize
      channels.set(id, BufferChannel.attach(command.channel as ChannelToken, attached, { copyUpTo }))
    }
    const channel = channels.get(id) as BufferChannel
    if (what === 'send') {
      const [name = 0] = ids
      const one = guards.get(name) as PooledBuffer
      one.length = one.bytes.length
      if (!channel.send(one)) throw new Error('a full channel')
      guards.delete(name)
      channel.flush()
    }
    if (what === 'receive') {
      const batch = channel.tryReceive()
      const length = batch?.length ?? 0
      for (let i = 0; i < length; i++) {
        // Every other one was looked at before.
        if (i % 2 === 1) batch?.bytes(i)
        const one = batch?.take(i) as PooledBuffer
        if (one.length !== one.bytes.length) throw new Error('another length than was sent')
        one.length = (one.bytes[0] as number) % one.bytes.length
        guards.set(ids[i] as number, one)
      }
      channel.stop()
      return { length }
    }
    if (what === 'detach') pool.close()
    if (what === 'write') stamp(guard, id, fill)
    if (what === 'dispose') {
      guards.delete(id)
      guard.dispose()
    }
    if (what === 'acquire' || what === 'tryAcquire' || what === 'acquireMany' || what === 'drain') {
      const { available } = pool
      try {
        const one = what === 'acquire' || what === 'tryAcquire' ? pool[what]() : undefined
        if (what === 'tryAcquire' && one === undefined) return { none: true, available }
        const got =
          one === undefined ? [...pool.acquireMany(what === 'drain' ? available : ids.length)] : [one]
        for (const [i, each] of got.entries()) fresh(each, ids[i] as number)
        return { available }
      } catch (error) {
        return { error: (error as { code: string }).code ?? String(error), available }
      }
    }
    if (what === 'transfer') {
      const ticket = guard.transfer()
      guards.delete(id)
      tickets.set(id, ticket)
      return { token: ticket.token }
    }
    if (what === 'adopt') {
      const one = pool.adopt(token as string)
      guards.set(ids[0] as number, one)
      return { length: one.length }
    }
    if (what === 'adoptElsewhere') other.adopt(token as string)
    if (what === 'cancel') return { done: (tickets.get(id) as BufferTicket).cancel() }
    if (what === 'wait') {
      const controller = new AbortController()
      const call = { settled: false, outcome: Promise.resolve(''), abort: () => controller.abort() }
      call.outcome = pool.acquireAsync({ signal: controller.signal }).then(
        (one) => {
          call.settled = true
          fresh(one, ids[0] as number)
          return ''
        },
        (error) => {
          call.settled = true
          return error.code as string
        },
      )
      calls.set(ids[0] as number, call)
    }
    if (what === 'abort') calls.get(id)?.abort()
    if (what === 'outcome') {
      const code = (await calls.get(id)?.outcome) as string
      return code === '' ? {} : { error: code }
    }
    if (what === 'report') {
      const stamps: Record<number, number> = {}
      for (const [name, one] of guards) {
        const [first = -1] = one.bytes
        stamps[name] = one.bytes.every((byte) => byte === first) ? first : -1
      }
      const pending = [...calls].filter(([, call]) => !call.settled).map(([name]) => name)
      const attachments = [...pools].map(([name, one]) => {
        const { lent, cached } = one.audit()
        return { id: name, lent, cached }
      })
      return { report: { stamps, pending, attachments } }
    }
    if (what === 'end') {
      for (const one of pools.values()) one.close()
      await Promise.all([...pools.values()].map((one) => one.closed))
      other.close()
    }
    return {}
  } catch (error) {
    return { error: (error as { code?: string }).code ?? String(error) }
  }
}
