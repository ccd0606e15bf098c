// The Node.js releases that the tests run on. This is the one place where they are pinned.

import { existsSync } from 'node:fs'
import { readStamp } from './inputs.mjs'
import { cache } from './paths.mjs'

export const runtimes = { 20: '20.20.2', 22: '22.23.3', 24: '24.21.0', 26: '26.10.0' }
export const majors = Object.keys(runtimes).map(Number)
export const currentMajor = Number(process.versions.node.split('.')[0])

/** The npm package that carries a Node.js binary for this platform; it has no install script. */
export const runtimePackage = `node-${process.platform === 'win32' ? 'win' : process.platform}-${process.arch}`

export const runtimeFolder = (major) => cache('node', String(major))
export const runtimeStamp = (major) => cache('node', String(major), 'stamp')

/** The binary of a pinned release. */
const pinnedNode = (major) => cache('node', String(major), 'node_modules', runtimePackage, 'bin', 'node')

/** The binary to test a major with: this very process's when it is of that major. */
export const nodeOf = (major) => (major === currentMajor ? process.execPath : pinnedNode(major))

export const isInstalled = (major) =>
  major === currentMajor ||
  (readStamp(runtimeStamp(major)) === runtimes[major] && existsSync(pinnedNode(major)))
