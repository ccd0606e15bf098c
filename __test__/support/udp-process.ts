import { type SpawnOptions, spawn } from 'node:child_process'
import { once } from 'node:events'

/** The built package, for scripts that run in processes and workers of their own. */
const packageUrl = new URL('../../dist/index.js', import.meta.url).href

/** What every script starts with. */
const tools = (packageUrl: string) => `
const packageUrl = ${JSON.stringify(packageUrl)}
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { createInterface } from 'node:readline'
import { AsyncLocalStorage } from 'node:async_hooks'
import { Worker } from 'node:worker_threads'
const until = async (condition) => {
  for (let looks = 0; looks < 10000; looks++) {
    if (condition()) return
    await new Promise((resolve) => setTimeout(resolve, 1))
  }
  throw new Error('never came true: ' + condition)
}
const dgram = async (type = 'udp4', address = '127.0.0.1') => {
  const socket = createSocket(type)
  socket.bind(0, address)
  await once(socket, 'listening')
  return socket
}
const deliver = async (from, { port, address }, ...datagrams) => {
  for (const datagram of datagrams) {
    await new Promise((resolve, reject) => from.send(datagram, port, address, (e) => (e ? reject(e) : resolve())))
  }
}
/** A worker that loads the package by itself; the main thread of this process need not have. */
const startWorker = (source, workerData) => new Worker(\`(async () => {
  const { parentPort, workerData } = require('node:worker_threads')
  const { createSocket } = require('node:dgram')
  const { once } = require('node:events')
  const { UdpSocket, XdpSocket, BufferPool } = await import(\${JSON.stringify(packageUrl)})
  \${source}
})()\`, { eval: true, execArgv: [], workerData })
/** What the test tells this process, value by value. */
const told = async function* () {
  for await (const line of createInterface({ input: process.stdin })) yield JSON.parse(line)
}
const print = (value) => process.stdout.write(JSON.stringify(value) + '\\n')
`

const withPackage = (packageUrl: string) => `
import * as wraith from ${JSON.stringify(packageUrl)}
const { UdpSocket, XdpSocket, BufferPool } = wraith
`

export interface Ended {
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  readonly stdout: string
  readonly stderr: string
  /** Each line of the output, read as JSON. */
  readonly lines: unknown[]
}

export interface RunOptions extends Pick<SpawnOptions, 'uid' | 'gid' | 'env'> {
  /** What runs before Node: `['ip', 'netns', 'exec', …]`, `['python3', …]`. */
  readonly through?: readonly string[]
  readonly node?: string
  readonly nodeArgs?: readonly string[]
  /** Another copy of the built package: the URL of its index.js. */
  readonly package?: string
  /** The main thread does not load the package; workers do. */
  readonly bare?: boolean
  readonly timeoutMs?: number
}

/** The command that runs a module, and the options of its process. */
export function commandOf(source: string, options: RunOptions) {
  const {
    through = [],
    node = process.execPath,
    nodeArgs = [],
    bare = false,
    timeoutMs: _,
    ...others
  } = options
  const { package: url = packageUrl, ...rest } = others
  const module = (bare ? '' : withPackage(url)) + tools(url) + source
  const own = [node, '--expose-gc', ...nodeArgs, '--input-type=module', '--eval', module]
  return { command: [...through, ...own], rest }
}

/** Runs a module in a Node.js process of its own, until that ends by itself. */
export async function runModule(source: string, options: RunOptions = {}): Promise<Ended> {
  const { timeoutMs = 30_000 } = options
  const { command, rest } = commandOf(source, options)
  const [program = '', ...args] = command
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'], ...rest })
  let [stdout, stderr] = ['', '']
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text
  })
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text
  })
  // A process that should have ended and has not: killed, so that its signal says so.
  const killer = setTimeout(() => child.kill('SIGKILL'), timeoutMs)
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  clearTimeout(killer)
  const lines = stdout
    .split('\n')
    .filter((line) => line.startsWith('{') || line.startsWith('[') || line.startsWith('"'))
    .map((line) => JSON.parse(line) as unknown)
  return { code, signal, stdout, stderr, lines }
}

/** Runs a module that is expected to end well, and returns the last thing that it printed. */
export async function resultOf<T>(source: string, options: RunOptions = {}): Promise<T> {
  const ended = await runModule(source, options)
  if (ended.code !== 0) {
    throw new Error(`the process ended with ${ended.signal ?? ended.code}\n${ended.stdout}\n${ended.stderr}`)
  }
  return ended.lines.at(-1) as T
}
