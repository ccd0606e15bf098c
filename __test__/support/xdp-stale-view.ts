import { expect } from 'vitest'
import type { BufferPoolAudit } from 'wraith-transport'
import { childResult } from './child.js'
import { Namespace } from './netns.js'

interface Decoded {
  readonly batches: number
  readonly frames: number
  /** How often a view of a batch that had ended was decoded while the kernel wrote frames. */
  readonly decodes: number
  /** Views that still showed a byte then. */
  readonly shown: number
  /** Frames that did not hold what was sent. */
  readonly wrong: number
  readonly audit: BufferPoolAudit
}

/** Decodes stale views for some seconds in a namespace of its own: nothing crashes, nothing is seen, everything is home. */
export async function expectStaleViewsEmpty(
  seconds: number,
  views: 'zero-copy' | 'copied',
  node?: string,
): Promise<void> {
  using namespace = new Namespace()
  const { batches, frames, decodes, shown, wrong, audit } = await childResult<Decoded>('xdp-stale-view.mjs', {
    args: [String(seconds), views],
    under: namespace.through,
    limitMs: 50_000 + 3000 * seconds,
    ...(node === undefined ? {} : { node }),
  })
  expect({ shown, wrong }).toEqual({ shown: 0, wrong: 0 })
  expect(batches).toBeGreaterThan(20 * seconds)
  expect(frames).toBeGreaterThan(100 * seconds)
  // What is copied is JavaScript's own, and may be looked at for ever.
  if (views === 'zero-copy') expect(decodes).toBeGreaterThan(1000 * seconds)
  const { free, cached, capacity, ok } = audit
  expect({ home: free + cached, ok }).toEqual({ home: capacity, ok: true })
}
