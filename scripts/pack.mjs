// Packs what would be published, into .cache/packages: the main package without any binary, and one package per platform.
// The main package's manifest gets its optionalDependencies here and not in the repository, where npm could not
// install packages of a version that is not published yet. With --json it prints what it packed.

import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { nativeOutput } from './build.mjs'
import { at, cache, manifest } from './lib/paths.mjs'
import { npm } from './lib/process.mjs'

export const packages = (...parts) => cache('packages', ...parts)

const DEVELOPMENT_ONLY = ['scripts', 'devDependencies', 'napi', 'overrides']
const licences = ['LICENSE-APACHE', 'LICENSE-MIT']

const writeJson = (file, value) => writeFileSync(file, `${JSON.stringify(value, null, 2)}\n`)

/** The platform packages: folder name under npm/ and manifest. */
export const platforms = () =>
  readdirSync(at('npm')).map((folder) => ({
    folder,
    manifest: JSON.parse(readFileSync(at('npm', folder, 'package.json'), 'utf8')),
  }))

function stageMain(target, platformManifests) {
  const published = Object.fromEntries(
    Object.entries(manifest).filter(([key]) => !DEVELOPMENT_ONLY.includes(key)),
  )
  published.optionalDependencies = Object.fromEntries(
    platformManifests.map(({ name, version }) => [name, version]),
  )
  const skip = /\.node$|\.map$/
  for (const name of ['dist', 'docs', 'README.md', 'CHANGELOG.md', ...licences]) {
    if (existsSync(at(name))) {
      cpSync(at(name), join(target, name), { recursive: true, filter: (source) => !skip.test(source) })
    }
  }
  writeJson(join(target, 'package.json'), published)
}

function stagePlatform(target, folder, platform) {
  if (platform.version !== manifest.version) {
    throw new Error(
      `npm/${folder}/package.json says ${platform.version}, package.json says ${manifest.version}`,
    )
  }
  cpSync(at('npm', folder), target, { recursive: true })
  for (const name of licences) cpSync(at(name), join(target, name))
  const addon = nativeOutput(platform.main)
  if (!existsSync(addon)) return false
  cpSync(addon, join(target, platform.main))
  return true
}

async function packFolder(folder) {
  const result = await npm(
    ['pack', '--json', '--ignore-scripts', '--loglevel=error', '--pack-destination', packages()],
    {
      cwd: folder,
      timeoutMs: 120_000,
    },
  )
  if (result.code !== 0) throw new Error(`npm pack failed in ${folder}:\n${result.output}`)
  const [packed] = Object.values(JSON.parse(result.stdout))
  return { folder, tarball: packages(packed.filename), files: packed.files.map((file) => file.path) }
}

/** Packs both kinds of package; returns `[{ name, version, manifest, folder, tarball, files }]`, the main one first. */
export async function pack() {
  rmSync(packages(), { recursive: true, force: true })
  const all = platforms()
  const staged = [['main', packages('main')]]
  mkdirSync(packages('main'), { recursive: true })
  stageMain(
    packages('main'),
    all.map((platform) => platform.manifest),
  )
  for (const { folder, manifest: platform } of all) {
    mkdirSync(packages(folder), { recursive: true })
    if (stagePlatform(packages(folder), folder, platform)) staged.push([folder, packages(folder)])
  }
  if (staged.length === 1) throw new Error('no addon has been built for any platform; run: npm run build')
  const results = []
  for (const [, folder] of staged) {
    const packedManifest = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'))
    const { name, version } = packedManifest
    results.push({ name, version, manifest: packedManifest, ...(await packFolder(folder)) })
  }
  return results
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const packed = await pack()
  if (process.argv.includes('--json')) console.log(JSON.stringify(packed))
  else for (const { tarball, files } of packed) console.log(`pack: ${tarball} (${files.length} files)`)
}
