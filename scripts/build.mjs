// npm run build: the native addon (release) and the TypeScript, each only when its inputs have changed.
//
//   --force        build both whatever the stamps say
//   --native       the addon only          --ts   the TypeScript only
//   --frozen       leave the committed loader and declarations as they are (npm test: it compares them instead)

import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { pathToFileURL } from 'node:url'
import { filesUnder, hashOf, readStamp, writeStamp } from './lib/inputs.mjs'
import { at, cache, manifest, tool } from './lib/paths.mjs'
import { firstLine, run } from './lib/process.mjs'

const LOADER = 'binding.cjs'
const DECLARATIONS = 'binding.d.cts'
const NATIVE_LIMIT_MS = 15 * 60_000

/** Where napi-rs leaves the loader, the declarations and the addon before they are put in place. */
export const nativeOutput = (...parts) => cache('native', ...parts)
export const generatedFiles = [LOADER, DECLARATIONS]

const addonsIn = (folder) =>
  existsSync(folder) ? readdirSync(folder).filter((name) => name.endsWith('.node')) : []

/** Replaces `target` in one step: a running process keeps the file that it has mapped. */
function replaceFile(source, target) {
  mkdirSync(dirname(target), { recursive: true })
  const fresh = `${target}.${process.pid}.new`
  copyFileSync(source, fresh)
  renameSync(fresh, target)
}

const same = (a, b) => existsSync(a) && existsSync(b) && readFileSync(a).equals(readFileSync(b))

function nativeInputs() {
  const source = (file) => /\/(src|build\.rs|Cargo\.toml)(\/|$)/.test(file)
  const crates = ['wraith-core', 'wraith-transport', 'wraith-node']
  const files = crates.flatMap((crate) => filesUnder(at('crates', crate), source))
  const config = JSON.stringify([manifest.napi, manifest.version, manifest.devDependencies['@napi-rs/cli']])
  return hashOf(
    [at('Cargo.toml'), at('Cargo.lock'), ...files].filter(existsSync),
    config,
    firstLine('rustc') ?? '',
    process.env.RUSTFLAGS ?? '',
  )
}

/** Builds the addon when needed. Returns `{ ok, built, output }`. */
export async function buildNative({ force = false, frozen = false, log = console.log } = {}) {
  const stamp = nativeOutput('stamp')
  const hash = nativeInputs()
  let built = false
  if (force || readStamp(stamp) !== hash || addonsIn(nativeOutput()).length === 0) {
    log('build: the Rust addon, release profile (about 90 s the first time, 30 s after a change)')
    rmSync(stamp, { force: true })
    const result = await run(
      process.execPath,
      [
        tool('@napi-rs/cli', 'napi'),
        ...['build', '--platform', '--release', '--package', 'wraith-node'],
        ...['--output-dir', nativeOutput(), '--js', LOADER, '--dts', DECLARATIONS],
      ],
      { timeoutMs: NATIVE_LIMIT_MS },
    )
    if (result.code !== 0) return { ok: false, built: false, output: result.output }
    writeStamp(stamp, hash)
    built = true
  }
  const generated = frozen ? [] : generatedFiles
  for (const name of [...generated, ...addonsIn(nativeOutput())]) {
    if (!same(nativeOutput(name), at('ts', 'native', name)))
      replaceFile(nativeOutput(name), at('ts', 'native', name))
  }
  return { ok: true, built, output: '' }
}

/** Deletes what an earlier build made from a source file that is gone. */
function removeStale() {
  for (const file of filesUnder(at('dist'))) {
    const match = /^(.*?)\.(js|d\.ts)(\.map)?$/.exec(relative(at('dist'), file))
    if (match && !existsSync(at(`${match[1]}.ts`))) rmSync(file)
  }
}

function copyNative() {
  const native = at('ts', 'native')
  for (const name of [...generatedFiles, ...addonsIn(native)]) {
    const source = join(native, name)
    const target = at('dist', 'ts', 'native', name)
    if (existsSync(source) && !same(source, target)) replaceFile(source, target)
  }
}

/** Compiles index.ts and ts/ to dist/ when needed, and puts the addon beside it. Returns `{ ok, built, output }`. */
export async function buildTypeScript({ force = false, log = console.log } = {}) {
  const stamp = cache('typescript.stamp')
  const sources = filesUnder(at('ts'), (file) => !file.endsWith('.node'))
  const hash = hashOf(
    [at('index.ts'), at('tsconfig.json'), ...sources].filter(existsSync),
    manifest.devDependencies.typescript,
  )
  copyNative()
  if (!force && readStamp(stamp) === hash && existsSync(at('dist', 'index.js'))) {
    return { ok: true, built: false, output: '' }
  }
  log('build: TypeScript to dist/ (about 5 s)')
  rmSync(stamp, { force: true })
  const result = await run(process.execPath, [tool('typescript', 'tsc'), '--project', at('tsconfig.json')], {
    timeoutMs: 180_000,
  })
  if (result.code !== 0) return { ok: false, built: false, output: result.output }
  removeStale()
  const cli = at('dist', manifest.bin['wraith-transport'].replace(/^dist\//, ''))
  if (existsSync(cli)) chmodSync(cli, 0o755)
  writeStamp(stamp, hash)
  return { ok: true, built: true, output: '' }
}

async function main(flags) {
  const force = flags.includes('--force')
  const both = flags.includes('--native') === flags.includes('--ts')
  const steps = []
  if (both || flags.includes('--native')) {
    steps.push(['native addon', () => buildNative({ force, frozen: flags.includes('--frozen') })])
  }
  if (both || flags.includes('--ts')) steps.push(['TypeScript', () => buildTypeScript({ force })])
  let failed = false
  for (const [name, step] of steps) {
    const started = performance.now()
    const { ok, built, output } = await step()
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    if (!ok) console.error(output.trimEnd())
    console.log(`build: ${name} ${ok ? (built ? 'built' : 'is up to date') : 'FAILED'} (${seconds} s)`)
    failed ||= !ok
  }
  process.exitCode = failed ? 1 : 0
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) await main(process.argv.slice(2))
