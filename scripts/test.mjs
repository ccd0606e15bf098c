// npm test: every check of a change. The last line is `N passed, N failed` over all of them.
//
//   npm test -- --list            the steps
//   npm test -- --only a,b        only these

import { backendSuites } from './lib/backends.mjs'
import { buildAll, cargo, generatedIsCurrent, nodeTool, program, suite, types } from './lib/checks.mjs'
import { packagesStep } from './lib/package-checks.mjs'
import { currentMajor, majors } from './lib/runtimes.mjs'
import { runSteps } from './lib/steps.mjs'

const otherMajors = majors.filter((major) => major !== currentMajor)

const steps = [
  {
    name: 'build',
    title: 'the addon (release) and the TypeScript',
    limitSeconds: 900,
    minimum: 2,
    always: true,
    run: buildAll,
  },
  {
    name: 'generated',
    title: 'committed generated files are up to date',
    limitSeconds: 600,
    minimum: 5,
    run: generatedIsCurrent,
  },
  {
    name: 'biome',
    title: 'format and lint of TypeScript, JavaScript and JSON',
    limitSeconds: 60,
    run: nodeTool('@biomejs/biome', 'biome', 'check', '--error-on-warnings', '--colors=off', '.'),
  },
  {
    name: 'types',
    title: 'tsc over sources, tests and type tests',
    limitSeconds: 120,
    minimum: 2,
    run: types,
  },
  {
    name: 'rustfmt',
    title: 'format of the Rust sources',
    limitSeconds: 60,
    run: program('cargo', ['fmt', '--all', '--check']),
  },
  {
    name: 'clippy',
    title: 'lint of the Rust workspace, all targets, warnings as errors',
    limitSeconds: 600,
    run: program('cargo', ['clippy', '--workspace', '--all-targets', '--quiet', '--', '-D', 'warnings']),
  },
  {
    name: 'cargo',
    title: 'Rust tests and documentation tests',
    limitSeconds: 900,
    minimum: 100,
    run: cargo([['test', '--workspace', '--exclude', 'wraith-node', '--no-fail-fast']]),
  },
  {
    name: 'backends',
    title: 'frame suites without vectors, and with each backend of this CPU forced by WRAITH_SIMD',
    limitSeconds: 300,
    minimum: 60,
    run: backendSuites(false),
  },
  {
    name: 'vitest',
    title: `TypeScript suite on Node.js ${currentMajor}`,
    limitSeconds: 600,
    minimum: 2000,
    run: suite('suite'),
  },
  {
    name: 'vitest-debug',
    title: `the same with WRAITH_DEBUG=1`,
    limitSeconds: 600,
    minimum: 2000,
    run: suite('suite', { env: { WRAITH_DEBUG: '1' }, label: 'suite-debug' }),
  },
  ...otherMajors.map((major) => ({
    name: `smoke-${major}`,
    title: `smoke suite on Node.js ${major}`,
    limitSeconds: 120,
    minimum: 14,
    run: suite('smoke', { major, label: `smoke-${major}` }),
  })),
  {
    name: 'package',
    title: 'packed, installed from a registry and used, without cargo',
    limitSeconds: 300,
    minimum: 30,
    run: suite('package'),
  },
  {
    name: 'knip',
    title: 'no unused files, exports or dependencies',
    limitSeconds: 60,
    run: nodeTool('knip', 'knip', '--no-progress'),
  },
  {
    name: 'package-shape',
    title: 'publint and arethetypeswrong over the packed package',
    limitSeconds: 120,
    minimum: 2,
    run: packagesStep,
  },
]

await runSteps('test', steps, { args: process.argv.slice(2), totalSeconds: 30 * 60 })
