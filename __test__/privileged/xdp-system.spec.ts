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

/** A link that was set up again has its carrier a moment later, and has forgotten its neighbour. */
async function untilCarrier({ near, far }: VethPair): Promise<void> {
  for (const [namespace, name] of [
    [near, 'wraith0'],
    [far, 'wraith1'],
  ] as const) {
    for (let look = 0; look < LOOKS && !/ UP /.test(namespace.run(`ip -br link show ${name}`)); look++);
  }
  far.run('ip neigh replace 192.0.2.1 lladdr 02:00:00:00:00:0a dev wraith1 nud permanent')
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
  'an interface that is down for a while is told of once, and the socket goes on when it is back',
  {},
  async (pair) => {
    const near = startNear(
      pair,
      `
    const errors = []
    const tally = new Tally()
    const xdp = await open()
    const { pool } = xdp
    xdp.on('error', ({ code, errno, message }) => errors.push({ code, errno, message }))
    xdp.consume((batch) => tally.batch(batch))
    print('up')
    await until(() => tally.came === 5)
    print('came')
    await next()
    await until(() => errors.length > 0)
    // Two looks more, which say nothing.
    await new Promise((resolve) => setTimeout(resolve, 1100))
    print(errors.splice(0))
    await next()
    print('up again')
    await until(() => tally.came === 10)
    print(errors)
    await ended(xdp)
    `,
    )
    const far = new FarEnd(pair.far)
    expect(await near.next()).toBe('up')
    await far.send({ count: 5 })
    expect(await near.next()).toBe('came')
    pair.near.run('ip link set wraith0 down')
    near.tell('down')
    expect(await near.next()).toEqual([
      {
        code: 'WRAITH_ERR_SYSTEM',
        errno: 100,
        message: expect.stringContaining('`ip link set dev wraith0 up`'),
      },
    ])
    pair.near.run('ip link set wraith0 up')
    await untilCarrier(pair)
    near.tell('up')
    expect(await near.next()).toBe('up again')
    await far.send({ count: 5, first: 5 })
    expect(await near.next()).toEqual([])
    expect(await near.end()).toEqual(CLEAN)
  },
)

vethTest(
  'sending says that the interface is down; what was accepted goes when it is back',
  {},
  async (pair) => {
    const near = startNear(
      pair,
      `
    const xdp = await open({ filter: 'none' })
    const errors = []
    xdp.on('error', ({ code, errno }) => errors.push({ code, errno }))
    await next()
    const guards = [0, 1].map((seq) => guardOf(xdp.pool, frameOf(datagram(seq, 64))))
    // The first is in the ring before the kernel can be told of it: the event tells what became of that.
    const outcomes = guards.map((guard) => {
      try {
        return xdp.send(guard)
      } catch ({ code, errno, message }) {
        return { code, errno, message }
      }
    })
    await until(() => errors.length > 0)
    print({ outcomes, kept: guards.map((guard) => guard.disposed), told: errors[0], op: audited(xdp.pool).op })
    await next()
    const sent = xdp.send(guards[1])
    await until(() => xdp.metrics().txCompletions === 2)
    await ended(xdp)
    print(sent)
    `,
    )
    const far = new FarEnd(pair.far)
    await far.listen()
    pair.near.run('ip link set wraith0 down')
    near.tell('down')
    const enetdown = { code: 'WRAITH_ERR_SYSTEM', errno: 100 }
    expect(await near.next()).toEqual({
      outcomes: [1, { ...enetdown, message: expect.stringContaining('ip link set') }],
      ...{ kept: [true, false], told: enetdown, op: 1 },
    })
    pair.near.run('ip link set wraith0 up')
    await untilCarrier(pair)
    near.tell('up')
    expect(await near.next()).toBe(1)
    expect(await far.heard(2)).toMatchObject({ heard: 2, different: 2, damaged: 0 })
    expect(await near.end()).toEqual(CLEAN)
  },
)

vethTest(
  'an interface that is removed is told of; the socket closes, and another one can be opened',
  {},
  async (pair) => {
    const near = startNear(
      pair,
      `
    const xdp = await open()
    const gone = new Promise((resolve) => xdp.on('error', ({ code, errno, message }) => resolve({ code, errno, message })))
    xdp.consume(() => {})
    const guard = guardOf(xdp.pool, Buffer.from('kept'))
    print('open')
    print(await gone)
    await ended(xdp, { lent: 1 })
    print({ kept: guard.data.toString(), again: await rejectionOf(() => open()) })
    guard.dispose()
    await next()
    const later = await open()
    print(later.info().ifindex > xdp.info().ifindex)
    await ended(later)
    `,
    )
    expect(await near.next()).toBe('open')
    pair.near.run('ip link del wraith0')
    expect(await near.next()).toEqual({
      ...{
        code: 'WRAITH_ERR_SYSTEM',
        errno: 100,
        message: expect.stringMatching(/Close the socket, and open it again/),
      },
    })
    expect(await near.next()).toMatchObject({
      kept: 'kept',
      again: { code: 'WRAITH_ERR_ADDRESS_NOT_AVAILABLE' },
    })
    pair.near.run('ip link add wraith0 type veth peer name other')
    pair.near.run('ip link set wraith0 up')
    near.tell('back')
    expect(await near.next()).toBe(true)
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
