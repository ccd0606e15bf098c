import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import type { Readable, Writable } from 'node:stream'
import { commandOf, type RunOptions } from './udp-process.js'

/**
 * A module in a Node.js process of its own, to talk with: `print(value)` there is `await next()` here, and what `tell(value)` sends
 * here is the next value of `for await (const value of told())` there.
 */
export class NodeProcess {
  readonly child: ChildProcessByStdio<Writable, Readable, Readable>
  readonly #lines: AsyncIterator<string>
  readonly #closed: Promise<[number | null, NodeJS.Signals | null]>
  stderr = ''

  constructor(source: string, options: RunOptions = {}) {
    const { command, rest } = commandOf(source, options)
    const [program = '', ...args] = command
    this.child = spawn(program, args, { ...rest, stdio: ['pipe', 'pipe', 'pipe'] })
    this.#closed = once(this.child, 'close') as Promise<[number | null, NodeJS.Signals | null]>
    // One that has gone already is noticed by its end.
    this.child.stdin.on('error', () => {})
    this.child.stderr.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
    this.#lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]()
  }

  /** The next value that it prints. */
  async next<T>(): Promise<T> {
    const { value, done } = await this.#lines.next()
    if (done) {
      const [code, signal] = await this.#closed
      throw new Error(`the process ended with ${signal ?? code} before it printed more\n${this.stderr}`)
    }
    return JSON.parse(value) as T
  }

  /** Sends it a value. */
  tell(value: unknown): void {
    this.child.stdin.write(`${JSON.stringify(value)}\n`)
  }

  /** How it ended, once it has no more to be told. */
  async end(): Promise<{ code: number | null; signal: NodeJS.Signals | null; stderr: string }> {
    this.child.stdin.end()
    const [code, signal] = await this.#closed
    return { code, signal, stderr: this.stderr }
  }
}
