import { expect } from 'vitest'
import { WraithError, type WraithErrorCode } from 'wraith-transport'

/** What `act` throws, which has to be a {@link WraithError}. */
export function thrownBy(act: () => unknown): WraithError {
  try {
    act()
  } catch (error) {
    return asWraithError(error)
  }
  throw new Error('nothing was thrown')
}

/** What `act` rejects with, or throws. */
export async function rejectionOf(act: () => unknown): Promise<WraithError> {
  try {
    await act()
  } catch (error) {
    return asWraithError(error)
  }
  throw new Error('nothing was thrown')
}

function asWraithError(error: unknown): WraithError {
  expect(error).toBeInstanceOf(WraithError)
  return error as WraithError
}

/** What a refusal must say. */
export interface Refusal {
  readonly code: WraithErrorCode
  readonly option?: string | undefined
  /** How the given value is shown. */
  readonly given?: string | undefined
  /** What is allowed instead. */
  readonly allowed?: string | RegExp | undefined
}

/** Every refusal has its code, names its option, and its message says what was given, what is allowed and what to do. */
export function expectRefusal(error: WraithError, { code, option, given, allowed }: Refusal): void {
  expect(error.code).toBe(code)
  expect(error.name).toBe('WraithError')
  expect(error.option).toBe(option)
  if (option !== undefined) expect(error.message).toContain(option)
  if (given !== undefined) expect(error.message).toContain(given)
  if (allowed !== undefined) expect(error.message).toMatch(allowed)
  expectOneThingToDo(error.message)
}

/** Verbs that a message's last sentence may begin with: what the reader is told to do. */
const IMPERATIVE =
  /^(?:(?:Acquire|Add|Adopt|Allow|Ask|Bind|Bring|Call|Check|Choose|Clear|Close|Connect|Copy|Did you mean|Dispose|Give|Install|Join|Keep|Leave|Let|Look|Lower|Make|Name|Nothing to do|Open|Pass|Raise|Read|Release|Remove|Report|Run|See|Send|Set|Stop|Take|Use|Wait|Write)\b|disconnect\(\))/

/** A message ends with one sentence that tells the reader what to do. */
export function expectOneThingToDo(message: string): void {
  const sentences = message.split(/(?<=[.?])\s+(?=[A-Zd])/)
  expect(sentences.length, message).toBeGreaterThanOrEqual(2)
  expect(sentences.at(-1), message).toMatch(IMPERATIVE)
  expect(message, message).toMatch(/[.?]$/)
}
