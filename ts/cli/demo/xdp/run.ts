import type { Children } from '../children.js'
import { describeMachine } from '../machine.js'
import { type Setting, tryOut } from '../measure.js'
import type { Calibrated, OutletName } from '../messages.js'
import { type Row, wirePlanFor } from '../plan.js'
import { combineRows, faults } from '../result.js'
import { measureAll } from '../rounds.js'
import type { DemoOptions } from '../run.js'
import { Screen, wrap } from '../screen.js'
import { calibrationLine, machineLines } from '../summary.js'
import { costTable, wireBooksTable } from '../table.js'
import { untilStopped } from '../until-stopped.js'
import { wireReport } from './json.js'
import { lookAround, missing } from './needs.js'
import { wireSummary } from './summary.js'
import { WIRE_QUEUES, Wire } from './wire.js'

const ANSWER_MS = 20_000

/**
 * Runs the demo over a veth pair, with `XdpSocket` as a third side, and returns the exit code: 0, or 1 when the books did not balance. Leaves
 * no process and no namespace behind.
 *
 * @throws what this machine lacks for it
 */
export async function runXdpDemo(options: DemoOptions): Promise<number> {
  const lacking = missing(lookAround())
  if (lacking.length > 0) throw new Error(`demo --xdp cannot run here: ${lacking.join('; and ')}`)
  return untilStopped((children) => run(options, children))
}

async function run(options: DemoOptions, children: Children): Promise<number> {
  const machine = describeMachine()
  const plan = wirePlanFor(options.seconds)
  const { rows, sides } = plan
  const screen = new Screen(
    options.json ? process.stderr : process.stdout,
    costTable(combineRows(rows, []), sides).length + 1,
  )
  screen.line(screen.bold('wraith-transport demo: UDP over a veth pair: node:dgram, UdpSocket, XdpSocket'))
  screen.lines(machineLines(machine))
  const { setting, rates, socket } = await prepare(children, plan, screen)
  const results = await measureAll(setting, screen)
  if (!screen.live) screen.line()
  screen.parts([
    costTable(results, sides),
    wireBooksTable(results),
    wireSummary(results, machine, rates, socket),
  ])
  const wrong = faults(results, sides)
  for (const fault of wrong) screen.line(screen.red(`WRONG: ${fault}`))
  if (options.json) process.stdout.write(`${JSON.stringify(wireReport(results, machine, socket))}\n`)
  return wrong.length === 0 ? 0 : 1
}

/** The wire, the sender at its far end, and a look at whether AF_XDP works at the near one. */
async function prepare(
  children: Children,
  plan: Setting['plan'],
  screen: Screen,
): Promise<{ setting: Setting; rates: Calibrated; socket: string }> {
  const wire = new Wire(process.pid)
  children.atEnd(() => wire.remove())
  await wire.lay()
  const { near, far, site } = wire
  screen.lines(
    wrap(
      `Wire: a veth pair of ${WIRE_QUEUES} queues, from ${far.link} in the namespace ${far.namespace} to ${near.link} in ` +
        `${near.namespace}; both are removed at the end`,
    ),
  )
  const epochNs = process.hrtime.bigint()
  const sender = children.start('the sender', new URL('../sender.js', import.meta.url), {
    through: site.through.sender,
  })
  const rates = await sender.ask<Calibrated>({ do: 'calibrate', ms: plan.calibrateMs }, ANSWER_MS)
  const outlet: OutletName = rates.UdpSocket >= rates.dgram ? 'UdpSocket' : 'dgram'
  screen.lines(calibrationLine(rates, outlet, 'All sides'))
  const setting: Setting = { children, sender, outlet, plan, epochNs, site }
  const { about: socket = '' } = await tryOut(setting, 'xdp', plan.rows[0] as Row)
  screen.lines(wrap(`XdpSocket: ${socket}`))
  screen.line()
  return { setting, rates, socket }
}
