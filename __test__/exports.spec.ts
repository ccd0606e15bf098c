import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { expect, test } from 'vitest'
import * as api from 'wraith-transport'

const VALUES = [
  'BufferChannel',
  'BufferPool',
  'EtherType',
  'FrameColumns',
  'FrameError',
  'FrameFlag',
  'FrameStatus',
  'FrameType',
  'IpProtocol',
  'PacketColumns',
  'PacketFlag',
  'PacketStatus',
  'UdpSocket',
  'WraithError',
  'XdpSocket',
  'bufferSizes',
  'buildFrame',
  'frameStatusNames',
  'packetStatusNames',
  'parseFrame',
  'parseFrames',
  'parsePackets',
  'recommendPoolSize',
  'simdBackend',
  'simdBackends',
]
const TYPES = [
  'AbortSignalLike',
  'AcquireOptions',
  'AttachOptions',
  'Batch',
  'BatchHandler',
  'BufferLike',
  'BufferPoolAudit',
  'BufferPoolInfo',
  'BufferPoolMetrics',
  'BufferPoolOptions',
  'BufferTicket',
  'Bytes',
  'ChannelBatch',
  'ChannelHandler',
  'ChannelMetrics',
  'ChannelOptions',
  'ChannelToken',
  'ExerciseOptions',
  'ExerciseResult',
  'Frame',
  'FrameFields',
  'FrameProblem',
  'FrameStatusName',
  'Granted',
  'HolderInfo',
  'IsolateMetrics',
  'LeakDetection',
  'LeakReport',
  'PacketProblem',
  'PacketStatusName',
  'ParseOptions',
  'Peer',
  'PoolSizeQuery',
  'PoolToken',
  'PooledBuffer',
  'PooledBuffers',
  'SharedPoolMetrics',
  'SimdBackend',
  'SimdBackendName',
  'SocketBufferInfo',
  'ThresholdEvent',
  'UdpAttachOptions',
  'UdpInfo',
  'UdpMetrics',
  'UdpSocketOptions',
  'UdpSocketToken',
  'WraithErrorCode',
  'WraithErrorDetails',
  'XdpAddresses',
  'XdpAttachOptions',
  'XdpBusyPoll',
  'XdpCapability',
  'XdpCounters',
  'XdpDrops',
  'XdpFilter',
  'XdpFilterRules',
  'XdpFinding',
  'XdpInfo',
  'XdpMatch',
  'XdpMetrics',
  'XdpPorts',
  'XdpProbe',
  'XdpQueueMetrics',
  'XdpQueuesOptions',
  'XdpSendOptions',
  'XdpSocketOptions',
  'XdpSocketToken',
  'XdpVerdict',
]

const declarations = readFileSync(new URL('../dist/index.d.ts', import.meta.url), 'utf8')

test('the values are these, and there is no default export', () => {
  expect(Object.keys(api).sort()).toEqual(VALUES)
})

test('the names of values and types are these: a name more or less is a change of the public API', () => {
  const names = [...declarations.matchAll(/export (?:type )?\{([^}]*)\}/g)].flatMap((match) =>
    (match[1] ?? '')
      .split(',')
      .map((name) => name.trim().replace(/^type /, ''))
      .filter((name) => name !== ''),
  )
  expect(names.sort()).toEqual([...VALUES, ...TYPES].sort())
})

test('require gives the very same module as import', () => {
  const required = createRequire(import.meta.url)('wraith-transport') as object
  expect(Object.keys(required).filter((name) => name !== 'module.exports' && name !== '__esModule')).toEqual(
    Object.keys(api),
  )
})

/** Public members of a class: what a user can call, and nothing that is for this package's own modules. */
function members(of: { prototype: object }): string[] {
  const keys = new Set<string | symbol>()
  for (let it = of.prototype; it !== Object.prototype; it = Object.getPrototypeOf(it) as object) {
    for (const key of Reflect.ownKeys(it)) keys.add(key)
  }
  return [...keys].map(nameOf).sort()
}

/** Node.js before 24 names the symbols of `using` in its own way. */
function nameOf(key: string | symbol): string {
  if (typeof key === 'string') return key
  if (key === Symbol.dispose) return '[Symbol.dispose]'
  return key === Symbol.asyncDispose ? '[Symbol.asyncDispose]' : `[${key.description}]`
}

test('BufferPool has these members', () => {
  expect(members(api.BufferPool)).toMatchInlineSnapshot(`
    [
      "[Symbol.dispose]",
      "acquire",
      "acquireAsync",
      "acquireMany",
      "adopt",
      "adoptMany",
      "audit",
      "available",
      "bufferSize",
      "cachedElsewhere",
      "capacity",
      "close",
      "closed",
      "constructor",
      "dump",
      "exercise",
      "info",
      "metrics",
      "off",
      "on",
      "once",
      "release",
      "share",
      "tryAcquire",
    ]
  `)
})

test('a guard has these members', () => {
  const pool = new api.BufferPool({ capacity: 1 })
  const guard = pool.acquire()
  expect(members(guard.constructor as never)).toMatchInlineSnapshot(`
    [
      "[Symbol.dispose]",
      "bytes",
      "constructor",
      "data",
      "dispose",
      "disposeAfter",
      "disposed",
      "length",
      "pooled",
      "touch",
      "transfer",
    ]
  `)
  guard.dispose()
  pool.close()
})

test('UdpSocket has these members', () => {
  expect(members(api.UdpSocket)).toMatchInlineSnapshot(`
    [
      "[Symbol.asyncDispose]",
      "[Symbol.asyncIterator]",
      "[Symbol.dispose]",
      "addMembership",
      "addSourceSpecificMembership",
      "address",
      "close",
      "closed",
      "connect",
      "constructor",
      "consume",
      "disconnect",
      "dropMembership",
      "dropSourceSpecificMembership",
      "getRecvBufferSize",
      "getSendBufferSize",
      "hasRef",
      "info",
      "metrics",
      "off",
      "on",
      "once",
      "pause",
      "paused",
      "pool",
      "ref",
      "remoteAddress",
      "resume",
      "send",
      "sendOwned",
      "sendSegments",
      "setBroadcast",
      "setMulticastInterface",
      "setMulticastLoopback",
      "setMulticastTTL",
      "setTTL",
      "share",
      "stop",
      "tryReceive",
      "unref",
    ]
  `)
})

test('XdpSocket has these members', () => {
  const statics = Object.getOwnPropertyNames(api.XdpSocket).filter(
    (name) => !['length', 'name', 'prototype'].includes(name),
  )
  expect(statics.sort()).toEqual(['attach', 'open', 'openQueues', 'probe', 'testFilter'])
  expect(members(api.XdpSocket)).toMatchInlineSnapshot(`
    [
      "[Symbol.asyncDispose]",
      "[Symbol.asyncIterator]",
      "[Symbol.dispose]",
      "busyLoop",
      "close",
      "closed",
      "constructor",
      "consume",
      "hasRef",
      "info",
      "metrics",
      "off",
      "on",
      "once",
      "pause",
      "paused",
      "pool",
      "ref",
      "resume",
      "send",
      "setFilter",
      "share",
      "stop",
      "tryReceive",
      "unref",
    ]
  `)
})

test('an import loads no addon, so that it never fails for a missing binary', () => {
  const program = `
    await import(${JSON.stringify(new URL('../dist/index.js', import.meta.url).href)})
    const { report } = process
    report.excludeNetwork = true
    console.log(report.getReport().sharedObjects.filter((file) => file.endsWith('.node')).length)`
  const out = execFileSync(process.execPath, ['--input-type=module', '--eval', program], { encoding: 'utf8' })
  expect(out.trim()).toBe('0')
})
