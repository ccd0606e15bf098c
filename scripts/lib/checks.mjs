// The commands behind the steps of `npm test` and `npm run test:deep`.

import { existsSync, mkdirSync, readFileSync, rmSync } from 'node:fs'
import { relative } from 'node:path'
import { buildNative, buildTypeScript, generatedFiles, nativeOutput } from '../build.mjs'
import { outdated } from '../generate.mjs'
import { cargoFailures, cargoTest, oneCheck, vitest, vitestFailures } from './counts.mjs'
import { filesUnder } from './inputs.mjs'
import { at, cache, root, tool } from './paths.mjs'
import { run } from './process.mjs'
import { nodeOf } from './runtimes.mjs'

const quiet = () => {}

/** A step made of one program that says yes or no. */
export const program =
  (command, args, options = {}) =>
  async (timeoutMs) => {
    const result = await run(command, args, { ...options, timeoutMs })
    return { ...oneCheck(result.code === 0), output: result.output }
  }

export const nodeTool = (packageName, bin, ...args) =>
  program(process.execPath, [tool(packageName, bin), ...args])

export async function buildAll() {
  const native = await buildNative({ frozen: true, log: quiet })
  const typescript = await buildTypeScript({ log: quiet })
  const passed = Number(native.ok) + Number(typescript.ok)
  const what = [native.built && 'addon', typescript.built && 'TypeScript'].filter(Boolean).join(' and ')
  return {
    passed,
    failed: 2 - passed,
    detail: passed === 2 ? (what ? `${what} built` : 'up to date') : '',
    output: native.output + typescript.output,
  }
}

/** The committed loader, declarations, codes and error page are what the generators write today. */
export async function generatedIsCurrent() {
  const binding = generatedFiles.filter((name) => {
    const committed = at('ts', 'native', name)
    return !existsSync(committed) || !readFileSync(committed).equals(readFileSync(nativeOutput(name)))
  })
  const stale = [...binding.map((name) => `ts/native/${name}`), ...(await outdated())]
  const total = generatedFiles.length + 3
  return {
    passed: total - stale.length,
    failed: stale.length,
    output: `out of date: ${stale.join(', ')}\nrun: npm run build && npm run generate, and commit the result`,
  }
}

/** Compiles sources, tests and the type tests. Each type test is a check of its own. */
export async function types(timeoutMs) {
  const result = await run(
    process.execPath,
    [tool('typescript', 'tsc'), '--project', at('tsconfig.test.json')],
    { timeoutMs },
  )
  const broken = new Set(
    [...result.output.matchAll(/^([^\s(]+)\(\d+,\d+\): error/gm)].map((match) => match[1]),
  )
  const tests = filesUnder(at('__test__', 'types'), (file) => file.endsWith('.test-d.ts')).map((file) =>
    relative(root, file),
  )
  const brokenTests = tests.filter((file) => broken.has(file)).length
  const restOk = result.code === 0 || (broken.size > 0 && broken.size === brokenTests)
  return {
    passed: tests.length - brokenTests + Number(restOk),
    failed: brokenTests + Number(!restOk),
    detail: `the whole project, and ${tests.length} files of type tests`,
    output: result.output,
  }
}

/** `cargo test` with the given arguments; `parts` are run one after another and added up. */
export const cargo =
  (parts, env = {}) =>
  async (timeoutMs) => {
    const total = { passed: 0, failed: 0, detail: '', output: '' }
    const started = performance.now()
    for (const args of parts) {
      const left = timeoutMs - (performance.now() - started)
      const result = await run('cargo', args, { env, timeoutMs: Math.max(1, left) })
      const counted = cargoTest(result)
      total.passed += counted.passed
      total.failed += counted.failed
      total.detail = [total.detail, counted.detail].filter(Boolean).join('; ')
      total.output += cargoFailures(result.output)
    }
    return total
  }

/** One Vitest project (see vitest.config.ts) on one major of Node.js. */
export const suite =
  (project, { major, env = {}, label = project } = {}) =>
  async (timeoutMs) => {
    const folder = cache('reports')
    mkdirSync(folder, { recursive: true })
    const file = `${folder}/${label.replace(/\W+/g, '-')}.json`
    rmSync(file, { force: true })
    const node = major === undefined ? process.execPath : nodeOf(major)
    const args = [
      'run',
      '--project',
      project,
      '--reporter=default',
      '--reporter=json',
      `--outputFile.json=${file}`,
    ]
    const result = await run(node, [tool('vitest'), ...args], { env: { NO_COLOR: '1', ...env }, timeoutMs })
    return { ...vitest(file, result), output: vitestFailures(result.output) }
  }
