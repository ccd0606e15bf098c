import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { expect } from 'vitest'

/** How a child process ended, and what it said. */
export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
}

export interface ChildOptions {
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  /** Options of Node.js itself. */
  readonly execArgv?: readonly string[]
  /** Another Node.js than the one that runs the test. */
  readonly node?: string
  /** Instead of 50 seconds. */
  readonly limitMs?: number
  /** A program, and its arguments, that starts the child: `['perl', 'with-seccomp.pl', '299', '38']`. */
  readonly under?: readonly string[]
}

/** A child that hangs is killed after this long; a pass never depends on it. */
const LIMIT_MS = 50_000

/** Where a program of `__test__/children` lies. */
export function childPath(name: string): string {
  return fileURLToPath(new URL(`../children/${name}`, import.meta.url))
}

/** Runs a program of `__test__/children` on the Node.js that runs the test, or on another. */
export function runChild(name: string, options: ChildOptions = {}): Promise<Ended> {
  const {
    args = [],
    env = {},
    execArgv = [],
    under = [],
    node = process.execPath,
    limitMs = LIMIT_MS,
  } = options
  const command = [...under, node, ...execArgv, childPath(name), ...args]
  // What the levels are tested with must come from the test, not from who started it.
  const { WRAITH_LEAK: _, NODE_OPTIONS: __, ...inherited } = process.env
  return new Promise((resolve) => {
    const [program = '', ...rest] = command
    const child = execFile(
      program,
      rest,
      { env: { ...inherited, ...env }, timeout: limitMs, killSignal: 'SIGKILL', maxBuffer: 1 << 24 },
      (_error, stdout, stderr) => resolve({ code: child.exitCode, signal: child.signalCode, stdout, stderr }),
    )
  })
}

/** Runs a program that must end by itself with code 0, and returns the JSON of its last line. */
export async function childResult<T>(name: string, options: ChildOptions = {}): Promise<T> {
  const ended = await runChild(name, options)
  expect({ code: ended.code, signal: ended.signal, stderr: ended.stderr }).toEqual({
    code: 0,
    signal: null,
    stderr: expect.any(String),
  })
  return JSON.parse(ended.stdout.trim().split('\n').at(-1) ?? '') as T
}
