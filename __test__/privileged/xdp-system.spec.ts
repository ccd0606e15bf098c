import { expect } from 'vitest'
import type { VethPair } from '../support/veth.js'
import { vethTest } from '../support/veth.js'
import { FarEnd, startNear } from '../support/xdp-ends.js'

const CLEAN = { code: 0, signal: null, stderr: '' }
/** More looks than the kernel needs to take a program off: some 20 ms after the process has gone. */
const LOOKS = 2000

const programOn = ({ near }: VethPair): boolean => near.run('ip -d link show wraith0').includes('xdp')

function untilNoProgram(pair: VethPair): void {
  for (let look = 0; look < LOOKS; look++) if (!programOn(pair)) return
  throw new Error('a program is left on wraith0')
}

/** A new process opens, receives and closes. */
async function expectReopens(pair: VethPair, far: FarEnd): Promise<void> {
  const near = startNear(
    pair,
    `
    const xdp = await open()
    const tally = new Tally()
    xdp.consume((batch) => tally.batch(batch))
    print('open')
    await until(() => tally.came === 3)
    await ended(xdp)
    `,
  )
  expect(await near.next()).toBe('open')
  await far.send({ count: 3 })
  expect(await near.end()).toEqual(CLEAN)
}

vethTest('kill -9 leaves no program and no bound queue, and a restart works', {}, async (pair) => {
  const far = new FarEnd(pair.far)
  const states = {
    'in a handler': "xdp.consume(() => { print('now'); for (;;); })",
    'with guards and frames that are being sent': `
      const guards = xdp.pool.acquireMany(20)
      xdp.send(guardOf(xdp.pool, frameOf(datagram(0, 64))))
      print('now')
      await next()
    `,
    'while workers share it': `
      const worker = startWorker("const xdp = XdpSocket.attach(workerData); xdp.consume(() => { for (;;); }); parentPort.postMessage('now')", xdp.share())
      await once(worker, 'message')
      print('now')
      await next()
    `,
  }
  for (const [state, body] of Object.entries(states)) {
    const near = startNear(pair, `const xdp = await open()\nprint('open')\n${body}`)
    expect(await near.next()).toBe('open')
    await far.send({ count: 1 })
    expect(await near.next(), state).toBe('now')
    expect(programOn(pair)).toBe(true)
    near.child.kill('SIGKILL')
    expect((await near.end()).signal).toBe('SIGKILL')
    untilNoProgram(pair)
    await expectReopens(pair, far)
  }
})

vethTest(
  'process.exit() and an uncaught throw in a handler end the process with their code',
  {},
  async (pair) => {
    const far = new FarEnd(pair.far)
    const states: [string, number][] = [
      ['process.exit(7)', 7],
      ['batch.take(0); xdp.send(batch); process.exit(7)', 7],
      ["throw new Error('mine')", 1],
      ["queueMicrotask(() => { throw new Error('mine') })", 1],
      ['xdp.close(); process.exit(7)', 7],
    ]
    for (const [body, code] of states) {
      const near = startNear(
        pair,
        `const xdp = await open()\nxdp.consume((batch) => { ${body} })\nprint('open')`,
      )
      expect(await near.next()).toBe('open')
      await far.send({ count: 2 })
      const ended = await near.end()
      expect({ body, code: ended.code, signal: ended.signal }).toEqual({ body, code, signal: null })
      untilNoProgram(pair)
    }
    await expectReopens(pair, far)
  },
)

vethTest('a child process that a handler starts does not hold the queue', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    import { spawn } from 'node:child_process'
    const rounds = []
    let child
    for (let round = 0; round < 3; round++) {
      const xdp = await open()
      print('open')
      await new Promise((resolve) => xdp.consume((batch) => {
        child = spawn('sleep', ['1000'], { stdio: 'ignore' })
        resolve()
      }))
      // The child lives on, with whatever it has inherited.
      await ended(xdp)
      const began = performance.now()
      const again = await open()
      rounds.push([child.exitCode, performance.now() - began < 10_000])
      await ended(again)
      child.kill('SIGKILL')
      await once(child, 'exit')
    }
    print(rounds)
    `,
  )
  const far = new FarEnd(pair.far)
  for (let round = 0; round < 3; round++) {
    expect(await near.next()).toBe('open')
    await far.send({ count: 1 })
  }
  expect(await near.next()).toEqual(new Array(3).fill([null, true]))
  expect(await near.end()).toEqual(CLEAN)
})

vethTest(
  'an interface that is set down or removed is told of, closes, and can be opened when it is back',
  {},
  async (pair) => {
    const near = startNear(
      pair,
      `
    const errors = []
    const tally = new Tally()
    const begin = async () => {
      const xdp = await open()
      xdp.on('error', ({ code, errno, message }) => errors.push({ code, errno, message }))
      xdp.consume((batch) => tally.batch(batch))
      return xdp
    }
    let xdp = await begin()
    print('open')
    await next()
    await until(() => errors.length > 0)
    print(errors.splice(0))
    const guard = guardOf(xdp.pool, frameOf(datagram(0, 64)))
    const sent = thrownBy(() => xdp.send(guard))
    guard.dispose()
    print(sent)
    await next()
    await ended(xdp)
    xdp = await begin()
    print('back')
    await until(() => tally.came === 5)
    print('came')
    await next()
    await until(() => errors.length > 0)
    print(errors.splice(0))
    await ended(xdp)
    print((await rejectionOf(() => open())).code)
    `,
    )
    const far = new FarEnd(pair.far)
    expect(await near.next()).toBe('open')
    pair.near.run('ip link set wraith0 down')
    near.tell('down')
    const [down] = await near.next<{ code: string; errno: number; message: string }[]>()
    expect(down).toMatchObject({
      code: 'WRAITH_ERR_SYSTEM',
      errno: 100,
      message: expect.stringContaining('again once'),
    })
    expect(await near.next()).toMatchObject({ code: 'WRAITH_ERR_SYSTEM' })
    pair.near.run('ip link set wraith0 up')
    near.tell('up')
    expect(await near.next()).toBe('back')
    let first = 0
    await far.send({ count: 5, first })
    first += 5
    expect(await near.next()).toBe('came')
    pair.near.run('ip link del wraith0')
    near.tell('removed')
    const [gone] = await near.next<{ code: string; errno: number }[]>()
    expect(gone).toMatchObject({ code: 'WRAITH_ERR_SYSTEM', errno: 100 })
    expect(await near.next()).toBe('WRAITH_ERR_ADDRESS_NOT_AVAILABLE')
    expect(await near.end()).toEqual(CLEAN)
  },
)

vethTest('an error that nobody listens to is thrown', {}, async (pair) => {
  const near = startNear(
    pair,
    `
    const xdp = await open()
    process.on('uncaughtException', async ({ code, errno }) => {
      print({ code, errno })
      await ended(xdp)
    })
    xdp.consume(() => {})
    print('open')
    `,
  )
  expect(await near.next()).toBe('open')
  pair.near.run('ip link del wraith0')
  expect(await near.next()).toEqual({ code: 'WRAITH_ERR_SYSTEM', errno: 100 })
  expect(await near.end()).toEqual(CLEAN)
})
