import { expect, test } from 'vitest'
import { UdpSocket, WraithError } from 'wraith-transport'
import { sendRun } from '../../ts/cli/demo/bursts.ts'
import type { Outlet } from '../../ts/cli/demo/outlets.ts'

type Calls = Pick<Outlet, 'send' | 'sendSegments'>

function outletOf(calls: Calls): Outlet {
  const unused = (): never => {
    throw new Error('not for this test')
  }
  return { writable: unused, takeFailed: unused, close: unused, ...calls }
}

const RUN = Uint8Array.from({ length: 12 }, (_, i) => i)

test('a run is sent with one call where that can be done', () => {
  const sent: unknown[] = []
  const outlet = outletOf({
    send: () => false,
    sendSegments: (run, size, first) => sent.push([run, size, first]) > 0,
  })
  expect(sendRun(outlet, RUN, 4, 70)).toBe(3)
  expect(sent).toEqual([[RUN, 4, 70]])
})

test('nothing of a run is taken when the socket is full', () => {
  const outlet = outletOf({ send: () => true, sendSegments: () => false })
  expect(sendRun(outlet, RUN, 4, 0)).toBe(0)
})

test('where segments are unsupported a run is sent one by one, and the call is not tried again', () => {
  let tries = 0
  const sent: unknown[] = []
  const outlet = outletOf({
    send: (datagram, sequence) => sent.push([[...datagram], sequence]) > 0,
    sendSegments: () => {
      tries++
      throw new WraithError('WRAITH_ERR_UNSUPPORTED', 'the interface cannot send segments')
    },
  })
  expect(sendRun(outlet, RUN, 4, 70)).toBe(3)
  expect(sendRun(outlet, RUN.subarray(0, 4), 4, 73)).toBe(1)
  expect(tries).toBe(1)
  expect(outlet.sendSegments).toBeUndefined()
  expect(sent).toEqual([
    [[0, 1, 2, 3], 70],
    [[4, 5, 6, 7], 71],
    [[8, 9, 10, 11], 72],
    [[0, 1, 2, 3], 73],
  ])
})

test('one by one, what came before a full socket is taken', () => {
  let room = 2
  const outlet = outletOf({ send: () => room-- > 0, sendSegments: undefined })
  expect(sendRun(outlet, RUN, 4, 0)).toBe(2)
})

test('any other error of the socket is not swallowed', () => {
  const outlet = outletOf({
    send: () => true,
    sendSegments: () => {
      throw new WraithError('WRAITH_ERR_SYSTEM', 'broken')
    },
  })
  expect(() => sendRun(outlet, RUN, 4, 0)).toThrow('broken')
})

test('both ways a receiver sees the same datagrams', async () => {
  const receiver = await UdpSocket.bind({ address: '127.0.0.1', port: 0 })
  const sender = await UdpSocket.bind({ address: '127.0.0.1', port: 0 })
  try {
    await sender.connect(receiver.address().port, '127.0.0.1')
    const segments = outletOf({
      send: () => false,
      sendSegments: (run, size) => sender.sendSegments(run, size),
    })
    const single = outletOf({ send: (datagram) => sender.send(datagram), sendSegments: undefined })
    expect(sendRun(segments, RUN, 4, 0)).toBe(3)
    expect(sendRun(single, RUN, 4, 0)).toBe(3)
    const seen: number[][] = []
    for await (const batch of receiver) {
      for (let i = 0; i < batch.length; i++) seen.push([...batch.bytes(i)])
      if (seen.length >= 6) break
    }
    const three = [0, 4, 8].map((start) => [...RUN.subarray(start, start + 4)])
    expect(seen).toEqual([...three, ...three])
  } finally {
    await sender.close()
    await receiver.close()
  }
})
