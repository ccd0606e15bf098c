// The suites of wraith-core with each of its backends: which of them this CPU must have, and runs in which each is forced.

import { readFileSync } from 'node:fs'
import { cargoFailures, cargoTest } from './counts.mjs'
import { run } from './process.mjs'

const ARCHITECTURES = { x64: 'x86_64', arm64: 'aarch64' }
const SUITE = ['test', '--package', 'wraith-core', '--no-fail-fast']
const FORCED = /^active: (\w+)$/gm

/** What the kernel says of the CPU; not what the library finds, which is what is tested. */
function cpuFeatures() {
  const line = /^(?:flags|Features)\s*:(.*)$/m.exec(readFileSync('/proc/cpuinfo', 'utf8'))
  return new Set(line?.[1].trim().split(/\s+/))
}

const architecture = ARCHITECTURES[process.arch] ?? process.arch

/** The backends that this CPU has, slowest first. */
function expectedBackends() {
  const features = cpuFeatures()
  const needs = {
    x86_64: {
      sse2: ['sse2'],
      sse41: ['ssse3', 'sse4_1'],
      avx2: ['avx2'],
      avx512: ['avx512f', 'avx512bw', 'avx512vl', 'avx512dq'],
    },
    aarch64: { neon: ['asimd'] },
  }
  const vectors = Object.entries(needs[architecture] ?? {})
  return [
    'scalar',
    ...vectors.filter(([, all]) => all.every((name) => features.has(name))).map(([name]) => name),
  ]
}

/** One run of the suites. What does not hold is in `problems`. */
async function suites(args, { env = {}, backends, timeoutMs }) {
  const wanted = `${architecture}: ${backends.join(', ')}`
  const result = await run('cargo', args, {
    // Asserted inside the run, too.
    env: { WRAITH_EXPECT_BACKENDS: wanted, ...env },
    timeoutMs: Math.max(1, timeoutMs),
  })
  const { passed, failed, detail } = cargoTest(result)
  const said = /backends on this (\w+) CPU: ([\w, ]+?)$/m.exec(result.output)
  const problems = []
  if (`${said?.[1]}: ${said?.[2]}` !== wanted) {
    problems.push(
      `the run was to be about ${wanted}, and ${said ? `was about ${said[1]}: ${said[2]}` : 'does not say'}`,
    )
  }
  if (env.WRAITH_SIMD) {
    const active = [...result.stdout.matchAll(FORCED)].map((match) => match[1])
    if (active.length === 0 || active.some((name) => name !== env.WRAITH_SIMD)) {
      problems.push(
        `${env.WRAITH_SIMD} was forced, active was ${active.join(', ') || 'nothing that the run tells'}`,
      )
    }
  }
  const output = failed > 0 ? cargoFailures(result.output) : ''
  return { passed, failed: failed + problems.length, detail, output: [...problems, output].join('\n') }
}

/**
 * The suites of wraith-core without vectors, then once for each backend of this CPU with WRAITH_SIMD set to it. Fails when a backend that
 * the CPU has did not run. `whole`: all suites each time; else only what depends on the variable.
 */
export const backendSuites = (whole) => async (timeoutMs) => {
  if (process.platform !== 'linux') {
    const detail =
      'what a CPU has is read from /proc/cpuinfo, which only Linux has; the step cargo has run the suites'
    return { passed: 0, failed: 0, detail, notRun: true }
  }
  const started = performance.now()
  const backends = expectedBackends()
  const forcedArgs = whole
    ? [...SUITE, '--lib', '--tests', '--', '--show-output']
    : [...SUITE, '--test', 'frames', '--', '--show-output', 'backends::', 'agree::active::', 'active::says']
  const runs = [
    {
      label: 'without vectors',
      args: [...SUITE, '--no-default-features', '--lib', '--tests'],
      backends: ['scalar'],
    },
    ...backends.map((name) => ({ label: name, args: forcedArgs, backends, env: { WRAITH_SIMD: name } })),
  ]
  const total = { passed: 0, failed: 0, output: '' }
  const ran = []
  for (const { label, args, ...options } of runs) {
    const result = await suites(args, { ...options, timeoutMs: timeoutMs - (performance.now() - started) })
    total.passed += result.passed
    total.failed += result.failed
    if (result.failed > 0) total.output += `${label}:\n${result.output}\n`
    ran.push(`${label} ${result.passed}`)
  }
  return { ...total, detail: `on ${architecture}, tests passed: ${ran.join(', ')}` }
}
