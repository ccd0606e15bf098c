import { describe, expect, test } from 'vitest'

import { childResult, runChild } from './support/child.ts'
import { debugMode, isZero, makePool } from './support/pools.ts'

const major = Number(process.versions.node.split('.')[0])

interface AfterDetach {
  readonly refused?: string
  readonly detached: boolean
  readonly whole: number
  readonly texts: readonly string[]
  readonly codes: readonly string[]
  readonly ok: boolean
  readonly free: number
}

interface Memory {
  readonly madeMiB: number
  /** Resident with a pool just made, and after each collection, over what it was at first. */
  readonly highestMiB: number
  readonly mostMiB: number
  readonly kept: boolean
}

describe('memory that user code takes away', () => {
  // The last line of each child comes from a pool that went on; its exit code 0 from an end without an abort.
  const goesOn = { whole: 3 * 64, texts: ['sent', 'owned'], ok: true, free: 64 }

  test.each(['structuredClone', 'postMessage'])(
    'by %s is refused or copied, and never moved',
    async (way) => {
      const seen = await childResult<AfterDetach>('detach.mjs', { args: [way] })
      expect(seen).toMatchObject({ ...goesOn, codes: [] })
      // In debug mode a view lies on memory of its own, which is the user's to move.
      expect(seen.detached).toBe(debugMode)
      // Node.js 20 copies what is marked as untransferable, later releases refuse to move it.
      expect(seen.refused).toBe(debugMode || major < 22 ? undefined : 'DataCloneError')
    },
  )

  test('by ArrayBuffer#transfer is refused, or mapped anew and warned of once', async () => {
    const seen = await childResult<AfterDetach>('detach.mjs', { args: ['transfer'] })
    expect(seen).toMatchObject(goesOn)
    // Node.js 20 has no such method; only on 22 does it move memory that is marked.
    const moves = debugMode ? major >= 22 : major === 22
    expect(seen.refused).toBe(moves ? undefined : 'TypeError')
    expect(seen.detached).toBe(moves)
    expect(seen.codes).toEqual(moves && !debugMode ? ['WRAITH_WARN_DETACHED'] : [])
  })

  test('by structuredClone(view) is a copy that later writes do not reach', () => {
    const pool = makePool({ bufferSize: 64, capacity: 4 })
    const guard = pool.acquire()
    guard.bytes.fill(5)
    const copy = structuredClone(guard.bytes)
    guard.bytes.fill(6)
    expect(copy.byteLength).toBe(64)
    expect(copy.buffer).not.toBe(guard.bytes.buffer)
    expect(copy.every((byte) => byte === 5)).toBe(true)
    guard.dispose()
    expect(copy.every((byte) => byte === 5)).toBe(true)
  })
})

describe('memory that is resized, shared or grown', () => {
  test('is none of the pool: its buffers are ordinary, of fixed length', () => {
    const guard = makePool({ capacity: 1 }).acquire()
    const memory = guard.bytes.buffer as ArrayBuffer & { resizable?: boolean }
    expect(memory).toBeInstanceOf(ArrayBuffer)
    expect(memory.resizable ?? false).toBe(false)
    guard.dispose()
  })
})

describe('a view that is kept too long', () => {
  test('never shows what an earlier holder left, and writes through it are zeroed with the next release', () => {
    const pool = makePool({ bufferSize: 32, capacity: 1, onExhausted: 'throw' })
    const first = pool.acquire()
    const late = first.bytes
    first.dispose()
    if (debugMode) {
      expect(late.byteLength).toBe(0)
      return
    }
    late.fill(9)
    const second = pool.acquire()
    second.dispose()
    const third = pool.acquire()
    expect(isZero(third.bytes)).toBe(true)
    third.dispose()
  })
})

describe('built-ins that user code has patched', () => {
  test('a mailbox that names slots which do not exist is an error, and the pool of everybody else goes on', async () => {
    const seen = await childResult<{ code: string; wraith: boolean; others: number }>('scribbled-mailbox.mjs')
    expect(seen).toMatchObject({ code: 'WRAITH_ERR_INTERNAL', wraith: true, others: 8 })
  })
})

describe('a pool that is forgotten', () => {
  test('gives its memory back, closed or not, but not while a view of it is kept', async () => {
    const seen = await childResult<Memory>('memory-returns.mjs', { execArgv: ['--expose-gc'] })
    expect(seen).toMatchObject({ madeMiB: 1536, kept: true })
    // One pool is there at a time, all of it: memory is populated when a pool is made.
    expect(seen.highestMiB).toBeGreaterThan(30)
    expect(seen.highestMiB).toBeLessThan(seen.madeMiB / 4)
    expect(seen.mostMiB).toBeLessThan(seen.madeMiB / 4)
  })
})

describe('a process that ends with guards out', () => {
  test.each([
    ['when nothing is left to do', 'end', 0],
    ['by process.exit', 'exit', 0],
    ['by process.reallyExit', 'reallyExit', 0],
    ['by an uncaught exception', 'throw', 1],
  ])('%s ends with its own code', async (_when, how, code) => {
    const ended = await runChild('exit-with-guards.mjs', { args: [how] })
    expect(ended.stdout).toBe('ready\n')
    expect({ code: ended.code, signal: ended.signal }).toEqual({ code, signal: null })
    if (code === 0) expect(ended.stderr).toBe('')
    else expect(ended.stderr).toContain('thrown on purpose')
  })
})

describe('workers', () => {
  test('that alone loaded the addon make pools and end in any way, and the process lives', async () => {
    const seen = await childResult('worker-alone.mjs')
    // The addon stays mapped after the last worker that used it: its clean-up may still run.
    expect(seen).toEqual({ ended: 25, whole: 25, ok: 25, loaded: 1 })
  })
})
