import { type ChildProcess, type ChildProcessByStdio, execFileSync, spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import type { Readable, Writable } from 'node:stream'
import { NodeProcess } from './node-process.js'
import { type RunOptions, resultOf } from './udp-process.js'

/** A process to be written to and read from. */
export type PipedProcess = ChildProcessByStdio<Writable, Readable, null>

/** What this machine lacks for network namespaces, or nothing. */
export function missingForNamespaces(): string | undefined {
  if (process.getuid?.() !== 0) return 'network namespaces need root: run the suite as root'
  try {
    execFileSync('ip', ['-Version'], { stdio: 'ignore' })
    execFileSync('tc', ['-Version'], { stdio: 'ignore' })
    return undefined
  } catch {
    return 'ip and tc are missing: apt-get install iproute2'
  }
}

/** What is disposed of when the process of the tests ends before the test does. */
const alive = new Set<Namespace>()
process.once('exit', () => {
  for (const each of alive) each[Symbol.dispose]()
})

/**
 * A network namespace of the test's own, loopback up: its interfaces, addresses and queues are nobody else's. A Node.js process cannot
 * enter one, so what happens inside happens in child processes. Disposing of it kills those that are left and removes the namespace, and
 * with it the interfaces inside.
 */
export class Namespace implements Disposable {
  readonly name = `wraith-${randomBytes(4).toString('hex')}`
  /** Runs a program inside: `spawn(...through, program, ...args)`. */
  readonly through: readonly string[] = ['ip', 'netns', 'exec', this.name]
  readonly #children = new Set<ChildProcess>()

  constructor() {
    execFileSync('ip', ['netns', 'add', this.name], { stdio: 'pipe' })
    alive.add(this)
    this.run('ip link set lo up')
  }

  /** Runs a command inside, such as `ip …` or `tc …`, split at blanks, and returns what it printed. */
  run(command: string): string {
    const [program = '', ...args] = this.through
    return execFileSync(program, [...args, ...command.split(' ')], { stdio: 'pipe', encoding: 'utf8' })
  }

  /** Runs a module inside, with `UdpSocket`, `BufferPool` and the tools of udp-process.ts, and returns the last thing that it printed. */
  readonly resultOf = <T>(source: string, options: RunOptions = {}): Promise<T> =>
    resultOf(source, { ...options, through: [...this.through, ...(options.through ?? [])] })

  /** Starts the same kind of module, to talk with while it runs. It ends with the namespace at the latest. */
  start(source: string, options: RunOptions = {}): NodeProcess {
    const through = [...this.through, ...(options.through ?? [])]
    const started = new NodeProcess(source, { ...options, through })
    this.#adopt(started.child)
    return started
  }

  /** Starts another program, with pipes but for standard error. It ends with the namespace at the latest. */
  spawn(program: string, args: readonly string[]): PipedProcess {
    const [command = '', ...rest] = this.through
    const child = spawn(command, [...rest, program, ...args], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.#adopt(child)
    return child
  }

  #adopt(child: ChildProcess): void {
    this.#children.add(child)
    child.once('close', () => this.#children.delete(child))
  }

  [Symbol.dispose](): void {
    if (!alive.delete(this)) return
    for (const child of this.#children) child.kill('SIGKILL')
    execFileSync('ip', ['netns', 'del', this.name], { stdio: 'pipe' })
  }
}
