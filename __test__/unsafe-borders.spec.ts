import { expect, test } from 'vitest'
import { resultOf } from './support/udp-process.js'

const nativeUrl = new URL('../dist/ts/native.js', import.meta.url).href

test("another isolate's private pool cannot be received into, even by its id", async () => {
  const answers = await resultOf<string[]>(
    `
    const { native } = await import(${JSON.stringify(nativeUrl)})
    const pool = native().createPool(2048, 64, false, false)
    const bindTo = (id) => native().bindUdp({
      pool: id, family: 4, port: 0, address: '127.0.0.1', ipv6Only: false, reuseAddr: false, reusePort: false,
      timestamps: false, batchSize: 4, dropTruncated: false, portable: false,
    }, () => 0)
    const worker = startWorker(\`
      const { native } = await import(${JSON.stringify(nativeUrl)})
      const bindTo = \${bindTo}
      try {
        bindTo('\${pool.id}')
        parentPort.postMessage('bound')
      } catch (error) {
        parentPort.postMessage(error.code)
      }
      process.exit()
    \`)
    const [answer] = await once(worker, 'message')
    bindTo(pool.id).close()
    print([answer, String(pool.audit().posted)])
    `,
  )
  expect(answers).toEqual(['WRAITH_ERR_BUSY', '0'])
})

test('a descriptor whose adoption user code made fail is still its owner’s after a collection', async () => {
  const received = await resultOf<string>(
    `
    const { readdirSync, readlinkSync } = await import('node:fs')
    const sockets = () => readdirSync('/proc/self/fd').filter((fd) => {
      try { return readlinkSync('/proc/self/fd/' + fd).startsWith('socket:') } catch { return false }
    })
    const before = sockets()
    const owner = await dgram()
    const fd = Number(sockets().find((fd) => !before.includes(fd)))
    let refusals = 0
    Object.defineProperty(Object.prototype, 'missing', {
      configurable: true,
      set() { refusals++; throw new Error('refused') },
    })
    await UdpSocket.bind({ fd }).catch(() => {})
    delete Object.prototype.missing
    for (let i = 0; i < 5; i++) { gc(); await new Promise(setImmediate) }
    const other = await dgram()
    const message = once(owner, 'message')
    await deliver(other, owner.address(), 'still mine')
    const [bytes] = await message
    owner.close()
    other.close()
    print(refusals + ' refused, ' + bytes)
    `,
  )
  expect(received).toBe('1 refused, still mine')
})
