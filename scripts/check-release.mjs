// Before a release: the tag, package.json, the platform packages, Cargo.toml and CHANGELOG.md name the same version.
//
//   node scripts/check-release.mjs [v1.2.3]

import { readFileSync } from 'node:fs'
import { at, manifest } from './lib/paths.mjs'
import { platforms } from './pack.mjs'

const { version } = manifest
const tag = process.argv[2] || `v${version}`
const cargo = /^version = "([^"]+)"/m.exec(readFileSync(at('Cargo.toml'), 'utf8'))?.[1]
const changelog = readFileSync(at('CHANGELOG.md'), 'utf8')

const problems = [
  tag !== `v${version}` && `the tag is ${tag}, package.json says ${version}`,
  cargo !== version && `Cargo.toml says ${cargo}, package.json says ${version}`,
  !new RegExp(`^## \\[?${version.replaceAll('.', '\\.')}\\b`, 'm').test(changelog) &&
    `CHANGELOG.md has no section for ${version}`,
  ...platforms().map(
    ({ folder, manifest: platform }) =>
      platform.version !== version && `npm/${folder} says ${platform.version}, package.json says ${version}`,
  ),
].filter(Boolean)

for (const problem of problems) console.error(`release: ${problem}`)
process.exitCode = problems.length > 0 ? 1 : 0
