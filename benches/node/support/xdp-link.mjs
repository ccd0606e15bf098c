// A network namespace of the benchmark's own with a veth pair in it, the generator at one end, and processes to measure at the other.

import assert from 'node:assert/strict'
import { execFile, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expectedSum, FAR, NEAR, NEAR_MAC } from './xdp-frames.mjs'

const ROOT = fileURLToPath(new URL('../../..', import.meta.url))
const SIDE = fileURLToPath(new URL('./xdp-side.mjs', import.meta.url))
const NEAR_END = 'near0'
const FAR_END = 'far0'
/** The generator runs on the first, with all that the kernel does for a frame until it lies in a ring or a socket; what is measured, on the second. */
const [GENERATOR_CPU, SIDE_CPU] = [0, 1]
const LATE_MS = 20_000
const TRIES = 20
const INSIDE = 'inside'
const EXAMPLES = ['xdp_generate', 'xdp_read']

const run = promisify(execFile)
const fail = (why) => {
  console.error(`the benchmark of AF_XDP was not run: ${why}`)
  process.exit(1)
}

/** Returns the examples' executables, inside of a namespace that ends with its last process. Outside, starts the benchmark in there and does not return. */
export async function insideNamespace() {
  if (process.argv[2] === INSIDE) return JSON.parse(process.argv[3])
  if (process.platform !== 'linux') fail('AF_XDP exists on Linux only')
  if (process.getuid() !== 0)
    fail('it makes a network namespace, which takes root; run: sudo -E npm run bench -- xdp')
  if (availableParallelism() < 2)
    fail('it takes two CPUs, one for the generator and one for what is measured')
  for (const tool of ['ip', 'unshare', 'taskset']) {
    await run(tool, ['-V']).catch(() => fail(`${tool} is missing; run: apt-get install iproute2 util-linux`))
  }
  const command = ['unshare', '--net', process.execPath, ...process.execArgv, process.argv[1]]
  const [program, ...args] = [...command, INSIDE, JSON.stringify(await buildExamples())]
  const child = spawn(program, args, { stdio: 'inherit' })
  const [code, signal] = await once(child, 'close')
  process.exit(signal === null ? code : 1)
}

async function buildExamples() {
  const targets = EXAMPLES.flatMap((name) => ['--example', name])
  const args = ['build', '--release', '--package', 'wraith-transport', ...targets, '--message-format=json']
  const { stdout } = await run('cargo', args, { cwd: ROOT, maxBuffer: 64 << 20 })
  const built = stdout.split('\n').filter((line) => line.includes('"executable":"'))
  return Object.fromEntries(
    built.map((line) => JSON.parse(line)).map(({ target, executable }) => [target.name, executable]),
  )
}

/** Makes the pair: both ends up, the near one with an address, and nobody sends of himself. */
function makeLink() {
  const commands = [
    'link set lo up',
    `link add ${NEAR_END} address ${NEAR_MAC} type veth peer name ${FAR_END}`,
    ...[NEAR_END, FAR_END].flatMap((end) => [`link set ${end} addrgenmode none`, `link set ${end} up`]),
    `addr add ${NEAR}/24 dev ${NEAR_END}`,
    // What is sent arrives at the other end, where nobody wants it.
    `neigh add ${FAR} lladdr 02:00:00:00:00:0b dev ${NEAR_END} nud permanent`,
  ]
  execFileSync('ip', ['-batch', '-'], { input: commands.join('\n') })
}

/** Frames that have come to the near end, and that have left it, since it was made. */
function passed() {
  const line = readFileSync('/proc/self/net/dev', 'utf8')
    .split('\n')
    .find((it) => it.includes(`${NEAR_END}:`))
  const columns = line.split(':')[1].trim().split(/\s+/).map(Number)
  return { arrived: columns[1], left: columns[9] }
}

/** A process that answers each line with a line of JSON. It ends when it is told no more. */
class Talker {
  constructor(cpu, command) {
    this.child = spawn('taskset', ['-c', String(cpu), ...command], { stdio: ['pipe', 'pipe', 'inherit'] })
    this.lines = createInterface({ input: this.child.stdout })[Symbol.asyncIterator]()
  }

  async next() {
    let line
    do line = await this.lines.next()
    while (!line.done && !line.value.startsWith('{'))
    const { value, done } = line
    assert.equal(done, false, `${this.child.spawnargs.join(' ')} ended early`)
    return JSON.parse(value)
  }

  ask(line) {
    this.child.stdin.write(`${line}\n`)
    return this.next()
  }

  async end() {
    this.child.stdin.end()
    const [code] = await once(this.child, 'close')
    assert.equal(code, 0, `${this.child.spawnargs.join(' ')} failed`)
  }
}

export class Link {
  #generators = new Map()
  #programs

  constructor(programs) {
    this.#programs = programs
    makeLink()
  }

  /** Sends frames, no more than `rate` a second (0: as fast as it can); `batch`: so many are made before the receiving end gets the CPU. */
  send(size, count, rate = 0, batch = 64) {
    const key = `${size} ${batch}`
    if (!this.#generators.has(key)) {
      const options = ['--interface', FAR_END, '--size', size, '--batch', batch].map(String)
      this.#generators.set(key, new Talker(GENERATOR_CPU, [this.#programs.xdp_generate, ...options]))
    }
    return this.#generators.get(key).ask(`${count} ${rate}`)
  }

  /** A process of Node.js with one side of a measurement. */
  async side(options, flags = []) {
    const argument = JSON.stringify({ interface: NEAR_END, ...options })
    return this.#ready([process.execPath, '--expose-gc', ...flags, SIDE, argument])
  }

  /** The same in Rust. */
  async rustSide(...options) {
    return this.#ready([this.#programs.xdp_read, '--interface', NEAR_END, ...options])
  }

  async #ready(command) {
    const side = new Talker(SIDE_CPU, command)
    assert.deepEqual(await side.next(), { ready: true })
    return side
  }

  /**
   * Rounds of: frames come while nobody reads; then they are read. Returns what the side said of each, after `warm` that do not count, in
   * which the engine compiles. `frames`: about as many as the UMEM holds by default, so that every round has its share of the collections
   * that its garbage brings about, and their median does not depend on which rounds had one. `reading`: what must come out.
   */
  async drain(side, { size, reading, rounds, warm = 8, frames = 30_000 }) {
    const answers = []
    for (let round = -warm; round < rounds; round++) {
      const answer = await this.#round(side, { size, reading, frames })
      if (round >= 0) answers.push(answer)
    }
    await side.end()
    return answers
  }

  async #round(side, { size, reading, frames }) {
    for (let attempt = 0; attempt < TRIES; attempt++) {
      const before = passed()
      const { sent, first, lostOnLink } = await this.send(size, frames)
      const come = sent - lostOnLink
      for (const start = Date.now(); passed().arrived < before.arrived + come; ) {
        assert.ok(Date.now() - start < LATE_MS, 'frames do not come')
        await new Promise((resolve) => setTimeout(resolve, 1))
      }
      const answer = await side.ask(come)
      assert.equal(answer.frames, come, 'not as many frames as came')
      // Which of them were lost on the link nobody knows, so that their sum says nothing: once more.
      if (lostOnLink > 0) continue
      assert.equal(
        answer.sum,
        expectedSum(reading, size, first, come),
        'other bytes than those that were sent',
      )
      return { ...answer, left: passed().left - before.left }
    }
    throw new Error('the link loses frames every time')
  }

  /** Frames come while the side reads. Every one of them is accounted for. */
  async stream(side, { size, reading, count, rate = 0, batch = 64, warm = 200_000 }) {
    if (warm > 0) await this.stream(side, { size, reading, count: warm, rate, batch, warm: 0 })
    const before = passed()
    await side.ask('stream')
    const sent = await this.send(size, count, rate, batch)
    const answer = await side.ask(`end ${sent.sent - sent.lostOnLink}`)
    assert.equal(sent.sent, count)
    const { frames, dropped } = answer
    assert.equal(frames + dropped + sent.lostOnLink, count, 'sent is not received and dropped')
    if (frames === count) assert.equal(answer.sum, expectedSum(reading, size, sent.first, count))
    return { ...answer, ...sent, left: passed().left - before.left }
  }

  async close() {
    for (const generator of this.#generators.values()) await generator.end()
  }
}
