// The shape of the published package, judged by tools that others use to judge it.

import { pack } from '../pack.mjs'
import { tool } from './paths.mjs'
import { run } from './process.mjs'

export async function packagesStep(timeoutMs) {
  const [main] = await pack()
  const checks = [
    [tool('publint'), 'run', main.folder, '--strict', '--pack=false'],
    [
      tool('@arethetypeswrong/cli', 'attw'),
      main.tarball,
      '--profile',
      'esm-only',
      '--no-emoji',
      '--no-color',
    ],
  ]
  let [passed, output] = [0, '']
  for (const args of checks) {
    const result = await run(process.execPath, args, { timeoutMs })
    passed += Number(result.code === 0)
    if (result.code !== 0) output += result.output
  }
  return { passed, failed: checks.length - passed, output }
}
