// Captures what this machine's network stack sends, and what tshark reads in it: what packets are parsed against.
//
//   node scripts/capture-packets.mjs            writes crates/wraith-core/tests/packets/capture/{packets.pcap,fields.tsv}
//   node scripts/capture-packets.mjs --check    captures afresh into a temporary folder and runs the Rust test against that, and against the committed files
//
// Linux, as root: two network namespaces of its own with a veth pair between them, gone at the end. Needs ip, ping, dig, tcpdump and
// tshark; installs what is missing on Debian.

import { spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { at } from './lib/paths.mjs'

const COMMITTED = at('crates', 'wraith-core', 'tests', 'packets', 'capture')
const TOOLS = {
  ip: 'iproute2',
  ping: 'iputils-ping',
  dig: 'bind9-dnsutils',
  tcpdump: 'tcpdump',
  tshark: 'tshark',
}
const FIELDS = [
  'frame.len',
  'eth.type',
  'ieee8021ad.id',
  'ieee8021ad.priority',
  'ieee8021ad.dei',
  'vlan.id',
  'vlan.priority',
  'vlan.dei',
  'vlan.etype',
  'arp.opcode',
  'ip.src',
  'ip.dst',
  'ip.proto',
  'ip.hdr_len',
  'ip.len',
  'ip.flags.mf',
  'ip.frag_offset',
  'ipv6.src',
  'ipv6.dst',
  'ipv6.plen',
  'ipv6.nxt',
  'ipv6.hopopts.nxt',
  'ipv6.fraghdr.nxt',
  'ipv6.fraghdr.offset',
  'ipv6.fraghdr.more',
  'udp.srcport',
  'udp.dstport',
  'udp.length',
  'tcp.srcport',
  'tcp.dstport',
  'tcp.hdr_len',
  'tcp.len',
  'icmp.type',
  'icmpv6.type',
]
// What the capture is for: each must be in it.
const WANTED = {
  ARP: 'arp',
  'ICMP echo': 'icmp.type == 8 && !vlan',
  'IPv4 options': 'ip.hdr_len > 20',
  'IPv4 first fragment': 'ip.flags.mf == 1 && ip.frag_offset == 0',
  'IPv4 later fragment': 'ip.frag_offset > 0',
  'ICMPv6 echo': 'icmpv6.type == 128',
  'IPv6 first fragment': 'ipv6.fraghdr.offset == 0',
  'IPv6 later fragment': 'ipv6.fraghdr.offset > 0',
  'IPv6 hop-by-hop options': 'ipv6.hopopts',
  'DNS over IPv4': 'dns && ip',
  'DNS over IPv6': 'dns && ipv6',
  'TCP over IPv4': 'tcp && ip && !vlan',
  'TCP over IPv6': 'tcp && ipv6 && !vlan',
  'TCP under a VLAN tag': 'tcp && vlan && !ieee8021ad',
  'two VLAN tags': 'ieee8021ad && vlan',
  'ICMP port unreachable': 'icmp.type == 3',
  IGMP: 'igmp',
}

// Runs in the far namespace: answers DNS queries on port 53 and echoes TCP on port 7, until its standard input ends.
const SERVER = `
const dgram = require('node:dgram'), net = require('node:net'), { once } = require('node:events')
const answer = async (type, address) => {
  const socket = dgram.createSocket({ type, ipv6Only: type === 'udp6' })
  socket.on('message', (query, from) => { query[2] |= 0x80; socket.send(query, from.port, from.address) })
  socket.bind(53, address)
  await once(socket, 'listening')
  return socket
}
;(async () => {
  const socket = await answer('udp4', '0.0.0.0')
  socket.addMembership('239.1.2.3', '10.77.0.2')
  await answer('udp6', '::')
  await once(net.createServer((socket) => socket.pipe(socket)).listen(7, '::'), 'listening')
  process.stdin.on('end', () => process.exit()).resume()
  console.log('ready')
})()
`

// Runs in the near namespace: TCP to each address, and UDP that must be fragmented to a port where nobody listens.
const CLIENT = `
const dgram = require('node:dgram'), net = require('node:net')
const echo = (host) => new Promise((resolve, reject) => {
  const socket = net.connect(7, host, () => socket.end(Buffer.alloc(2000, 'w')))
  socket.on('error', reject).on('close', resolve).resume()
})
const datagram = (type, host) => new Promise((resolve, reject) => {
  const socket = dgram.createSocket(type)
  socket.send(Buffer.alloc(3001, 'f'), 9, host, (error) => { socket.close(); error ? reject(error) : resolve() })
})
;(async () => {
  for (const host of ['10.77.0.2', 'fd77::2', '10.78.0.2', 'fd78::2', '10.79.0.2']) await echo(host)
  await datagram('udp4', '10.77.0.2')
  await datagram('udp6', 'fd77::2')
})()
`

function must(command, args, options = {}) {
  const result = spawnSync(command, args, { encoding: 'utf8', timeout: 120_000, ...options })
  if (result.status !== 0) {
    throw new Error(
      `${command} ${args.join(' ').slice(0, 200)} failed: ${result.error?.message ?? ''}${result.stderr}${result.stdout}`,
    )
  }
  return result.stdout
}

function ensureTools() {
  const missing = Object.keys(TOOLS).filter((tool) => spawnSync('which', [tool]).status !== 0)
  if (missing.length === 0) return
  const packages = missing.map((tool) => TOOLS[tool])
  console.log(`installing ${packages.join(' ')} with apt-get`)
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' }
  must('apt-get', ['update', '-qq'], { env, timeout: 300_000 })
  must('apt-get', ['install', '-y', '-qq', '--no-install-recommends', ...packages], { env, timeout: 600_000 })
}

/** Two namespaces with a veth pair between them and addresses of three networks, of which `tag` takes two for VLANs. */
function makeLink(near, far) {
  for (const space of [near, far]) must('ip', ['netns', 'add', space])
  must('ip', ['link', 'add', 'wire', 'netns', near, 'type', 'veth', 'peer', 'name', 'wire', 'netns', far])
  for (const [host, space] of [near, far].entries()) {
    const ip = (text) => must('ip', ['-n', space, ...text.split(' ')])
    ip('link set lo up')
    ip('link set wire up')
    for (const net of [77, 78, 79]) {
      ip(`addr add 10.${net}.0.${host + 1}/24 dev wire`)
      // No duplicate detection, which would have to be waited for.
      ip(`addr add fd${net}::${host + 1}/64 dev wire nodad`)
    }
  }
}

// The third byte of the source network says under which tags a frame goes: TPID and tag control information of each.
const TAGS = new Map([
  [78, [0x8100, 0x6064]],
  [79, [0x88a8, 0x00c8, 0x8100, 0xb12c]],
])

/** The number of a frame's source network: 10.<number>.0.0/16 or fd<number>::/64. */
function networkOf(frame) {
  const ethertype = frame.readUInt16BE(12)
  if (ethertype === 0x0800 && frame[26] === 10) return frame[27]
  if (ethertype === 0x0806 && frame[28] === 10) return frame[29]
  if (ethertype === 0x86dd && frame[22] === 0xfd) return Number(frame[23].toString(16))
  return undefined
}

/**
 * Puts the frames of two of the networks under VLAN tags, as a switch's trunk port does: not every kernel has VLAN devices. All
 * else in the frames stays as the stack sent it.
 */
function tag(file) {
  const pcap = readFileSync(file)
  if (pcap.readUInt32LE(0) !== 0xa1b2c3d4) throw new Error(`${file} is no little-endian pcap file`)
  const out = [pcap.subarray(0, 24)]
  for (let at = 24; at < pcap.length; ) {
    const header = Buffer.from(pcap.subarray(at, at + 16))
    const frame = pcap.subarray(at + 16, at + 16 + header.readUInt32LE(8))
    at += 16 + frame.length
    const words = TAGS.get(networkOf(frame)) ?? []
    const tags = Buffer.alloc(words.length * 2)
    for (const [index, word] of words.entries()) tags.writeUInt16BE(word, index * 2)
    header.writeUInt32LE(frame.length + tags.length, 8)
    header.writeUInt32LE(frame.length + tags.length, 12)
    out.push(header, frame.subarray(0, 12), tags, frame.subarray(12))
  }
  writeFileSync(file, Buffer.concat(out))
}

/** Starts a program in a namespace and waits until it says `word`. */
async function startIn(space, args, word) {
  const child = spawn('ip', ['netns', 'exec', space, ...args], { stdio: ['pipe', 'pipe', 'pipe'] })
  let said = ''
  await new Promise((resolve, reject) => {
    const listen = (data) => {
      said += data
      if (said.includes(word)) resolve()
    }
    child.stdout.on('data', listen)
    child.stderr.on('data', listen)
    child.on('exit', () => reject(new Error(`${args[0]} ended early: ${said}`)))
  })
  return child
}

async function capture(file) {
  const [near, far] = ['near', 'far'].map((side) => `wraith-${side}-${process.pid}`)
  const children = []
  try {
    makeLink(near, far)
    const dump = ['tcpdump', '-i', 'wire', '-w', file, '-U', '-s', '0', '--immediate-mode', '-Z', 'root']
    const tcpdump = await startIn(near, dump, 'listening on')
    children.push(tcpdump)
    const server = await startIn(far, [process.execPath, '-e', SERVER], 'ready')
    children.push(server)
    const inNear = (...args) => must('ip', ['netns', 'exec', near, ...args])
    for (const host of ['10.77.0.2', 'fd77::2', '10.78.0.2', '10.79.0.2', 'fd79::2'])
      inNear('ping', '-q', '-c', '2', '-i', '0.2', host)
    inNear('ping', '-q', '-c', '1', '-R', '10.77.0.2')
    for (const host of ['10.77.0.2', 'fd77::2', '10.78.0.2'])
      inNear('ping', '-q', '-c', '1', '-s', '3001', host)
    for (const host of ['10.77.0.2', 'fd77::2'])
      inNear('dig', `@${host}`, '+tries=1', '+timeout=5', 'a.wraith.test')
    inNear(process.execPath, '-e', CLIENT)
    server.stdin.end()
    await once(server, 'exit')
    tcpdump.kill('SIGINT')
    await once(tcpdump, 'exit')
  } finally {
    for (const child of children) if (child.exitCode === null) child.kill('SIGKILL')
    for (const space of [near, far]) spawnSync('ip', ['netns', 'delete', space])
  }
}

/** What tshark reads: the first occurrence of each field, nothing reassembled, a line a packet. */
function fieldsOf(file) {
  const fields = FIELDS.flatMap((field) => ['-e', field])
  const off = ['ip.defragment:FALSE', 'ipv6.defragment:FALSE', 'tcp.desegment_tcp_streams:FALSE']
  const options = ['-n', '-T', 'fields', '-E', 'occurrence=f', ...off.flatMap((option) => ['-o', option])]
  return `${FIELDS.join('\t')}\n${must('tshark', ['-r', file, ...options, ...fields])}`
}

async function captureInto(folder) {
  const file = join(folder, 'packets.pcap')
  mkdirSync(folder, { recursive: true })
  await capture(file)
  tag(file)
  const none = Object.keys(WANTED).filter(
    (name) => must('tshark', ['-n', '-r', file, '-Y', WANTED[name]]).trim() === '',
  )
  if (none.length > 0) throw new Error(`the capture has no packet of: ${none.join(', ')}`)
  writeFileSync(join(folder, 'fields.tsv'), fieldsOf(file))
}

function test(folder) {
  const args = ['test', '-q', '-p', 'wraith-core', '--test', 'packets', 'capture::', '--', '--nocapture']
  const env = folder === undefined ? process.env : { ...process.env, WRAITH_CAPTURE: folder }
  console.log(must('cargo', args, { env, cwd: at('.'), timeout: 900_000 }).trim())
}

ensureTools()
if (process.argv.includes('--check')) {
  const folder = mkdtempSync(join(tmpdir(), 'wraith-capture-'))
  try {
    await captureInto(folder)
    test(folder)
    test(undefined)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
} else {
  await captureInto(COMMITTED)
  console.log(`captured into ${COMMITTED}`)
}
