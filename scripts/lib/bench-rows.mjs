// Rows of benchmarks: judged against their gates and aims, and laid out for people.

const round = (value) =>
  value === undefined || value === null ? '' : value >= 100 ? value.toFixed(0) : value.toPrecision(3)

/**
 * How a row stands to its gate or aim: 'met', 'missed', or 'unclear' when only a part of the confidence interval
 * meets it. `{ atLeast }` or `{ atMost }`, on the ratio or on the field that `of` names; an interval of that is in
 * the field with `Interval` behind its name.
 */
function verdict(row, goal) {
  if (!goal) return undefined
  const value = row[goal.of ?? 'ratio']
  const interval = goal.of === undefined ? row.interval : row[`${goal.of}Interval`]
  const [low, high] = interval ?? [value, value]
  const [best, worst, limit] = 'atLeast' in goal ? [high, low, goal.atLeast] : [-low, -high, -goal.atMost]
  if (worst >= limit) return 'met'
  return best >= limit ? 'unclear' : 'missed'
}

const describe = (goal) =>
  `${goal.of ? `${goal.of} ` : ''}${'atLeast' in goal ? '≥' : '≤'} ${goal.atLeast ?? goal.atMost}`

/** The row with `verdicts`, as it is printed and saved. A gate fails only when the whole interval misses it. */
export function judged(row) {
  const verdicts = {}
  for (const kind of ['gate', 'aim']) {
    const result = verdict(row, row[kind])
    if (result) verdicts[kind] = result
  }
  return Object.keys(verdicts).length > 0 ? { ...row, verdicts } : row
}

export const gateMissed = (row) => row.verdicts?.gate === 'missed'

function cells(row) {
  const interval = row.interval ? ` [${row.interval.map(round).join('–')}]` : ''
  const goals = ['gate', 'aim']
    .filter((kind) => row[kind])
    .map((kind) => `${kind} ${describe(row[kind])} ${row.verdicts[kind]}`)
  return [
    row.case,
    `${round(row.ours)} ${row.unit}`,
    row.theirs === undefined || row.theirs === null ? '' : `${round(row.theirs)} ${row.unit}`,
    row.ratio === undefined || row.ratio === null ? '' : `${round(row.ratio)}×${interval}`,
    goals.join(', '),
    row.baseline ?? '',
  ]
}

/** A table a benchmark and runtime: case, ours, theirs, ratio, verdicts, what theirs is. */
export function table(rows) {
  const groups = new Map()
  for (const row of rows) {
    const title = `${row.bench} on ${row.runtime}`
    groups.set(title, [...(groups.get(title) ?? []), row])
  }
  const text = []
  for (const [title, members] of groups) {
    const lines = [['case', 'ours', 'theirs', 'ratio', 'goals', 'theirs is'], ...members.map(cells)]
    const widths = lines[0].map((_, column) => Math.max(...lines.map((line) => line[column].length)))
    text.push(
      title,
      ...lines.map((line) => `  ${line.map((cell, i) => cell.padEnd(widths[i])).join('  ')}`.trimEnd()),
      '',
    )
  }
  return text.join('\n')
}
