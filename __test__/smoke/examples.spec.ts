import { createSocket, type Socket } from 'node:dgram'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { Program } from '../support/program.js'

// The programs of examples/, each fed by node:dgram. They end by themselves after so many packets: few enough for the
// receive buffer that every Linux gives without asking, so that none is lost.
const PACKETS = 100

let sender: Socket
let folder: string

beforeEach(async () => {
  folder = mkdtempSync(join(tmpdir(), 'wraith-examples-'))
  sender = createSocket('udp4')
  sender.bind(0, '127.0.0.1')
  await once(sender, 'listening')
})

afterEach(() => {
  sender.close()
  rmSync(folder, { recursive: true })
})

/** Starts an example on a free port and sends it `packets` when it listens. */
async function start(name: string, debug: string, packets: readonly string[], ...args: string[]) {
  const common = ['--port', '0', '--packets', String(packets.length)]
  const program = new Program([`examples/${name}.mjs`, ...args, ...common], { WRAITH_DEBUG: debug })
  const port = Number(await program.says(/listening on port (\d+)/))
  for (const packet of packets) sender.send(packet, port, '127.0.0.1')
  return program
}

const lines = (text: string) => text.trimEnd().split('\n')

describe.for(['', '1'])('with WRAITH_DEBUG=%s', (debug) => {
  test('statsd-server adds up counters, gauges and timers', async () => {
    const packets = Array.from({ length: PACKETS - 2 }, (_, i) => `jobs:1|c\nlatency:${i}|ms\nqueue:${i}|g`)
    const program = await start('statsd-server', debug, [...packets, 'sampled:1|c|@0.5', 'nonsense'])
    const { code, stdout, stderr } = await program.end()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(lines(stdout).slice(1)).toEqual([
      `counter jobs ${PACKETS - 2}`,
      'counter sampled 2',
      `gauge   queue ${PACKETS - 3}`,
      `timer   latency count ${PACKETS - 2} mean ${(PACKETS - 3) / 2} max ${PACKETS - 3}`,
      `${PACKETS} packets, 1 bad lines, 0 dropped by the kernel, 0 truncated`,
    ])
  })

  test('echo sends every packet back to its sender', async () => {
    const packets = Array.from({ length: PACKETS }, (_, i) => `packet ${i}`)
    const back: string[] = []
    const all = new Promise<void>((resolve) => {
      sender.on('message', (message) => {
        back.push(message.toString())
        if (back.length === PACKETS) resolve()
      })
    })
    const program = await start('echo', debug, packets)
    const { code, stdout, stderr } = await program.end()
    await all
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    expect(back).toEqual(packets)
    expect(lines(stdout).at(-1)).toBe(
      `${PACKETS} of ${PACKETS} packets sent back, 0 send errors, 0 ICMP refusals`,
    )
  })

  test('capture-to-file writes every packet as it came', async () => {
    const packets = Array.from({ length: PACKETS }, (_, i) => `packet ${'x'.repeat(i)}${i}`)
    const file = join(folder, 'packets')
    const program = await start('capture-to-file', debug, packets, file)
    const { code, stdout, stderr } = await program.end()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const written = readFileSync(file)
    const read: string[] = []
    for (let at = 0; at < written.length; ) {
      const length = written.readUInt16BE(at)
      read.push(written.toString('utf8', at + 2, at + 2 + length))
      at += 2 + length
    }
    expect(read).toEqual(packets)
    expect(lines(stdout).at(-1)).toBe(
      `${PACKETS} packets, ${written.length} bytes written, 0 dropped by the kernel, starved 0 times`,
    )
  })

  test('sharing parses every packet in one of three threads, and all buffers come home', async () => {
    const program = new Program(['examples/sharing.mjs', '--packets', '600'], { WRAITH_DEBUG: debug })
    const { code, stdout, stderr } = await program.end()
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' })
    const sum = (first: number) =>
      Array.from({ length: 200 }, (_, i) => first + 3 * i).reduce((a, b) => a + b)
    expect(lines(stdout)).toEqual([
      ...[0, 1, 2].map((parser) => `parser ${parser}: 200 packets`),
      ...['jobs', 'mails', 'users'].map((name, i) => `${name} ${sum(i)}`),
      '600 handed over, 600 adopted, 0 expired',
      '512 of 512 buffers are home',
    ])
  })
})
