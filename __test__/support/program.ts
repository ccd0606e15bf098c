import { type ChildProcessByStdio, spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Readable } from 'node:stream'
import { fileURLToPath } from 'node:url'

/** The repository, in which `import 'wraith-transport'` finds the package itself. */
export const root = fileURLToPath(new URL('../..', import.meta.url))

/** A program that hangs is killed after this long; a pass never depends on it. */
const LIMIT_MS = 50_000

/** A program of the pages or of examples/, started as a user starts it. */
export class Program {
  readonly #child: ChildProcessByStdio<null, Readable, Readable>
  readonly #closed: Promise<unknown>
  stdout = ''
  stderr = ''

  constructor(args: readonly string[], env: Readonly<Record<string, string>> = {}) {
    const { PATH = '', WRAITH_DEBUG = '' } = process.env
    this.#child = spawn(process.execPath, args, {
      cwd: root,
      env: { PATH, WRAITH_DEBUG, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: LIMIT_MS,
      killSignal: 'SIGKILL',
    })
    this.#closed = once(this.#child, 'close')
    this.#child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
      this.stdout += chunk
    })
    this.#child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
      this.stderr += chunk
    })
  }

  /** Waits until standard output matches, and returns the first group. */
  async says(pattern: RegExp): Promise<string> {
    let ended = false
    const closed = this.#closed.then(() => {
      ended = true
    })
    for (;;) {
      const match = pattern.exec(this.stdout)
      if (match !== null) return match[1] ?? match[0]
      if (ended) throw new Error(`ended before it said ${pattern}: ${this.stdout}${this.stderr}`)
      await Promise.race([once(this.#child.stdout, 'data'), closed])
    }
  }

  /** What it printed, once it has ended; the code is null when it was killed. */
  async end(): Promise<{ code: number | null; stdout: string; stderr: string }> {
    await this.#closed
    return { code: this.#child.exitCode, stdout: this.stdout, stderr: this.stderr }
  }
}
