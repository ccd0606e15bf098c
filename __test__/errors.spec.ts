import { readFileSync } from 'node:fs'
import { describe, expect, test } from 'vitest'
import { WraithError, type WraithErrorCode } from 'wraith-transport'

import { codes } from '../ts/codes.ts'
import { childPath, childResult } from './support/child.ts'
import { expectOneThingToDo } from './support/errors.ts'
import { provoke, type Seen } from './support/provoke.ts'

const names = Object.keys(codes) as WraithErrorCode[]
const page = readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8')

/** What else an error of this code says, where it says more. */
const details: { readonly [Code in WraithErrorCode]?: Partial<Seen> } = {
  WRAITH_ERR_INVALID_ARG_TYPE: { option: 'capacity' },
  WRAITH_ERR_OUT_OF_RANGE: { option: 'packetsPerSecond' },
  WRAITH_ERR_UNKNOWN_OPTION: { option: 'prot' },
  WRAITH_ERR_INVALID_ADDRESS: { option: 'address' },
  WRAITH_ERR_SHARED_MEMORY: { option: 'bytes' },
  WRAITH_ERR_NO_MEMORY: { option: 'capacity' },
  WRAITH_ERR_FOREIGN_BUFFER: { option: 'guard' },
  WRAITH_ERR_ADDRESS_IN_USE: { errno: 98, syscall: 'bind' },
  WRAITH_ERR_ADDRESS_NOT_AVAILABLE: { option: 'address', errno: 99, syscall: 'bind' },
  WRAITH_ERR_PERMISSION: { errno: 13 },
  WRAITH_ERR_MESSAGE_TOO_LARGE: { errno: 90 },
  WRAITH_ERR_ABORTED: { option: 'signal', cause: 'why' },
  WRAITH_ERR_SYSTEM: { errno: 5 },
  WRAITH_ERR_UNSUPPORTED: { errno: 38, syscall: 'recvmmsg' },
}

describe.each(names)('%s', (code) => {
  test('is thrown for real, says what is known, and ends with one thing to do', async () => {
    const error = await provoke[code]()
    expect(error.code).toBe(code)
    expect(error).toMatchObject(details[code] ?? {})
    expectOneThingToDo(error.message)
    // What a child saw was a WraithError there.
    if (!(error instanceof WraithError) && 'wraith' in error) expect(error['wraith']).toBe(true)
  })

  test('is documented with its summary and its remedy', () => {
    const { summary, remedy } = codes[code]
    expect(page).toContain(`## ${code}\n\n${summary}\n\nWhat to do: ${remedy}\n`)
  })
})

test('the page documents no other code', () => {
  expect([...page.matchAll(/^## (.*)$/gm)].map((match) => match[1])).toEqual(names)
})

test('no code is provoked that does not exist', () => {
  expect(Object.keys(provoke).sort()).toEqual([...names].sort())
})

test('errors are Errors: a name, a stack, a cause, and no properties that they have nothing for', () => {
  const cause = new Error('below')
  const error = new WraithError('WRAITH_ERR_SYSTEM', 'it failed. Look it up.', {
    errno: 5,
    syscall: 'sendmsg',
    cause,
  })
  expect(error).toBeInstanceOf(Error)
  expect(String(error)).toBe('WraithError: it failed. Look it up.')
  expect(error.stack).toContain('errors.spec.ts')
  expect(error).toMatchObject({ errno: 5, syscall: 'sendmsg', cause })
  expect(Object.keys(error).sort()).toEqual(['code', 'errno', 'syscall'])
  const bare = new WraithError('WRAITH_ERR_BUSY', 'busy. Stop it.')
  expect(Object.keys(bare)).toEqual(['code'])
  expect('cause' in bare).toBe(false)
})

test('a missing binary names the package to install, keeps the cause, and breaks nothing that needs none', async () => {
  const error = await provoke.WRAITH_ERR_NATIVE_MISSING()
  expect(error.message).toContain(`@wraith-transport/binding-${process.platform}-${process.arch}`)
  expect(error).toMatchObject({ caused: true, size: 64, wraith: true })
})

test.each(['bun', 'deno'])('in %s the addon is not even loaded', async (runtime) => {
  const entry = childPath('../../dist/index.js')
  const seen = await childResult<Seen>('import-error.mjs', { args: [entry, runtime] })
  expect(seen).toMatchObject({ code: 'WRAITH_ERR_RUNTIME_UNSUPPORTED', size: 64, wraith: true })
  expect(seen.message.toLowerCase()).toContain(runtime)
})

test("every slot is home after a socket's system calls failed", async () => {
  for (const code of ['WRAITH_ERR_QUEUE_FULL', 'WRAITH_ERR_SYSTEM', 'WRAITH_ERR_UNSUPPORTED'] as const) {
    expect(await provoke[code](), code).toMatchObject({ home: true })
  }
})
