import { once } from 'node:events'
import { Child, startNode } from '../children.js'
import type { Site } from '../site.js'

/** RX and TX queues of each end. */
export const WIRE_QUEUES = 4

const ANSWER_MS = 20_000
const REMOVAL_MS = 10_000

/** Names and addresses of the two ends: `near` receives, `far` sends. */
export interface End {
  readonly namespace: string
  readonly link: string
  readonly address: string
  readonly mac: string
}

/** Those of TEST-NET-1; nobody but the two ends ever sees them. */
const NEAR = { link: 'wraith0', address: '192.0.2.1', mac: '02:00:00:00:00:0a' }
const FAR = { link: 'wraith1', address: '192.0.2.2', mac: '02:00:00:00:00:0b' }
/** Where StatsD listens. */
const PORT = 8125

/** What the keeper is asked to make. */
export interface LayWire {
  do: 'lay'
  near: End
  far: End
}

/** What the keeper answers: why it could not, or nothing. */
export interface Laid {
  failed: string | undefined
}

/**
 * Two network namespaces with a veth pair between them, made and removed by a process of its own that does nothing else: it removes them
 * when it is let go of, and so does it when this process dies, however that happens.
 */
export class Wire {
  readonly near: End
  readonly far: End
  readonly #keeper = startNode(new URL('./keeper.js', import.meta.url), { detached: true })
  readonly #child = new Child('the keeper of the namespaces', this.#keeper)
  #output = ''

  /** @param id part of the namespaces' names */
  constructor(id: number) {
    this.near = { namespace: `wraith-demo-${id}-near`, ...NEAR }
    this.far = { namespace: `wraith-demo-${id}-far`, ...FAR }
    this.#keeper.stderr?.on('data', (chunk: Buffer) => {
      this.#output += chunk.toString()
    })
  }

  async lay(): Promise<void> {
    const request: LayWire = { do: 'lay', near: this.near, far: this.far }
    const { failed } = await this.#child.ask<Laid>(request, ANSWER_MS)
    if (failed !== undefined) throw new Error(failed)
  }

  /** Removes everything, and waits until it is gone. The processes inside have ended before. */
  async remove(): Promise<void> {
    if (this.#keeper.exitCode !== null || this.#keeper.signalCode !== null) return
    const gone = once(this.#keeper, 'exit', { signal: AbortSignal.timeout(REMOVAL_MS) }).catch(() => [])
    if (this.#keeper.connected) this.#keeper.disconnect()
    const [code] = (await gone) as [number?]
    if (code === 0) return
    const { near, far } = this
    throw new Error(
      `the namespaces ${near.namespace} and ${far.namespace} may be left (ip netns list). ${this.#output}`.trimEnd(),
    )
  }

  get site(): Site {
    const { near, far } = this
    return {
      host: near.address,
      port: PORT,
      from: far.address,
      links: { receiver: near.link, sender: far.link },
      through: { receiver: within(near), sender: within(far) },
    }
  }
}

function within({ namespace }: End): readonly string[] {
  return ['ip', 'netns', 'exec', namespace]
}
