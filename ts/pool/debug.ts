import { type Bytes, bytesHolding, bytesOver } from '../bytes.js'

/**
 * Whether every lent view lies on memory of its own that is detached when it ends (`WRAITH_DEBUG=1`): a late use then
 * reads nothing instead of somebody else's packet. Read once per pool.
 */
export function debugMode(): boolean {
  const setting = process.env['WRAITH_DEBUG']
  return setting !== undefined && setting !== '' && setting !== '0'
}

/** Memory of its own for one lent view, zeroed. */
export function freshMemory(size: number, holder?: object): Bytes {
  const memory = new ArrayBuffer(size)
  return holder === undefined ? bytesOver(memory, 0, size) : bytesHolding(memory, 0, size, holder)
}

/** Detaches the memory under a view: each view onto it is empty from here on. */
export function releaseMemory(view: Uint8Array): void {
  const memory = view.buffer
  if (memory.byteLength > 0) structuredClone(memory, { transfer: [memory as ArrayBuffer] })
}
