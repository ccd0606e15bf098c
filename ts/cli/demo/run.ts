import type { Children } from './children.js'
import { jsonReport } from './json.js'
import { describeMachine, largeBuffer, type Machine } from './machine.js'
import type { Calibrated, ForgottenGuard, OutletName } from './messages.js'
import { planFor } from './plan.js'
import { combineRows, faults, type RowResult } from './result.js'
import { measureAll } from './rounds.js'
import { Screen } from './screen.js'
import { LOOPBACK } from './site.js'
import { calibrationLine, forgottenLines, machineLines, summary } from './summary.js'
import { booksTable, costTable } from './table.js'
import { untilStopped } from './until-stopped.js'

export interface DemoOptions {
  /** About how long the whole demo takes. */
  seconds: number
  /** The report as one line of JSON on standard output, everything else on standard error. */
  json: boolean
}

const ANSWER_MS = 20_000

/** Runs the demo and returns the exit code: 0, or 1 when the books did not balance. Leaves no process behind. */
export function runDemo(options: DemoOptions): Promise<number> {
  return untilStopped((children) => run(options, children))
}

async function run(options: DemoOptions, children: Children): Promise<number> {
  const machine = describeMachine()
  const plan = planFor(options.seconds, largeBuffer(machine))
  const screen = new Screen(
    options.json ? process.stderr : process.stdout,
    costTable(combineRows(plan.rows, [])).length + 1,
  )
  screen.line(screen.bold('wraith-transport demo: UDP over loopback, node:dgram beside UdpSocket'))
  screen.lines(machineLines(machine))
  const epochNs = process.hrtime.bigint()
  const sender = children.start('the sender', new URL('./sender.js', import.meta.url))
  const rates = await sender.ask<Calibrated>({ do: 'calibrate', ms: plan.calibrateMs }, ANSWER_MS)
  const outlet: OutletName = rates.UdpSocket >= rates.dgram ? 'UdpSocket' : 'dgram'
  screen.lines(calibrationLine(rates, outlet))
  screen.line()
  const setting = { children, sender, outlet, plan, epochNs, site: LOOPBACK }
  const rows = await measureAll(setting, screen)
  const forgotten = await forget(children)
  report(screen, rows, machine, rates, forgotten)
  const wrong = faults(rows)
  for (const fault of wrong) screen.line(screen.red(`WRONG: ${fault}`))
  if (options.json) process.stdout.write(`${JSON.stringify(jsonReport(rows, machine, forgotten))}\n`)
  return wrong.length === 0 ? 0 : 1
}

async function forget(children: Children): Promise<ForgottenGuard> {
  const child = children.start('the forgetful process', new URL('./forgotten-guard.js', import.meta.url), {
    nodeOptions: ['--expose-gc'],
  })
  try {
    return await child.ask<ForgottenGuard>({ do: 'forget' }, ANSWER_MS)
  } finally {
    await children.end(child)
  }
}

function report(
  screen: Screen,
  rows: readonly RowResult[],
  machine: Machine,
  rates: Calibrated,
  forgotten: ForgottenGuard,
): void {
  if (!screen.live) screen.line()
  screen.parts([costTable(rows), booksTable(rows), summary(rows, machine, rates), forgottenLines(forgotten)])
}
