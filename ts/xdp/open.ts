import { type AbortSignalLike, throwIfAborted } from '../abort.js'
import { type WraithError, wrapNative } from '../errors.js'
import { native } from '../native.js'
import { BufferPool } from '../pool/buffer-pool.js'
import { POOL_TOKEN } from '../pool/options.js'
import type { NativeXdpOptions, NativeXdpReady } from './native.js'
import { fromNativeXdp, inOurNames } from './support.js'

/** Opens an interface on a thread of libuv's pool: the kernel may take a second. One entry for each UMEM. */
export async function openNative(
  options: NativeXdpOptions,
  signal: AbortSignalLike | undefined,
): Promise<readonly NativeXdpReady[]> {
  throwIfAborted({ signal })
  const opened = await fromNativeXdp(() => native().openXdp(options))
  if ('error' in opened) throw openError(opened.error)
  if (signal?.aborted) {
    for (const ready of opened) ready.discard()
    throwIfAborted({ signal })
  }
  return opened
}

/** The Rust crate's messages begin with the option that is wrong. */
function openError(thrown: unknown): unknown {
  const error = wrapNative(thrown, undefined, inOurNames) as WraithError
  const option = /^([a-z][A-Za-z]+(?:\.[a-z]+)?) (?:is|gives|leaves|has) /.exec(error.message)?.[1]
  return option === undefined ? error : wrapNative(thrown, option, inOurNames)
}

/** This thread's attachment to the UMEM's pool. A receive path never takes heap buffers, and what is sent lies in the UMEM. */
export function poolOf(ready: NativeXdpReady): BufferPool {
  try {
    return BufferPool.attach({ kind: POOL_TOKEN, id: ready.pool }, { onExhausted: 'throw' })
  } catch (error) {
    ready.discard()
    throw error
  }
}
