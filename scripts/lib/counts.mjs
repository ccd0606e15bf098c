// How many checks a tool ran and how many failed, read from the tool's own result.
// Each function returns { passed, failed, detail }; `detail` is one line for the report.

import { existsSync, readFileSync } from 'node:fs'

/** A tool that only says yes or no is one check. */
export const oneCheck = (ok, detail = '') => ({ passed: ok ? 1 : 0, failed: ok ? 0 : 1, detail })

/** `cargo test`: the sum of its result lines. An ignored test is a failure: a test must not vanish. */
export function cargoTest({ output, code }) {
  let [passed, failed, ignored, suites] = [0, 0, 0, 0]
  for (const line of output.matchAll(/^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored;/gm)) {
    passed += Number(line[1])
    failed += Number(line[2])
    ignored += Number(line[3])
    suites += 1
  }
  const notes = [`${suites} test binaries`]
  if (ignored > 0) notes.push(`${ignored} ignored, which counts as failed`)
  if (code !== 0 && failed === 0) {
    failed = 1
    notes.push('ended with an error outside its tests')
  }
  return { passed, failed: failed + ignored, detail: notes.join('; ') }
}

/** The parts of cargo's output that tell of failures, or all of it when there is no such part. */
export function cargoFailures(output) {
  const parts = [...output.matchAll(/^failures:\n\n----[\s\S]*?(?=^test result:)/gm)].map((match) => match[0])
  const errors = [...output.matchAll(/^error(\[\w+\])?: [\s\S]*?(?=\n\n|$)/gm)].map((match) => match[0])
  return parts.length + errors.length > 0 ? [...parts, ...errors].join('\n') : output
}

/** The part of Vitest's output that tells of failures, or all of it when there is no such part. */
export function vitestFailures(output) {
  const start = output.search(/^⎯+ (Failed|Unhandled)/m)
  return start === -1 ? output : output.slice(start)
}

/** Vitest's JSON report. Skipped tests, files that do not load and errors outside tests are failures. */
export function vitest(reportFile, { code }) {
  if (!existsSync(reportFile)) return { passed: 0, failed: 1, detail: 'vitest wrote no report' }
  const report = JSON.parse(readFileSync(reportFile, 'utf8'))
  const notes = [`${report.testResults.length} files`]
  const unloaded = report.testResults.filter(
    (file) => file.status === 'failed' && file.assertionResults.length === 0,
  )
  const skipped = report.numPendingTests + report.numTodoTests
  let failed = report.numFailedTests + unloaded.length + skipped
  if (unloaded.length > 0) notes.push(`${unloaded.length} did not load`)
  if (skipped > 0) notes.push(`${skipped} skipped, which counts as failed`)
  if (code !== 0 && failed === 0) {
    failed = 1
    notes.push('ended with an error outside its tests')
  }
  return { passed: report.numPassedTests, failed, detail: notes.join('; ') }
}
