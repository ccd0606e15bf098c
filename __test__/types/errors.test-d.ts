// Compiled by scripts/test.mjs with the whole project, never run.
import { WraithError, type WraithErrorCode, type WraithErrorDetails } from 'wraith-transport'

import { type Equal, expectTrue } from './equal.ts'

const details: WraithErrorDetails = { option: 'port', errno: 98, syscall: 'bind', cause: new Error('why') }
const error = new WraithError('WRAITH_ERR_ADDRESS_IN_USE', 'the port is in use. Choose another.', details)
const plain: Error = error
expectTrue<Equal<typeof error.code, WraithErrorCode>>()
expectTrue<Equal<typeof error.option, string | undefined>>()
expectTrue<Equal<typeof error.errno, number | undefined>>()
expectTrue<Equal<typeof error.syscall, string | undefined>>()
expectTrue<Equal<typeof error.cause, unknown>>()

// @ts-expect-error no such code
new WraithError('WRAITH_ERR_NO_SUCH_CODE', 'message')
// @ts-expect-error the code is what errors are told apart by
error.code = 'WRAITH_ERR_BUSY'
// @ts-expect-error a code never equals another word
if (error.code === 'EADDRINUSE') throw error

function remedy(code: WraithErrorCode): string {
  switch (code) {
    case 'WRAITH_ERR_ADDRESS_IN_USE':
      return 'choose another port'
    default:
      return `look up ${code}`
  }
}

void [plain, remedy]
