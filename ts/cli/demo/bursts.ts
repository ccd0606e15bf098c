import type { Outlet } from './outlets.js'

/**
 * Sends `run`, datagrams of `size` bytes each with sequence numbers from `first` on: with one call where that can be
 * done, otherwise with one call each, now and from then on.
 *
 * @returns how many were taken; when not all, wait until the outlet is writable
 */
export function sendRun(outlet: Outlet, run: Uint8Array, size: number, first: number): number {
  if (outlet.sendSegments !== undefined) {
    try {
      return outlet.sendSegments(run, size, first) ? run.length / size : 0
    } catch (error) {
      if ((error as { code?: unknown }).code !== 'WRAITH_ERR_UNSUPPORTED') throw error
      outlet.sendSegments = undefined
    }
  }
  let taken = 0
  for (let start = 0; start < run.length; start += size) {
    if (!outlet.send(run.subarray(start, start + size), first + taken)) break
    taken++
  }
  return taken
}
