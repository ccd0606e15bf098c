// Criterion's results as rows. In a group, the function whose name begins with "baseline", "allocator" or "scalar" is what the others
// with the same parameter are compared with.

import { readFileSync, statSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { filesUnder } from './inputs.mjs'
import { at } from './paths.mjs'

const folder = () => join(process.env.CARGO_TARGET_DIR ?? at('target'), 'criterion')

const BASELINE = /^(baseline|allocator|scalar)\b[:/ _-]*/

/** Rows of the results written since `since` (milliseconds), for the bench called `bench`. */
export function criterionRows(bench, since, machine) {
  const results = filesUnder(folder(), (file) => file.endsWith('/new/estimates.json'))
    .filter((file) => statSync(file).mtimeMs >= since)
    .map((file) => ({
      id: JSON.parse(readFileSync(join(dirname(file), 'benchmark.json'), 'utf8')),
      median: JSON.parse(readFileSync(file, 'utf8')).median,
    }))
  return results
    .filter(({ id }) => !BASELINE.test(id.function_id ?? ''))
    .map(({ id, median }) => {
      const base = results.find(
        (other) =>
          other.id.group_id === id.group_id &&
          other.id.value_str === id.value_str &&
          BASELINE.test(other.id.function_id ?? ''),
      )
      const { lower_bound: low, upper_bound: high } = median.confidence_interval
      const theirs = base?.median
      return {
        bench,
        case: [id.group_id, id.function_id, id.value_str].filter(Boolean).join(' / '),
        baseline: base ? base.id.function_id : null,
        ratio: theirs ? theirs.point_estimate / median.point_estimate : null,
        // The widest the two intervals allow: they were not measured in pairs.
        ...(theirs && {
          interval: [
            theirs.confidence_interval.lower_bound / high,
            theirs.confidence_interval.upper_bound / low,
          ],
        }),
        ours: median.point_estimate,
        theirs: theirs?.point_estimate ?? null,
        unit: 'ns',
        ...machine,
      }
    })
}
