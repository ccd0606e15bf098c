import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import type { EndSeen, Reply, Request } from './messages.js'

/** A child said nothing, failed or ended where it should not have. */
class ChildError extends Error {
  override readonly name = 'ChildError'
}

/** Enough of what a child prints to say why it failed. */
const KEPT_OUTPUT = 4_000

/** A process of the demo, asked one thing at a time. */
export class Child {
  readonly #what: string
  readonly #process: ChildProcess
  readonly #gone: Promise<unknown>
  #output = ''
  #answer: ((reply: Reply) => void) | undefined
  #onEnd: (() => void) | undefined
  #ends = 0

  constructor(what: string, process: ChildProcess) {
    this.#what = what
    this.#process = process
    this.#gone = once(process, 'exit')
    for (const stream of [process.stdout, process.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.#output = (this.#output + chunk.toString()).slice(-KEPT_OUTPUT)
      })
    }
    process.on('error', (error) => this.#answer?.({ error: `could not be started: ${error.message}` }))
    process.on('exit', (code, signal) => {
      this.#answer?.({ error: `ended with ${signal ?? `code ${code}`}\n${this.#output}`.trimEnd() })
    })
    process.on('message', (message: Reply | EndSeen) => {
      if ('event' in message) {
        this.#ends++
        this.#onEnd?.()
      } else this.#answer?.(message)
    })
  }

  /** Sends `request` and waits for the answer, at most `limitMs`. The answer's type is the caller's word. */
  ask<T>(request: Request, limitMs: number): Promise<T> {
    return new Promise<T>((resolve, reject) => {
      const timer = setTimeout(() => answer({ error: `no answer in ${Math.round(limitMs)} ms` }), limitMs)
      const answer = (reply: Reply): void => {
        clearTimeout(timer)
        this.#answer = undefined
        if (reply.error === undefined) resolve(reply.value as T)
        else reject(new ChildError(`${this.#what}, asked to ${request.do}: ${reply.error}`))
      }
      this.#answer = answer
      if (this.#process.exitCode !== null || this.#process.signalCode !== null) {
        answer({ error: `has ended already\n${this.#output}`.trimEnd() })
      } else {
        this.#process.send(request, (error) => {
          if (error !== null) answer({ error: error.message })
        })
      }
    })
  }

  /** Waits until `count` end marks were seen in all. False after `limitMs`. */
  sawEnds(count: number, limitMs: number): Promise<boolean> {
    if (this.#ends >= count) return Promise.resolve(true)
    return new Promise((resolve) => {
      const done = (seen: boolean): void => {
        clearTimeout(timer)
        this.#onEnd = undefined
        resolve(seen)
      }
      const timer = setTimeout(() => done(false), limitMs)
      this.#onEnd = () => {
        if (this.#ends >= count) done(true)
      }
    })
  }

  get ends(): number {
    return this.#ends
  }

  /** Ends the process, by its id, and waits until it is gone. */
  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return
    if (this.#process.pid === undefined) return
    this.#process.kill('SIGKILL')
    await this.#gone
  }
}

export interface StartOptions {
  nodeOptions?: readonly string[]
  /** A program and its arguments, which runs what comes behind them. */
  through?: readonly string[]
  /** Out of reach of the terminal's signals. */
  detached?: boolean
}

/** Starts a module in a process of its own that can be talked with. */
export function startNode(
  script: URL,
  { nodeOptions = [], through = [], detached = false }: StartOptions,
): ChildProcess {
  // Nothing from the parent's command line: every child runs on Node's defaults.
  const [program = '', ...args] = [...through, process.execPath, ...nodeOptions, fileURLToPath(script)]
  return spawn(program, args, {
    serialization: 'advanced',
    stdio: ['ignore', 'pipe', 'pipe', 'ipc'],
    detached,
  })
}

/** All processes the demo started; {@link stop} leaves none. */
export class Children {
  readonly #running = new Set<Child>()
  readonly #last: (() => Promise<void>)[] = []
  #stopping: Promise<void> | undefined

  /** Starts the module at `script`. */
  start(what: string, script: URL, options: StartOptions = {}): Child {
    if (this.#stopping !== undefined) throw new ChildError('the demo was stopped')
    const child = new Child(what, startNode(script, options))
    this.#running.add(child)
    return child
  }

  async end(child: Child): Promise<void> {
    await child.stop()
    this.#running.delete(child)
  }

  /** Has `act` called when all processes have ended. */
  atEnd(act: () => Promise<void>): void {
    this.#last.push(act)
  }

  stop(): Promise<void> {
    this.#stopping ??= this.#stop()
    return this.#stopping
  }

  async #stop(): Promise<void> {
    await Promise.all([...this.#running].map((child) => this.end(child)))
    for (const act of this.#last) await act()
  }
}
