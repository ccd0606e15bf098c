import { invalidType, WraithError } from './errors.js'

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

/** @throws WRAITH_ERR_ABORTED when the signal has fired */
export function throwIfAborted({ signal }: { readonly signal: AbortSignalLike | undefined }): void {
  if (!signal?.aborted) return
  throw new WraithError('WRAITH_ERR_ABORTED', 'the signal has fired. Pass a signal that has not.', {
    option: 'signal',
    cause: signal.reason,
  })
}
