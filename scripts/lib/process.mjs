// Starting other programs: with a clean environment, a time limit that ends the whole process group, and captured output.

import { spawn, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { homedir } from 'node:os'
import { delimiter, join } from 'node:path'
import { root } from './paths.mjs'

// How npm reaches its registry is the user's business and is passed on.
const KEPT_NPM_CONFIG =
  /^npm_config_(registry|proxy|https_proxy|noproxy|ca|cafile|strict_ssl|cache|userconfig|globalconfig)$/i

/**
 * The environment for children. npm's other variables and NODE_ENV are left out: they would leak this project's
 * configuration into a nested npm, or make `npm ci` skip the development dependencies.
 */
export function cleanEnv(extra = {}) {
  const env = {}
  for (const [name, value] of Object.entries(process.env)) {
    if (/^npm_/i.test(name) && !KEPT_NPM_CONFIG.test(name)) continue
    if (name === 'NODE_ENV' || name === 'INIT_CWD' || name === 'NODE') continue
    env[name] = value
  }
  const cargoBin = join(process.env.CARGO_HOME ?? join(homedir(), '.cargo'), 'bin')
  const path = (env.PATH ?? '').split(delimiter)
  if (existsSync(cargoBin) && !path.includes(cargoBin)) env.PATH = [...path, cargoBin].join(delimiter)
  for (const [name, value] of Object.entries(extra)) {
    if (value === undefined) delete env[name]
    else env[name] = value
  }
  return env
}

/** First line that `command` prints, or undefined when it cannot be run. */
export function firstLine(command, args = ['--version']) {
  const result = spawnSync(command, args, { encoding: 'utf8', env: cleanEnv(), timeout: 60_000 })
  return result.status === 0 ? result.stdout.trim().split('\n')[0] : undefined
}

const KEPT_OUTPUT = 8 * 1024 * 1024

/**
 * Runs a program to its end. Never rejects: `{ code, signal, timedOut, output, stdout, seconds }`.
 * Each child leads its own process group, so that a time limit or Ctrl-C also ends what it started.
 */
export function run(command, args, { cwd = root, env = {}, timeoutMs, echo = false } = {}) {
  return new Promise((resolve) => {
    const started = performance.now()
    const child = spawn(command, args, {
      cwd,
      env: cleanEnv(env),
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    })
    let output = ''
    let stdout = ''
    let timedOut = false
    const keep = (text, chunk) => (text + chunk).slice(-KEPT_OUTPUT)
    const killGroup = (signal) => {
      try {
        process.kill(-child.pid, signal)
      } catch {
        // The group has already ended.
      }
    }
    let hardKill
    const limit = timeoutMs
      ? setTimeout(() => {
          timedOut = true
          killGroup('SIGTERM')
          hardKill = setTimeout(() => killGroup('SIGKILL'), 5_000)
        }, timeoutMs)
      : undefined
    const onInterrupt = (signal) => {
      killGroup(signal)
      process.exit(130)
    }
    process.once('SIGINT', onInterrupt)
    process.once('SIGTERM', onInterrupt)
    const finish = (result) => {
      clearTimeout(limit)
      clearTimeout(hardKill)
      process.removeListener('SIGINT', onInterrupt)
      process.removeListener('SIGTERM', onInterrupt)
      resolve({ timedOut, output, stdout, seconds: (performance.now() - started) / 1000, ...result })
    }
    child.stdout.setEncoding('utf8').on('data', (chunk) => {
      stdout = keep(stdout, chunk)
      output = keep(output, chunk)
      if (echo) process.stdout.write(chunk)
    })
    child.stderr.setEncoding('utf8').on('data', (chunk) => {
      output = keep(output, chunk)
      if (echo) process.stderr.write(chunk)
    })
    child.on('error', (error) => {
      output += `\n${error.message}\n`
      finish({ code: 127, signal: null })
    })
    child.on('close', (code, signal) => {
      if (timedOut) output += `\nended after its limit of ${Math.round(timeoutMs / 1000)} s\n`
      finish({ code: code ?? 1, signal })
    })
  })
}

/** The npm that started us, else the one on the PATH. */
export function npm(args, options) {
  const cli = process.env.npm_execpath
  return cli?.endsWith('.js') ? run(process.execPath, [cli, ...args], options) : run('npm', args, options)
}
