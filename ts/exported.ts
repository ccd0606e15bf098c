import { markAsUntransferable } from 'node:worker_threads'

/**
 * An ArrayBuffer over memory that native keeps writing, made safe to show to user code: it can be posted or cloned to
 * another thread as a copy only.
 *
 * The `transfer()` comes first where there is one, because Node 24 aborts at exit when a marked buffer is the very one
 * that the addon made; Node 20 has neither the method nor the abort. On Node 22 user code can still call `transfer()`
 * itself: the pool notices and maps its memory anew.
 */
export function keepHere(exported: ArrayBuffer): ArrayBuffer {
  const movable = exported as ArrayBuffer & { transfer?: () => ArrayBuffer }
  const memory = movable.transfer?.() ?? exported
  markAsUntransferable(memory)
  return memory
}
