import { fromNative, WraithError } from '../errors.js'

/**
 * @throws WRAITH_ERR_UNSUPPORTED elsewhere than on Linux, whether or not there is an addon
 */
export function requireLinux(): void {
  if (process.platform === 'linux') return
  throw new WraithError(
    'WRAITH_ERR_UNSUPPORTED',
    `AF_XDP exists on Linux only, and this is ${process.platform}. Use UdpSocket here, or run on Linux 5.9 or newer.`,
  )
}

/** Options of the Rust crate whose names differ here, as its messages have them. */
const NAMES =
  /\b(?:keep_management|memory_budget|frame_size|batch_size|tx_frames|rx_ring|tx_ring|busy_poll)\b/g

/** A text of the Rust crate with the names that options have here. */
export function inOurNames(text: string): string {
  return text.replace(NAMES, (name) => name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()))
}

/** As `fromNative`, for calls whose errors name options of the Rust crate. */
export function fromNativeXdp<T>(call: () => T, option?: string): T {
  return fromNative(call, option, inOurNames)
}
