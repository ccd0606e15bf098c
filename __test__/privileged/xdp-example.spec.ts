import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { expect } from 'vitest'
import { root } from '../support/program.js'
import { NEAR, NEAR6, vethTest } from '../support/veth.js'

const PACKETS = 200

vethTest('xdp-echo sends every packet back, IPv4 and IPv6', { queues: 2 }, async (pair) => {
  const [command = '', ...args] = pair.near.through
  const program = [process.execPath, `${root}/examples/xdp-echo.mjs`, pair.interface]
  const child = spawn(command, [...args, ...program, '--port', '9000', '--packets', String(PACKETS)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  expect((await lines.next()).value).toMatch(/^listening on wraith0: 2 queues, .*, filter udp\/9000$/)
  const ended = once(child, 'exit')
  const { echoed } = await pair.far.resultOf<{ echoed: number }>(`
    let echoed = 0
    for (const [type, address] of [['udp4', '${NEAR}'], ['udp6', '${NEAR6}']]) {
      const socket = createSocket(type)
      for (let i = 0; i < ${PACKETS / 2}; i++) {
        socket.send('packet ' + i, 9000, address)
        const [message, from] = await once(socket, 'message')
        if (message.toString() === 'packet ' + i && from.port === 9000 && from.address === address) echoed++
      }
      socket.close()
    }
    print({ echoed })`)
  expect(echoed).toBe(PACKETS)
  expect(await ended).toEqual([0, null])
  expect((await lines.next()).value).toBe(`${PACKETS} received, ${PACKETS} sent back`)
  expect((await lines.next()).done).toBe(true)
})
