// npm run bench [-- name… --json]: every benchmark, Rust and Node.js, through one runner.
//
//   name…              only these: a file of benches/node without its ending, or rust:<file of a crate's benches/>
//   --list             the names
//   --json             one line a case: { bench, case, baseline, ratio, ours, theirs, unit, runtime, cpu, … }
//   --node 20,22,24    the Node.js benchmarks on these majors instead of the current release
//   --save             also write benches/results/<cpu>/<date>.json
//
// The exit code is 1 when a benchmark fails or the whole confidence interval of a gate misses.

import { mkdirSync, writeFileSync } from 'node:fs'
import { cpus, release } from 'node:os'
import { basename, dirname, relative } from 'node:path'
import { parseArgs } from 'node:util'
import { gateMissed, judged, table } from './lib/bench-rows.mjs'
import { criterionRows } from './lib/criterion.mjs'
import { filesUnder } from './lib/inputs.mjs'
import { at, root } from './lib/paths.mjs'
import { firstLine, run } from './lib/process.mjs'
import { currentMajor, isInstalled, majors, nodeOf } from './lib/runtimes.mjs'
import { xskRsProblem } from './lib/xsk-rs.mjs'

const LIMIT_MS = 20 * 60_000
const cpu = cpus()[0]?.model ?? 'unknown'

const nodeBenches = () =>
  filesUnder(at('benches', 'node'), (file) => file.endsWith('.mjs'))
    .filter((file) => dirname(file) === at('benches', 'node'))
    .map((file) => ({ name: basename(file, '.mjs'), file }))

const rustBenches = () =>
  filesUnder(at('crates'), (file) => /\/crates\/[^/]+\/benches\/[^/]+\.rs$/.test(file)).map((file) => ({
    name: `rust:${basename(file, '.rs')}`,
    crate: basename(dirname(dirname(file))),
    target: basename(file, '.rs'),
  }))

const fail = (text) => {
  console.error(text)
  process.exit(2)
}

function parse() {
  const options = {
    json: { type: 'boolean', default: false },
    save: { type: 'boolean', default: false },
    list: { type: 'boolean', default: false },
    node: { type: 'string', default: String(currentMajor) },
  }
  try {
    return parseArgs({ options, allowPositionals: true })
  } catch (error) {
    return fail(`${error.message}\nusage: npm run bench -- [name…] [--list] [--json] [--node 20,22] [--save]`)
  }
}

async function ensureRuntimes(wanted) {
  const unknown = wanted.filter((major) => !majors.includes(major) && major !== currentMajor)
  if (unknown.length > 0)
    fail(`no such Node.js major here: ${unknown.join(', ')}; there are ${majors.join(', ')}`)
  if (wanted.every(isInstalled)) return
  const result = await run(process.execPath, [at('scripts', 'setup.mjs'), '--runtimes'])
  if (result.code !== 0) fail(result.output)
}

/** The JSON lines of a benchmark's output; other lines are for people and are passed on. */
function rowsOf(output, say) {
  const rows = []
  for (const line of output.split('\n')) {
    if (line.startsWith('{')) rows.push(JSON.parse(line))
    else if (line.trim() !== '') say(line)
  }
  return rows
}

async function runNode({ name, file }, major, say) {
  say(`${name} on Node.js ${major} …`)
  const result = await run(nodeOf(major), ['--expose-gc', file], { timeoutMs: LIMIT_MS })
  const rows = rowsOf(result.stdout, say)
  return { rows, problem: result.code === 0 && rows.length > 0 ? undefined : result.output }
}

/** Benchmarks that compare with more when a Cargo feature can be built: what is in the way of it, or `undefined`. */
const FEATURES = { 'rust:xdp': { feature: 'xsk-rs', problem: xskRsProblem } }

/** Benchmarks that make network namespaces. */
const NEEDS_ROOT = ['rust:xdp', 'xdp']

async function featuresOf(name, say) {
  if (FEATURES[name] === undefined) return []
  const { feature, problem } = FEATURES[name]
  const why = await problem(say)
  if (why === undefined) return ['--features', feature]
  say(`${name} without ${feature}: ${why}`)
  return []
}

async function runRust({ name, crate, target }, say) {
  const args = ['bench', '--package', crate, ...(await featuresOf(name, say)), '--bench', target]
  say(`${name} (cargo ${args.join(' ')}) …`)
  const since = Date.now()
  const result = await run('cargo', args, { timeoutMs: LIMIT_MS })
  const machine = { runtime: firstLine('rustc') ?? 'rustc', cpu }
  // One that interleaves its cases itself prints rows, as those for Node.js do, and text for people to the other stream.
  const own = rowsOf(result.stdout, () => {}).map((row) => ({ bench: name, ...row, ...machine }))
  if (own.length > 0)
    say(
      result.output
        .split('\n')
        .filter((line) => !line.startsWith('{'))
        .join('\n'),
    )
  const rows = [...own, ...criterionRows(name, since, machine)]
  return { rows, problem: result.code === 0 && rows.length > 0 ? undefined : result.output }
}

function save(rows) {
  const slug = cpu.replace(/[^A-Za-z0-9]+/g, '-').replace(/^-|-$/g, '')
  const file = at('benches', 'results', slug, `${new Date().toISOString().slice(0, 10)}.json`)
  const machine = { cpu, cores: cpus().length, kernel: release(), command: 'npm run bench -- --save' }
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${JSON.stringify({ ...machine, rows }, null, 2)}\n`)
  return relative(root, file)
}

const { values: flags, positionals: names } = parse()
const all = [...nodeBenches(), ...rustBenches()]
if (flags.list) {
  console.log(all.map(({ name }) => name).join('\n'))
  process.exit(0)
}
const unknown = names.filter((name) => !all.some((bench) => bench.name === name))
if (unknown.length > 0)
  fail(`no benchmark named ${unknown.join(', ')}; there are: ${all.map(({ name }) => name).join(', ')}`)

const wantedMajors = flags.node.split(',').map(Number)
await ensureRuntimes(wantedMajors)

const say = (text) => console.error(text)
const rows = []
let failed = false
for (const bench of all.filter(({ name }) => names.length === 0 || names.includes(name))) {
  if (NEEDS_ROOT.includes(bench.name) && process.getuid?.() !== 0) {
    // Whoever asks for it by name must not take its absence for success.
    say(
      `${bench.name} not run: network namespaces and AF_XDP take root; run: sudo -E npm run bench -- ${bench.name}`,
    )
    failed ||= names.includes(bench.name)
    continue
  }
  const runs = bench.file
    ? wantedMajors.map((major) => () => runNode(bench, major, say))
    : [() => runRust(bench, say)]
  for (const measure of runs) {
    const result = await measure()
    for (const row of result.rows.map(judged)) {
      rows.push(row)
      if (flags.json) console.log(JSON.stringify(row))
    }
    if (result.problem !== undefined) {
      failed = true
      console.error(`${bench.name} failed:\n${result.problem.trimEnd().split('\n').slice(-40).join('\n')}`)
    }
  }
}

if (!flags.json) {
  console.log(
    `\n${cpu}, ${cpus().length} cores, Linux ${release()}; the ratio is how many times better ours is, as median [95 % interval]\n`,
  )
  console.log(table(rows))
}
if (flags.save) console.error(`saved to ${save(rows)}`)
const missed = rows.filter(gateMissed)
if (missed.length > 0) {
  console.error(
    `gates missed: ${missed.map((row) => `${row.bench} / ${row.case} on ${row.runtime}`).join('; ')}`,
  )
}
process.exitCode = failed || missed.length > 0 ? 1 : 0
