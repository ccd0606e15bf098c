import { fromNative } from '../errors.js'
import type { NativeShared } from '../native.js'
import { checkOptions, wholeNumber } from '../validate.js'
import type { ExerciseOptions, ExerciseResult } from './types.js'

const MAX_THREADS = 64
const MAX_ACQUIRES = 0xffff_ffff

/** Lets Rust threads use the pool, and resolves with what they found. */
export function exercise(native: NativeShared, given: ExerciseOptions): Promise<ExerciseResult> {
  const options = checkOptions('exercise', given, ['threads', 'acquires'])
  const threads = wholeNumber('threads', options.threads ?? 2, 1, MAX_THREADS)
  const acquires = wholeNumber('acquires', options.acquires ?? 10_000, 0, MAX_ACQUIRES)
  return new Promise((resolve) => {
    const running = fromNative(() =>
      native.exercise(threads, acquires, () => {
        const [got, wrong] = running.found()
        resolve(Object.freeze({ acquires: got, wrong }))
      }),
    )
  })
}
