import { readFileSync } from 'node:fs'
import { setImmediate as turn } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { BufferPool } from '../../../index.js'
import type { ForgottenGuard } from './messages.js'
import { serve } from './service.js'

/** A process that forgets a guard, and what the pool says about it. Runs with `--expose-gc`. */

const LIFETIME_MS = 20_000
const MOST_COLLECTIONS = 200

const pool = new BufferPool({ capacity: 4, leakDetection: 'stack' })

function forget(): void {
  const forgotten = pool.acquire()
  forgotten.length = forgotten.bytes.write('nobody disposes me')
}

async function run(): Promise<ForgottenGuard> {
  let report: string | undefined
  pool.once('leak', (leak) => {
    report = leak.stack ?? String(leak)
  })
  forget()
  const collect = (globalThis as { gc?: () => void }).gc
  if (collect === undefined) throw new Error('needs --expose-gc')
  for (let i = 0; i < MOST_COLLECTIONS && report === undefined; i++) {
    collect()
    await turn()
  }
  if (report === undefined) throw new Error(`no report in ${MOST_COLLECTIONS} collections`)
  return locate(report)
}

/** Finds the frame of this file in the report, and the line of source that it names. */
function locate(report: string): ForgottenGuard {
  const path = fileURLToPath(import.meta.url)
  const frame = report.split('\n').find((line) => line.includes(path)) ?? ''
  const line = Number(/:(\d+):\d+\)?$/.exec(frame.trim())?.[1])
  const source = Number.isNaN(line) ? '' : (readFileSync(path, 'utf8').split('\n')[line - 1] ?? '')
  return { report, frame: frame.trim(), source: source.trim() }
}

serve(LIFETIME_MS, run)
