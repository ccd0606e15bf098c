/** Frames of a recorded stack. */
const FRAMES = 16

/**
 * The caller's stack, formatted only when somebody reads it. Capturing costs about a microsecond, formatting ten times
 * that.
 */
export function captureStack(): { stack?: string } {
  const holder: { stack?: string } = {}
  const limit = Error.stackTraceLimit
  Error.stackTraceLimit = FRAMES
  Error.captureStackTrace(holder, captureStack)
  Error.stackTraceLimit = limit
  return holder
}

/** Where this package's compiled files lie; its command-line program is user code to the rest. */
const OWN = new URL('..', import.meta.url).href
const OWN_PROGRAM = new URL('../cli/', import.meta.url).href

/** The first line of a stack that is not this package's own: where user code acquired. */
export function callerLine(stack: string | undefined): string | undefined {
  return stack
    ?.split('\n')
    .slice(1)
    .map((line) => line.trim())
    .find((line) => line.startsWith('at ') && (!line.includes(OWN) || line.includes(OWN_PROGRAM)))
}
