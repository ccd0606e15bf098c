import { type ChildProcess, spawn } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../dist/ts/cli/main.js', import.meta.url))

/** Instead of the tool that was built, on the Node.js that runs the test. */
export interface RunOptions {
  readonly through?: readonly string[]
  readonly node?: string
  readonly main?: string
  /** Runs as this user and group; takes root. */
  readonly as?: number
  /** Where it finds programs. */
  readonly path?: string
}

/** A run of the command line tool whose processes can be told from all others. */
export class Run {
  readonly #mark = `WRAITH_TEST_RUN=${randomUUID()}`
  readonly child: ChildProcess
  stdout = ''
  stderr = ''

  /** @param through a program, and its arguments, that starts Node.js: `['ip', 'netns', 'exec', …]` */
  constructor(
    args: readonly string[],
    { through = [], node = process.execPath, main = MAIN, as, path }: RunOptions = {},
  ) {
    const [name = '', value = ''] = this.#mark.split('=')
    const [program = '', ...rest] = [...through, node, main, ...args]
    this.child = spawn(program, rest, {
      env: { ...process.env, [name]: value, ...(path !== undefined && { PATH: path }) },
      stdio: ['ignore', 'pipe', 'pipe'],
      ...(as !== undefined && { uid: as, gid: as }),
    })
    this.child.stdout?.on('data', (chunk: Buffer) => {
      this.stdout += chunk
    })
    this.child.stderr?.on('data', (chunk: Buffer) => {
      this.stderr += chunk
    })
  }

  /** The exit code once everything was read. */
  async end(): Promise<number | null> {
    const [code] = (await once(this.child, 'close')) as [number | null]
    return code
  }

  /** Waits until standard error says `text`. */
  async says(text: string): Promise<void> {
    while (!this.stderr.includes(text)) {
      if (this.child.exitCode !== null) throw new Error(`ended before saying ${text}: ${this.stderr}`)
      await once(this.child.stderr as NodeJS.ReadableStream, 'data')
    }
  }

  /** Ids of the processes of this run that exist now: they have inherited its environment. */
  processes(): number[] {
    return readdirSync('/proc')
      .filter((name) => /^\d+$/.test(name))
      .filter((name) => environmentOf(name).includes(this.#mark))
      .map(Number)
  }
}

/** Empty for processes that are gone, or not ours. */
function environmentOf(pid: string): string {
  return textOf(`/proc/${pid}/environ`)
}

/** The arguments of a process, the program the first. */
export function commandOf(pid: number): string[] {
  return textOf(`/proc/${pid}/cmdline`).split('\0')
}

function textOf(path: string): string {
  try {
    return readFileSync(path, 'latin1')
  } catch {
    return ''
  }
}
