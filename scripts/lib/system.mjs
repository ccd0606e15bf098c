// Tools of the operating system: what is missing, and the command that installs it.

import { accessSync, constants, existsSync, readFileSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { cleanEnv, firstLine, run } from './process.mjs'

// command on the PATH -> what it is for, and the package that has it: Debian/Ubuntu, Fedora, Alpine, Arch
const needs = {
  cc: {
    why: 'linking the Rust addon',
    apt: ['gcc', 'libc6-dev'],
    dnf: 'gcc',
    apk: 'build-base',
    pacman: 'gcc',
  },
  ip: {
    why: 'tests in network namespaces',
    apt: ['iproute2'],
    dnf: 'iproute',
    apk: 'iproute2',
    pacman: 'iproute2',
  },
  setcap: {
    why: 'tests of AF_XDP without root',
    onlyTests: true,
    apt: ['libcap2-bin'],
    dnf: 'libcap',
    apk: 'libcap',
    pacman: 'libcap',
  },
}

function onPath(command) {
  return (cleanEnv().PATH ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, command), constants.X_OK)
      return true
    } catch {
      return ['/usr/sbin', '/sbin'].some((extra) => existsSync(join(extra, command)))
    }
  })
}

/** Or made of it: its package manager is apt-get. */
export const isDebian = existsSync('/etc/debian_version')

// biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query replaces it
const STATUS = ['--show', '--showformat=${Status}']

/** Whether any of these Debian packages is not installed. */
export const lacksPackages = (packages) =>
  packages.some((name) => firstLine('dpkg-query', [...STATUS, name]) !== 'install ok installed')

/**
 * Installs Debian packages as root, and else only says how. Packages of a foreign `architecture` are written with it: `libc6:arm64`.
 * Returns `undefined` or a sentence that begins with `problem` and names the command to run.
 */
export async function installDebian(packages, log, problem, architecture) {
  const foreign = architecture === undefined ? '' : `dpkg --add-architecture ${architecture} && `
  const command = `${foreign}apt-get update && apt-get install -y --no-install-recommends ${packages.join(' ')}`
  if (process.getuid() !== 0) return `${problem}; run: sudo sh -c '${command}'`
  log(`installing ${packages.join(' ')} with apt-get (about ${architecture === undefined ? 30 : 60} s)`)
  const result = await run('sh', ['-c', command], {
    env: { DEBIAN_FRONTEND: 'noninteractive' },
    timeoutMs: 600_000,
  })
  if (result.code === 0) return undefined
  const why = result.output.trim().split('\n').slice(-3).join(' / ')
  return `could not install ${packages.join(' ')}: ${why}; run: ${command}`
}

/** Returns `undefined` when nothing is missing, else a sentence that names the command to run. `tests`: what tests need as well. */
export async function ensureSystemTools(log, { tests }) {
  if (process.platform !== 'linux')
    return onPath('cc') ? undefined : 'a C compiler is missing: run xcode-select --install'
  const needed = Object.keys(needs).filter((command) => tests || !needs[command].onlyTests)
  const missing = needed.filter((command) => !onPath(command))
  if (missing.length === 0) return undefined
  const what = missing.map((command) => `${command} (${needs[command].why})`).join(', ')
  const packages = missing.flatMap((command) => needs[command].apt)
  if (isDebian) return installDebian(packages, log, `missing: ${what}`)
  for (const [manager, install] of [
    ['dnf', 'sudo dnf install -y'],
    ['apk', 'apk add'],
    ['pacman', 'sudo pacman -S --needed'],
  ]) {
    if (onPath(manager)) {
      return `missing: ${what}; run: ${install} ${missing.map((command) => needs[command][manager]).join(' ')}`
    }
  }
  return `missing: ${what}; install them with your system's package manager`
}

/** The least Rust that the workspace's Cargo.toml asks for. */
const rustVersion = (cargoToml) =>
  /^rust-version\s*=\s*"([\d.]+)"/m.exec(readFileSync(cargoToml, 'utf8'))?.[1] ?? '1.89'

const olderThan = (version, least) => {
  const [a, b] = [version, least].map((text) => text.split('.').map(Number))
  return a[0] !== b[0] ? a[0] < b[0] : a[1] < b[1]
}

/** Returns `undefined` when a recent enough cargo runs, else what to do. `line` is what `cargo --version` printed. */
export function cargoProblem(line, cargoToml) {
  const least = rustVersion(cargoToml)
  const how =
    'install Rust with rustup (https://rustup.rs): rustup toolchain install stable --component rustfmt,clippy'
  if (line === undefined)
    return `cargo is missing, and building from source needs Rust ${least} or newer; ${how}`
  const version = /cargo ([\d.]+)/.exec(line)?.[1] ?? '0.0'
  return olderThan(version, least) ? `cargo ${version} is older than Rust ${least}; ${how}` : undefined
}
