// Gets a fresh clone ready, says what it does and how long it takes, and does nothing when nothing is to be done.
// Needs only Node.js itself. npm runs it before start, test, build and bench.
//
//   --build       also build the addon and the TypeScript when their inputs have changed
//   --runtimes    also install what only tests need: the other Node.js releases that they run on, into .cache/node, and tools

import { mkdirSync, rmSync } from 'node:fs'
import { buildNative, buildTypeScript } from './build.mjs'
import { hashOf, readStamp, writeStamp } from './lib/inputs.mjs'
import { at, manifest } from './lib/paths.mjs'
import { firstLine, npm } from './lib/process.mjs'
import {
  isInstalled,
  majors,
  runtimeFolder,
  runtimePackage,
  runtimeStamp,
  runtimes,
} from './lib/runtimes.mjs'
import { cargoProblem, ensureSystemTools } from './lib/system.mjs'

const log = (text) => console.log(`setup: ${text}`)

// One quick retry: without a network, npm's own patience is over a minute.
const NPM_OPTIONS = ['--loglevel=error', '--fetch-retries=1', '--fetch-retry-mintimeout=2000']

class SetupError extends Error {}

function checkNode() {
  const [major, minor] = process.versions.node.split('.').map(Number)
  const supported = (major === 20 && minor >= 19) || (major === 22 && minor >= 12) || major >= 24
  if (!supported) {
    throw new SetupError(
      `Node.js ${process.versions.node} cannot run this project, which needs ${manifest.engines.node}. ` +
        'Install a supported release, for example with: nvm install 24',
    )
  }
}

/** Turns npm's output into one sentence with something to do. */
function npmProblem(what, result) {
  const lines = result.output.trim().split('\n')
  if (
    /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ERR_SOCKET_TIMEOUT|network/i.test(result.output)
  ) {
    return `${what} needs the network, and npm could not reach its registry. Check the connection or npm's proxy and registry settings, then run the same command again.`
  }
  return `${what} failed:\n${lines.slice(-15).join('\n')}`
}

async function installDependencies() {
  const stamp = at('node_modules', '.setup-stamp')
  const hash = hashOf([at('package-lock.json')], process.version, process.platform, process.arch)
  if (readStamp(stamp) === hash) return
  log('installing npm packages from package-lock.json (about 10 s)')
  const started = performance.now()
  const result = await npm(['ci', '--include=dev', '--include=optional', ...NPM_OPTIONS], {
    timeoutMs: 600_000,
  })
  if (result.code !== 0) throw new SetupError(npmProblem('npm ci', result))
  writeStamp(stamp, hash)
  log(`npm packages installed (${((performance.now() - started) / 1000).toFixed(0)} s)`)
}

async function installRuntimes() {
  for (const major of majors.filter((each) => !isInstalled(each))) {
    const version = runtimes[major]
    log(`installing Node.js ${version} for the tests into .cache/node/${major} (about 10 s, 200 MB)`)
    const folder = runtimeFolder(major)
    rmSync(folder, { recursive: true, force: true })
    mkdirSync(folder, { recursive: true })
    const result = await npm(
      [
        'install',
        '--prefix',
        folder,
        '--no-save',
        '--no-package-lock',
        ...NPM_OPTIONS,
        `${runtimePackage}@${version}`,
      ],
      { cwd: folder, timeoutMs: 600_000 },
    )
    if (result.code !== 0) throw new SetupError(npmProblem(`installing Node.js ${version}`, result))
    writeStamp(runtimeStamp(major), version)
  }
}

async function build() {
  for (const [name, step] of [
    ['The native addon', buildNative],
    ['The TypeScript', buildTypeScript],
  ]) {
    const { ok, output } = await step({ log })
    if (!ok) throw new SetupError(`${name} does not build:\n${output.trimEnd()}`)
  }
}

async function main(flags) {
  checkNode()
  const forTests = flags.includes('--runtimes')
  const missing = await ensureSystemTools(log, { tests: forTests })
  if (missing !== undefined) throw new SetupError(missing)
  const problem = cargoProblem(firstLine('cargo'), at('Cargo.toml'))
  if (problem !== undefined) throw new SetupError(problem)
  await installDependencies()
  if (forTests) await installRuntimes()
  if (flags.includes('--build')) await build()
}

try {
  await main(process.argv.slice(2))
} catch (error) {
  if (!(error instanceof SetupError)) throw error
  console.error(`setup: ${error.message}`)
  process.exitCode = 1
}
