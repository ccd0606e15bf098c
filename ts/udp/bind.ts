import { lookup } from 'node:dns/promises'
import { isIP } from 'node:net'

import { fromNative, WraithError } from '../errors.js'
import { type NativeDispatch, type NativeUdp, native } from '../native.js'
import { BufferPool } from '../pool/buffer-pool.js'
import type { CheckedOptions, CheckedReceive } from './options.js'

/** The pool of a socket that was given none. */
export function ownPool(options: CheckedReceive): BufferPool {
  const { bufferSize, capacity } = options
  return new BufferPool({
    ...(bufferSize === undefined ? {} : { bufferSize }),
    ...(capacity === undefined ? {} : { capacity }),
  })
}

/** Binds as the checked options say; `dispatch` is told what happens. */
export function bindNative(
  options: CheckedOptions,
  pool: string,
  address: string | undefined,
  dispatch: NativeDispatch,
): NativeUdp {
  const { recvBufferSize, sendBufferSize, fd } = options
  return fromNative(
    () =>
      native().bindUdp(
        {
          pool,
          family: options.family,
          port: options.port,
          ipv6Only: options.ipv6Only,
          reuseAddr: options.reuseAddr,
          reusePort: options.reusePort,
          timestamps: options.timestamps,
          batchSize: options.batchSize,
          dropTruncated: options.onTruncated === 'drop',
          portable: options.backend === 'recvmsg',
          ...(address === undefined ? {} : { address }),
          ...(recvBufferSize === undefined ? {} : { recvBufferSize }),
          ...(sendBufferSize === undefined ? {} : { sendBufferSize }),
          ...(fd === undefined ? {} : { fd }),
        },
        dispatch,
      ),
    fd === undefined ? 'address' : 'fd',
  )
}

/** Attaches to the shared socket with this id; `dispatch` is told what happens. */
export function attachNative(
  options: CheckedReceive,
  id: string,
  pool: string,
  dispatch: NativeDispatch,
): NativeUdp {
  const { batchSize, onTruncated, backend } = options
  return fromNative(() =>
    native().attachUdp(
      { id, pool, batchSize, dropTruncated: onTruncated === 'drop', portable: backend === 'recvmsg' },
      dispatch,
    ),
  )
}

/** The IP address of a host name; an address is its own. */
export async function resolve(host: string, family: 4 | 6): Promise<string> {
  if (isIP(host) !== 0) return host
  try {
    return (await lookup(host, { family })).address
  } catch (cause) {
    throw new WraithError(
      'WRAITH_ERR_INVALID_ADDRESS',
      `address ${JSON.stringify(host)} could not be resolved to an IPv${family} address. Pass an IP address, or a name ` +
        'that resolves.',
      { option: 'address', cause },
    )
  }
}
