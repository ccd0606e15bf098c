// Where things live, relative to the repository's root.

import { readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..')
export const at = (...parts) => join(root, ...parts)
export const cache = (...parts) => join(root, '.cache', ...parts)

export const manifest = JSON.parse(readFileSync(at('package.json'), 'utf8'))

/** A tool that npm installed, started through this Node and not through a shell shim. */
export const tool = (packageName, bin = packageName) => {
  const file = at('node_modules', packageName, 'package.json')
  const { bin: bins } = JSON.parse(readFileSync(file, 'utf8'))
  return join(dirname(file), typeof bins === 'string' ? bins : bins[bin])
}
