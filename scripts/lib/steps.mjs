// Runs named steps one after another, goes on after a failure, and ends with one line that counts everything.
//
// A step is { name, title, limitSeconds, minimum, run }: `run(timeoutMs)` returns { passed, failed, detail, output }.
// A step that says `notRun` (with the reason as its detail) counts nothing. A step that counted fewer checks than its minimum fails: a suite that ran nothing is not a success.

const TAIL_LINES = 80

const indent = (text) => text.replace(/^/gm, '    ')

function report(result, seconds) {
  const verdict = result.failed > 0 ? 'FAILED' : result.notRun ? 'not run:' : 'ok    '
  const detail = result.detail ? ` (${result.detail})` : ''
  console.log(
    `  ${verdict} ${result.passed} passed, ${result.failed} failed${detail} in ${seconds.toFixed(1)} s`,
  )
  if (result.failed > 0 && result.output) {
    const lines = result.output.trimEnd().split('\n')
    if (lines.length > TAIL_LINES) console.log(`    … ${lines.length - TAIL_LINES} earlier lines left out`)
    console.log(indent(lines.slice(-TAIL_LINES).join('\n')))
  }
}

async function runStep(step, timeoutMs) {
  if (timeoutMs <= 0)
    return { passed: 0, failed: 1, detail: 'not started: the time for the whole run is used up' }
  try {
    const result = await step.run(timeoutMs)
    const minimum = step.minimum ?? 1
    if (result.failed === 0 && result.passed < minimum && !result.notRun) {
      const detail = `${result.detail ?? ''}; expected at least ${minimum} to pass`
      return { ...result, failed: 1, detail }
    }
    return result
  } catch (error) {
    return { passed: 0, failed: 1, detail: 'the step itself failed', output: error.stack }
  }
}

function choose(steps, args) {
  const only = args.indexOf('--only')
  if (only === -1) return steps
  const wanted = (args[only + 1] ?? '').split(',')
  const unknown = wanted.filter((name) => !steps.some((step) => step.name === name))
  if (unknown.length > 0) {
    console.error(
      `no step named ${unknown.join(', ')}; there are: ${steps.map((step) => step.name).join(', ')}`,
    )
    process.exit(2)
  }
  return steps.filter((step) => wanted.includes(step.name) || step.always)
}

/** Runs the steps that `args` ask for (`--list`, `--only a,b`) and sets the exit code. */
export async function runSteps(name, steps, { args, totalSeconds }) {
  if (args.includes('--list')) {
    for (const step of steps) console.log(`${step.name.padEnd(16)} ${step.title}`)
    return
  }
  const chosen = choose(steps, args)
  const started = performance.now()
  const elapsed = () => (performance.now() - started) / 1000
  const total = { passed: 0, failed: 0 }
  const failures = []
  for (const [index, step] of chosen.entries()) {
    console.log(`[${index + 1}/${chosen.length}] ${step.name}: ${step.title}`)
    const before = elapsed()
    const limit = Math.min(step.limitSeconds, totalSeconds - before)
    const result = await runStep(step, limit * 1000)
    report(result, elapsed() - before)
    total.passed += result.passed
    total.failed += result.failed
    if (result.failed > 0) failures.push(step.name)
  }
  console.log(`${name}: ${chosen.length} steps in ${elapsed().toFixed(0)} s on Node.js ${process.version}`)
  if (failures.length > 0)
    console.log(
      `failed steps: ${failures.join(', ')}; run one again with: npm run ${name} -- --only ${failures[0]}`,
    )
  console.log(`${total.passed} passed, ${total.failed} failed`)
  process.exitCode = total.failed > 0 ? 1 : 0
}
