import { fromNative } from '../errors.js'
import { type NativeParsers, native } from '../native.js'
import { checkOptions, oneOf } from '../validate.js'
import { type SimdBackendName, simdBackends } from './names.js'

/** Options of a parse. */
export interface ParseOptions {
  /** Parse in this way instead of the one that `simdBackend()` names. All give the same columns. */
  readonly backend?: SimdBackendName
}

/** How this process parses. */
export interface SimdBackend {
  /** What is used unless a call asks for something else. */
  readonly active: SimdBackendName
  /** What this CPU and this build have, slowest first. */
  readonly available: readonly SimdBackendName[]
  /** The environment variable that has chosen the active one; without it that is the fastest. */
  readonly forcedBy?: 'WRAITH_SIMD'
}

let made: NativeParsers | undefined
let chosen: SimdBackend | undefined

/** The addon's functions, made on first use. */
export function parsers(): NativeParsers {
  made ??= native().createParsers()
  return made
}

/**
 * How this process parses frames and packets: with which instructions, which others there are, and whether `WRAITH_SIMD` has
 * chosen. It is settled by the first parse, or the first call of this function, in the process.
 *
 * @throws WRAITH_ERR_OUT_OF_RANGE when `WRAITH_SIMD` is no backend's name, WRAITH_ERR_UNSUPPORTED when it is one that this CPU
 *   does not have. So does every parse that does not name a backend.
 */
export function simdBackend(): SimdBackend {
  if (chosen === undefined) {
    const { active, available, forced } = fromNative(() => parsers().backend(), 'WRAITH_SIMD')
    chosen = Object.freeze({
      active: active as SimdBackendName,
      available: Object.freeze(available as SimdBackendName[]),
      ...(forced ? { forcedBy: 'WRAITH_SIMD' as const } : {}),
    })
  }
  return chosen
}

/** The backend that options name. Without one the process's is used, and what is wrong with that is thrown here. */
export function backendOf(call: string, options: ParseOptions | undefined): SimdBackendName | undefined {
  const asked = options === undefined ? undefined : checkOptions(call, options, ['backend']).backend
  if (asked !== undefined) return oneOf('backend', asked, simdBackends)
  if (chosen === undefined) simdBackend()
  return undefined
}
