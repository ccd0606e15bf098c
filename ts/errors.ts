import type { WraithErrorCode } from './codes.js'

export type { WraithErrorCode } from './codes.js'

/** What else is known about an error. */
export interface WraithErrorDetails {
  /** The option or argument that is wrong. */
  readonly option?: string
  /** The operating system's error number, when a system call was refused. */
  readonly errno?: number
  /** The name of that system call. */
  readonly syscall?: string
  readonly cause?: unknown
}

/**
 * Every error that this package throws or rejects with.
 *
 * Tell errors apart by `code`, which never changes its meaning, and not by `message`, which is for people: it says
 * what was given, what is allowed, and one thing to do. `docs/errors.md` lists the codes.
 */
export class WraithError extends Error {
  /** The stable code. */
  readonly code: WraithErrorCode
  /** The option or argument that is wrong, when one is. */
  declare readonly option?: string
  /** The operating system's error number, when a system call was refused. */
  declare readonly errno?: number
  /** The name of that system call. */
  declare readonly syscall?: string

  constructor(code: WraithErrorCode, message: string, details: WraithErrorDetails = {}) {
    super(message, 'cause' in details ? { cause: details.cause } : undefined)
    this.code = code
    if (details.option !== undefined) this.option = details.option
    if (details.errno !== undefined) this.errno = details.errno
    if (details.syscall !== undefined) this.syscall = details.syscall
  }
}

Object.defineProperty(WraithError.prototype, 'name', {
  value: 'WraithError',
  configurable: true,
  writable: true,
})

/** How a value is shown in a message: short, and never the content of a buffer. */
export function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 64 ? `${value.slice(0, 61)}...` : value)
  if (typeof value === 'bigint') return `${value}n`
  if (typeof value === 'function') return `function ${value.name || '(anonymous)'}`
  if (typeof value !== 'object' || value === null) return String(value)
  if (Array.isArray(value)) return `an array of ${value.length}`
  const name: unknown = Object.getPrototypeOf(value)?.constructor?.name
  return typeof name === 'string' && name !== 'Object' ? `an instance of ${name}` : 'an object'
}

/** A value of the wrong type. */
export function invalidType(option: string, given: unknown, allowed: string): WraithError {
  return new WraithError(
    'WRAITH_ERR_INVALID_ARG_TYPE',
    `${option} must be ${allowed}, but ${show(given)} was given. Pass ${allowed}.`,
    { option },
  )
}

/** A value of the right type outside of what is allowed. */
export function outOfRange(option: string, given: unknown, allowed: string, advice?: string): WraithError {
  return new WraithError(
    'WRAITH_ERR_OUT_OF_RANGE',
    `${option} must be ${allowed}, but ${show(given)} was given. ${advice ?? `Choose ${allowed}.`}`,
    { option },
  )
}

/** Runs a call into the addon and turns what it throws into a {@link WraithError}, its message reworded if need be. */
export function fromNative<T>(call: () => T, option?: string, reword?: (message: string) => string): T {
  try {
    return call()
  } catch (thrown) {
    throw wrapNative(thrown, option, reword)
  }
}

/** The addon's error as a {@link WraithError}; anything else is returned as it is. */
export function wrapNative(
  thrown: unknown,
  option?: string,
  reword: (message: string) => string = (message) => message,
): unknown {
  if (!(thrown instanceof Error) || thrown instanceof WraithError) return thrown
  const { code, errno, syscall } = thrown as Error & WraithErrorDetails & { code?: unknown }
  if (typeof code !== 'string' || !code.startsWith('WRAITH_ERR_')) return thrown
  const error = new WraithError(code as WraithErrorCode, reword(thrown.message), {
    ...(option === undefined ? {} : { option }),
    ...(errno === undefined ? {} : { errno }),
    ...(syscall === undefined ? {} : { syscall }),
  })
  return error
}
