// npm run test:deep: what takes too long for every change. Reports like npm test, and ends within about an hour.

import { fuzz } from './fuzz.mjs'
import { addonOnAarch64, coreOnAarch64 } from './lib/aarch64.mjs'
import { backendSuites } from './lib/backends.mjs'
import { buildAll, cargo, suite } from './lib/checks.mjs'
import { cargoFailures, cargoTest, oneCheck } from './lib/counts.mjs'
import { at, cache } from './lib/paths.mjs'
import { firstLine, run } from './lib/process.mjs'
import { majors } from './lib/runtimes.mjs'
import { runSteps } from './lib/steps.mjs'
import { overXskRs } from './lib/xsk-rs.mjs'

const TARGET = `${process.arch === 'arm64' ? 'aarch64' : 'x86_64'}-unknown-linux-gnu`
const INSTALL_NIGHTLY = 'rustup toolchain install nightly --profile minimal'

const loom = cargo([['test', '--package', 'wraith-transport', '--release', '--test', 'pool_loom']], {
  RUSTFLAGS: '--cfg loom',
  CARGO_TARGET_DIR: cache('target-loom'),
  // The model is what takes the time, not the code: a quick link is worth more than link-time optimisation.
  CARGO_PROFILE_RELEASE_LTO: 'off',
  CARGO_PROFILE_RELEASE_CODEGEN_UNITS: '16',
  CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS: 'true',
})

/** Tests that must be among those under AddressSanitizer: a slab that ends where its page does, with a page behind it that nobody may read. */
const GUARD_PAGES = [
  'guard_page::nothing_behind_the_slab_is_read',
  'memory::nothing_before_or_behind_a_slab_between_guard_pages_is_read',
]

// AddressSanitizer replaces mlock(2) by nothing, so what is told about locked memory cannot be tested under it.
async function underAddressSanitizer(timeoutMs) {
  const result = await run(
    'cargo',
    [
      ...['+nightly', 'test', '--target', TARGET, '--no-fail-fast', '--lib', '--tests'],
      ...['--package', 'wraith-core', '--package', 'wraith-transport'],
      ...['--', '--skip', 'locked_memory_'],
    ],
    {
      env: {
        RUSTFLAGS: '-Zsanitizer=address',
        CARGO_TARGET_DIR: cache('target-asan'),
        WRAITH_SANITIZER: 'address',
      },
      timeoutMs,
    },
  )
  const counted = cargoTest(result)
  const missing = GUARD_PAGES.filter((name) => !result.stdout.includes(`test ${name} ... ok`))
  return {
    ...counted,
    failed: counted.failed + missing.length,
    output: [...missing.map((name) => `did not pass: ${name}`), cargoFailures(result.output)].join('\n'),
  }
}

/** Without the nightly, CI fails; a developer is told what to install. */
async function addressSanitizer(timeoutMs) {
  if (firstLine('cargo', ['+nightly', '--version']) !== undefined) return underAddressSanitizer(timeoutMs)
  const detail = `the nightly tool chain is missing; run: ${INSTALL_NIGHTLY}`
  return process.env.CI === 'true' ? oneCheck(false, detail) : { passed: 0, failed: 0, detail, notRun: true }
}

/** Namespaces take root: without, CI fails; a developer is told. */
async function freshCapture(timeoutMs) {
  if (process.getuid() !== 0) {
    const detail = 'network namespaces take root; run: sudo node scripts/capture-packets.mjs --check'
    return process.env.CI === 'true'
      ? oneCheck(false, detail)
      : { passed: 0, failed: 0, detail, notRun: true }
  }
  return cargoTest(
    await run(process.execPath, [at('scripts', 'capture-packets.mjs'), '--check'], { timeoutMs }),
  )
}

const steps = [
  {
    name: 'build',
    title: 'the addon (release) and the TypeScript',
    limitSeconds: 900,
    minimum: 2,
    always: true,
    run: buildAll,
  },
  ...majors.map((major) => ({
    name: `vitest-${major}`,
    title: `TypeScript suite on Node.js ${major}`,
    limitSeconds: 600,
    minimum: 2000,
    run: suite('suite', { major, label: `suite-${major}` }),
  })),
  {
    name: 'backends',
    title: "wraith-core's suites without vectors, and whole with each backend of this CPU forced",
    limitSeconds: 600,
    minimum: 200,
    run: backendSuites(true),
  },
  {
    name: 'aarch64',
    title: "wraith-core's suites on 64-bit ARM, emulated",
    limitSeconds: 900,
    minimum: 100,
    run: coreOnAarch64,
  },
  {
    name: 'aarch64-node',
    title: 'the addon, cross-built, in an emulated 64-bit ARM Node.js',
    limitSeconds: 600,
    minimum: 5,
    run: addonOnAarch64,
  },
  {
    name: 'loom',
    title: "every interleaving of the owner word's protocol",
    limitSeconds: 600,
    minimum: 5,
    run: loom,
  },
  {
    name: 'asan',
    title: 'Rust tests under AddressSanitizer',
    limitSeconds: 600,
    minimum: 100,
    run: addressSanitizer,
  },
  {
    name: 'xsk-rs',
    title: 'AF_XDP over libxdp (feature xsk-rs): lint, and the tests over both kinds of rings',
    limitSeconds: 600,
    minimum: 80,
    run: overXskRs,
  },
  {
    name: 'fuzz',
    title: 'random programs and bytes against plain models (crates/fuzz)',
    limitSeconds: 900,
    minimum: 9,
    run: (timeoutMs) => fuzz(timeoutMs),
  },
  {
    name: 'capture',
    title: "packets of this machine's network stack, as tshark reads them",
    limitSeconds: 600,
    minimum: 4,
    run: freshCapture,
  },
  {
    name: 'storms',
    title: 'storms: long runs of the TypeScript API',
    limitSeconds: 1800,
    minimum: 110,
    run: suite('deep'),
  },
  {
    // By itself: its threads meet each second, which others would keep them from.
    name: 'soak',
    title: 'eight threads on one shared pool for ten minutes',
    limitSeconds: 900,
    run: suite('soak'),
  },
]

await runSteps('test:deep', steps, { args: process.argv.slice(2), totalSeconds: 72 * 60 })
