import { afterEach, expect } from 'vitest'
import { BufferPool, type BufferPoolAudit, type BufferPoolOptions } from 'wraith-transport'

/** Whether the suite runs with `WRAITH_DEBUG`: a late use of a view reads nothing then. */
export const debugMode = !['', '0'].includes(process.env['WRAITH_DEBUG'] ?? '')

const pools: BufferPool[] = []

/** A pool that is audited and closed when the test ends. By then every guard has to be home. */
export function makePool(options: BufferPoolOptions = {}): BufferPool {
  const pool = new BufferPool(options)
  pools.push(pool)
  return pool
}

/** The law: every slot has exactly one state, and they add up to the capacity. */
export function expectAudit(pool: BufferPool): BufferPoolAudit {
  const audit = pool.audit()
  expect(audit.problems).toEqual([])
  expect(audit.ok).toBe(true)
  const { free, cached, lent, elsewhere, batched, posted, op, transit, retiring, quarantined } = audit
  const sum = free + cached + lent + elsewhere + batched + posted + op + transit + retiring + quarantined
  expect(sum).toBe(audit.capacity)
  return audit
}

afterEach(async () => {
  for (const pool of pools.splice(0)) {
    const { lent, batched, posted, op, transit, retiring } = expectAudit(pool)
    expect({ lent, batched, posted, op, transit, retiring }, 'every buffer has to be home').toEqual({
      lent: 0,
      batched: 0,
      posted: 0,
      op: 0,
      transit: 0,
      retiring: 0,
    })
    pool.close()
    await pool.closed
    const { free, quarantined, capacity } = expectAudit(pool)
    expect(free + quarantined).toBe(capacity)
  }
})

/** Whether every byte is zero. */
export function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}
