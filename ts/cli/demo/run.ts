import { Children } from './children.js'
import { jsonReport } from './json.js'
import { describeMachine, largeBuffer, type Machine } from './machine.js'
import { type Measured, measure, type Setting } from './measure.js'
import { type Calibrated, type ForgottenGuard, type OutletName, SIDES } from './messages.js'
import { loadName, planFor, workName } from './plan.js'
import { combineRows, faults, type RowResult } from './result.js'
import { Screen, wrap } from './screen.js'
import { calibrationLine, forgottenLines, machineLines, summary } from './summary.js'
import { booksTable, costTable, whole } from './table.js'

export interface DemoOptions {
  /** About how long the whole demo takes. */
  seconds: number
  /** The report as one line of JSON on standard output, everything else on standard error. */
  json: boolean
}

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const
const ANSWER_MS = 20_000

/** Runs the demo and returns the exit code: 0, or 1 when the books did not balance. Leaves no process behind. */
export async function runDemo(options: DemoOptions): Promise<number> {
  const children = new Children()
  const stop = (signal: NodeJS.Signals): void => {
    children.stop().finally(() => process.exit(SIGNALS[signal as keyof typeof SIGNALS]))
  }
  for (const signal of Object.keys(SIGNALS)) process.once(signal, stop)
  // A reader that went away (`demo | head`) ends the demo, and its processes with it.
  const broken = (): void => stop('SIGHUP')
  process.stdout.once('error', broken)
  try {
    return await run(options, children)
  } finally {
    await children.stop()
    for (const signal of Object.keys(SIGNALS)) process.removeListener(signal, stop)
    process.stdout.removeListener('error', broken)
  }
}

async function run(options: DemoOptions, children: Children): Promise<number> {
  const machine = describeMachine()
  const plan = planFor(options.seconds, largeBuffer(machine))
  const screen = new Screen(
    options.json ? process.stderr : process.stdout,
    costTable(combineRows(plan.rows, [])).length + 1,
  )
  screen.line(screen.bold('wraith-transport demo: UDP over loopback, node:dgram beside UdpSocket'))
  text(screen, machineLines(machine))
  const epochNs = process.hrtime.bigint()
  const sender = children.start('the sender', new URL('./sender.js', import.meta.url))
  const rates = await sender.ask<Calibrated>({ do: 'calibrate', ms: plan.calibrateMs }, ANSWER_MS)
  const outlet: OutletName = rates.UdpSocket >= rates.dgram ? 'UdpSocket' : 'dgram'
  text(screen, calibrationLine(rates, outlet))
  screen.line()
  const setting: Setting = { children, sender, outlet, plan, epochNs }
  const rows = await measureAll(setting, screen)
  const forgotten = await forget(children)
  report(screen, rows, machine, rates, forgotten)
  const wrong = faults(rows)
  for (const fault of wrong) screen.line(screen.red(`WRONG: ${fault}`))
  if (options.json) process.stdout.write(`${JSON.stringify(jsonReport(rows, machine, forgotten))}\n`)
  return wrong.length === 0 ? 0 : 1
}

/** Every row: dgram, wraith, dgram, wraith, …, each run in a fresh receiver. */
async function measureAll(setting: Setting, screen: Screen): Promise<RowResult[]> {
  const { plan } = setting
  const runs: Measured[] = []
  const total = plan.rows.length * plan.rounds * SIDES.length
  for (const row of plan.rows) {
    for (let round = 0; round < plan.rounds; round++) {
      for (const side of SIDES) {
        const what = `[${runs.length + 1}/${total}] ${loadName(row)}, ${workName(row)}, ${side}`
        if (screen.live) screen.block([...costTable(combineRows(plan.rows, runs)), `${what} …`])
        const measured = await measure(setting, side, row)
        runs.push(measured)
        if (!screen.live) text(screen, plainLine(what, measured))
      }
    }
  }
  screen.clear()
  return combineRows(plan.rows, runs)
}

function text(screen: Screen, lines: readonly string[]): void {
  for (const line of lines) screen.line(line)
}

function plainLine(what: string, { sent, received, cpuNs }: Measured): string[] {
  const cost = received === 0 ? '' : `, ${whole(cpuNs / received)} ns CPU each`
  return wrap(`${what}: got ${received} of ${sent}${cost}`)
}

async function forget(children: Children): Promise<ForgottenGuard> {
  const child = children.start('the forgetful process', new URL('./forgotten-guard.js', import.meta.url), [
    '--expose-gc',
  ])
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
  for (const lines of [
    costTable(rows),
    booksTable(rows),
    summary(rows, machine, rates),
    forgottenLines(forgotten),
  ]) {
    const [title = '', ...rest] = lines
    screen.line(screen.bold(title))
    text(screen, rest)
    screen.line()
  }
}
