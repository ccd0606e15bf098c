import { expect, test } from 'vitest'
import { dropsOf, dropsSince, totalOf } from '../../ts/cli/demo/drops.ts'
import { linkDropsIn } from '../../ts/cli/demo/kernel-drops.ts'

const NONE = { receiveBuffer: 0, rxRingFull: 0, fillRingEmpty: 0, link: 0 }

test('drops are those since the first reading, reason by reason', () => {
  const since = dropsSince({ fillRingEmpty: 7, rxRingFull: 3 }, { fillRingEmpty: 5, rxRingFull: 3 })
  expect(since).toEqual({ fillRingEmpty: 2, rxRingFull: 0 })
  expect(totalOf(since)).toBe(2)
})

test('end marks are no packets: they are taken from the most frequent reason of the socket', () => {
  expect(dropsOf({ receiveBuffer: 9 }, 2, 4)).toEqual({ ...NONE, receiveBuffer: 7, link: 4 })
  expect(dropsOf({ fillRingEmpty: 1, rxRingFull: 6 }, 2, 0)).toEqual({
    ...NONE,
    fillRingEmpty: 1,
    rxRingFull: 4,
  })
  expect(totalOf(dropsOf({ fillRingEmpty: 1, rxRingFull: 6 }, 2, 5))).toBe(10)
})

test('a mark that nobody dropped shows in the sum', () => {
  expect(totalOf(dropsOf({ receiveBuffer: 0 }, 1, 0))).toBe(-1)
})

test('where no drops are known there are those of the interface', () => {
  expect(dropsOf({}, 0, 3)).toEqual({ ...NONE, link: 3 })
})

const TABLE = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
    lo:     120       2    0    9    0     0          0         0      120       2    0    8    0     0       0          0
wraith1:  544925    3169    1 3584    2     0          0         0   710045    4129    0 793248    0     0       0          0
wraith10:     0       0    0    1    0     0          0         0        0       0    0    2    0     0       0          0
`

test("an interface's drops are read from /proc/net/dev by its whole name", () => {
  expect(linkDropsIn(TABLE, 'wraith1')).toEqual({ received: 3584, sent: 793248 })
  expect(linkDropsIn(TABLE, 'lo')).toEqual({ received: 9, sent: 8 })
  expect(linkDropsIn(TABLE, 'wraith')).toBeUndefined()
  expect(linkDropsIn('', 'lo')).toBeUndefined()
})
