// Content hashes that say whether something has to be built again.

import { createHash } from 'node:crypto'
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join, relative } from 'node:path'
import { root } from './paths.mjs'

/** Every file under `path` (or `path` itself), sorted, for which `keep` holds. */
export function filesUnder(path, keep = () => true) {
  if (!existsSync(path)) return []
  if (statSync(path).isFile()) return [path]
  return readdirSync(path, { withFileTypes: true })
    .flatMap((entry) => {
      const child = join(path, entry.name)
      if (entry.isDirectory()) return filesUnder(child, keep)
      return entry.isFile() && keep(child) ? [child] : []
    })
    .sort()
}

/** One hash over names, contents and any further strings that matter (versions of tools, for example). */
export function hashOf(files, ...more) {
  const hash = createHash('sha256')
  for (const file of files) {
    hash.update(`${relative(root, file)}\0`)
    hash.update(readFileSync(file))
    hash.update('\0')
  }
  for (const text of more) hash.update(`${text}\0`)
  return hash.digest('hex')
}

export const readStamp = (file) => (existsSync(file) ? readFileSync(file, 'utf8').trim() : undefined)

export function writeStamp(file, value) {
  mkdirSync(dirname(file), { recursive: true })
  writeFileSync(file, `${value}\n`)
}
