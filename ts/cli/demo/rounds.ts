import { type Measured, measure, type Setting } from './measure.js'
import { loadName, workName } from './plan.js'
import { combineRows, type RowResult } from './result.js'
import { type Screen, wrap } from './screen.js'
import { costTable, whole } from './table.js'

/** Every row: one side after the other, round by round, each run in a fresh receiver. */
export async function measureAll(setting: Setting, screen: Screen): Promise<RowResult[]> {
  const { plan } = setting
  const { rows, rounds, sides } = plan
  const runs: Measured[] = []
  const total = rows.length * rounds * sides.length
  for (const row of rows) {
    for (let round = 0; round < rounds; round++) {
      for (const side of sides) {
        const what = `[${runs.length + 1}/${total}] ${loadName(row)}, ${workName(row)}, ${side}`
        if (screen.live) screen.block([...costTable(combineRows(rows, runs), sides), `${what} …`])
        const measured = await measure(setting, side, row)
        runs.push(measured)
        if (!screen.live) screen.lines(plainLine(what, measured))
      }
    }
  }
  screen.clear()
  return combineRows(rows, runs)
}

function plainLine(what: string, { sent, received, cpuNs }: Measured): string[] {
  const cost = received === 0 ? '' : `, ${whole(cpuNs / received)} ns CPU each`
  return wrap(`${what}: got ${received} of ${sent}${cost}`)
}
