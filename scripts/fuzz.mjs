// Runs each fuzz target of crates/fuzz for a bounded number of executions, under AddressSanitizer, and saves what crashes.
// node scripts/fuzz.mjs [target…]

import { existsSync, mkdirSync, readdirSync } from 'node:fs'
import { relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { oneCheck } from './lib/counts.mjs'
import { at, cache, root } from './lib/paths.mjs'
import { firstLine, run } from './lib/process.mjs'

const TARGET = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-unknown-linux-gnu`

/** Executions, each chosen to take about half a minute. */
const EXECUTIONS = {
  address: 600_000,
  control: 250_000,
  pool_program: 40_000,
  receiver_program: 30_000,
  sharing_program: 40_000,
  frames: 150_000,
  packets: 70_000,
  batch: 40_000,
}

/** What cargo-fuzz passes: libFuzzer's own instrumentation, and AddressSanitizer. */
const RUSTFLAGS = [
  '-Cpasses=sancov-module',
  ...['level=4', 'inline-8bit-counters', 'pc-table', 'trace-compares'].map(
    (what) => `-Cllvm-args=-sanitizer-coverage-${what}`,
  ),
  '--cfg fuzzing',
  '-Zsanitizer=address',
].join(' ')

const needs = [
  ['cargo', ['+nightly', '--version'], 'rustup toolchain install nightly --profile minimal'],
  ['c++', ['--version'], 'apt-get install g++'],
]

function missing() {
  for (const [command, args, install] of needs) {
    if (firstLine(command, args) === undefined) return `${command} ${args[0]} does not work; run: ${install}`
  }
}

async function build(timeoutMs) {
  const args = ['+nightly', 'build', '--release', '--locked', '--target', TARGET]
  const env = { RUSTFLAGS, CARGO_TARGET_DIR: cache('target-fuzz') }
  return run('cargo', args, { cwd: at('crates', 'fuzz'), env, timeoutMs })
}

async function fuzzOne(name, timeoutMs) {
  const corpus = cache('fuzz', name, 'corpus')
  mkdirSync(corpus, { recursive: true })
  const saved = cache('fuzz', name)
  const before = new Set(readdirSync(saved))
  const args = [
    ...[corpus, at('crates', 'fuzz', 'seeds', name)],
    ...[`-runs=${EXECUTIONS[name]}`, '-max_len=512', '-timeout=30', '-rss_limit_mb=2048'],
    ...[`-artifact_prefix=${saved}/`, '-print_final_stats=1'],
  ]
  const result = await run(cache('target-fuzz', TARGET, 'release', name), args, { timeoutMs })
  const executions = Number(/number_of_executed_units: (\d+)/.exec(result.output)?.[1] ?? 0)
  const inputs = readdirSync(saved).filter((file) => !before.has(file))
  const ok = result.code === 0 && executions > 0
  return { name, ok, executions, inputs: inputs.map((file) => relative(root, `${saved}/${file}`)), result }
}

/** Builds and runs the targets. One check for each, and one for the build. */
export async function fuzz(timeoutMs, names = Object.keys(EXECUTIONS)) {
  const lacks = missing()
  if (lacks !== undefined) {
    return process.env.CI === 'true'
      ? oneCheck(false, lacks)
      : { passed: 0, failed: 0, detail: lacks, notRun: true }
  }
  const started = performance.now()
  const left = () => Math.max(1, timeoutMs - (performance.now() - started))
  const built = await build(left())
  if (built.code !== 0) return { ...oneCheck(false, 'the targets do not build'), output: built.output }
  const total = { passed: 1, failed: 0, detail: '', output: '' }
  const counts = []
  for (const name of names) {
    const { ok, executions, inputs, result } = await fuzzOne(name, left())
    counts.push(`${name} ${executions} executions in ${result.seconds.toFixed(0)} s`)
    if (ok) {
      total.passed += 1
      continue
    }
    total.failed += 1
    total.output += `${name}:\n${result.output}\n`
    for (const input of inputs) {
      total.output += `saved: ${input}; when it is mended, keep it as crates/fuzz/seeds/${name}/<what it shows>\n`
    }
  }
  return { ...total, detail: counts.join('; ') }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const names = process.argv.slice(2)
  const unknown = names.filter((name) => !(name in EXECUTIONS) || !existsSync(at('crates/fuzz/seeds', name)))
  if (unknown.length > 0) {
    console.error(`no target ${unknown.join(', ')}; there are: ${Object.keys(EXECUTIONS).join(', ')}`)
    process.exit(2)
  }
  const result = await fuzz(600_000, names.length > 0 ? names : undefined)
  if (result.failed > 0) console.error(result.output)
  console.log(`${result.detail}\n${result.passed} passed, ${result.failed} failed`)
  process.exitCode = result.failed > 0 || result.notRun ? 1 : 0
}
