import { isUnstable } from '../bytes.js'
import { invalidType, outOfRange, WraithError } from '../errors.js'
import { type NativeXdpFilterTest, native } from '../native.js'
import { readFilter } from './filter.js'
import { fromNativeXdp, requireLinux } from './support.js'
import type { XdpFilter, XdpVerdict } from './types.js'

/** An Ethernet header: less is no frame, for the kernel as well. */
const SHORTEST = 14

/** Programs that are loaded, by what they were made of, the last one used last: loading one takes milliseconds. */
const loaded = new Map<string, NativeXdpFilterTest>()
const MOST_LOADED = 4

/**
 * What a filter does with a frame, by the kernel's own word: the filter's program is loaded and run on the frame, with no interface
 * involved. The programs of the last four filters stay loaded.
 *
 * @param frame a whole Ethernet frame, from its destination address on; the first 2048 bytes are looked at
 * @throws those of the filter, WRAITH_ERR_PERMISSION when CAP_BPF, CAP_NET_ADMIN or CAP_NET_RAW is missing, WRAITH_ERR_UNSUPPORTED
 *   where there is no AF_XDP
 */
export function testFilter(filter: XdpFilter, frame: Uint8Array): XdpVerdict {
  requireLinux()
  const options = readFilter(filter)
  checkFrame(frame)
  // What management needs includes the port of the SSH session, which is looked up when a program is made.
  const key = JSON.stringify([options, process.env['SSH_CONNECTION']])
  const test = loaded.get(key) ?? fromNativeXdp(() => native().createXdpFilterTest(options), 'filter')
  loaded.delete(key)
  loaded.set(key, test)
  for (const oldest of loaded.keys()) {
    if (loaded.size <= MOST_LOADED) break
    loaded.delete(oldest)
  }
  return fromNativeXdp(() => test.takes(frame), 'frame') ? 'socket' : 'kernel'
}

function checkFrame(frame: unknown): void {
  if (!(frame instanceof Uint8Array)) throw invalidType('frame', frame, 'a Uint8Array')
  if (isUnstable(frame)) {
    throw new WraithError(
      'WRAITH_ERR_SHARED_MEMORY',
      'frame lies in a SharedArrayBuffer or a resizable ArrayBuffer, which could change while it is looked at. ' +
        'Copy it into an ordinary Uint8Array first.',
      { option: 'frame' },
    )
  }
  if (frame.length < SHORTEST) {
    const allowed = `${SHORTEST} bytes or more`
    throw outOfRange('frame.length', frame.length, allowed, 'Pass a whole Ethernet frame.')
  }
}
