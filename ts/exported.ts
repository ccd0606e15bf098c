import { markAsUntransferable } from 'node:worker_threads'

/**
 * Keeps memory that native goes on writing in this thread: it can be posted or cloned to another one as a copy only.
 *
 * On Node 20 and 22 user code can still move it, by `ArrayBuffer#transfer()` (22) or a byte stream's reader: the pool
 * notices and maps its memory anew.
 */
export function keepHere(exported: ArrayBuffer): ArrayBuffer {
  markAsUntransferable(exported)
  return exported
}
