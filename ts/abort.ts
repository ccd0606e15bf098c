import { invalidType } from './errors.js'

/** What this package needs of an `AbortSignal`; the global one fits. */
export interface AbortSignalLike {
  readonly aborted: boolean
  readonly reason: unknown
  addEventListener(type: 'abort', listener: () => void, options?: { once?: boolean }): void
  removeEventListener(type: 'abort', listener: () => void): void
}

/** An option that has to be a signal. */
export function checkSignal(option: string, given: unknown): AbortSignalLike {
  const signal = given as Partial<AbortSignalLike> | null
  if (
    typeof signal !== 'object' ||
    typeof signal?.aborted !== 'boolean' ||
    typeof signal.addEventListener !== 'function'
  ) {
    throw invalidType(option, given, 'an AbortSignal')
  }
  return signal as AbortSignalLike
}
