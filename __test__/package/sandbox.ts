import { spawn } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { delimiter, join } from 'node:path'

export interface Outcome {
  code: number | null
  stdout: string
  stderr: string
}

const onPath = (command: string): string => {
  const found = (process.env['PATH'] ?? '')
    .split(delimiter)
    .map((folder) => join(folder, command))
    .find((file) => existsSync(file))
  if (found === undefined) throw new Error(`${command} is not on the PATH`)
  return realpathSync(found)
}

/** An empty folder with a PATH of three programs: no cargo, no compiler, nothing of this repository. */
export class Sandbox {
  readonly folder = mkdtempSync(join(tmpdir(), 'wraith-package-'))
  readonly project = join(this.folder, 'project')
  readonly #npm = onPath('npm')
  readonly #env: Record<string, string>

  constructor(registry: string) {
    const bin = join(this.folder, 'bin')
    mkdirSync(bin)
    mkdirSync(this.project)
    symlinkSync(process.execPath, join(bin, 'node'))
    for (const command of ['sh', 'env']) symlinkSync(onPath(command), join(bin, command))
    const npmrc = join(this.folder, 'npmrc')
    writeFileSync(
      npmrc,
      `registry=${registry}\naudit=false\nfund=false\nupdate-notifier=false\nfetch-retries=0\n`,
    )
    this.#env = {
      PATH: bin,
      HOME: this.folder,
      TMPDIR: this.folder,
      npm_config_userconfig: npmrc,
      npm_config_globalconfig: join(this.folder, 'no-global-npmrc'),
      npm_config_cache: join(this.folder, 'npm-cache'),
    }
    this.write('package.json', JSON.stringify({ name: 'consumer', private: true, version: '1.0.0' }))
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.project, name), text)
  }

  /** Runs Node.js with `args` in the project. */
  node(...args: string[]): Promise<Outcome> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, args, {
        cwd: this.project,
        env: this.#env,
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: 120_000,
      })
      let [stdout, stderr] = ['', '']
      child.stdout.setEncoding('utf8').on('data', (chunk: string) => {
        stdout += chunk
      })
      child.stderr.setEncoding('utf8').on('data', (chunk: string) => {
        stderr += chunk
      })
      child.on('error', reject)
      child.on('close', (code) => resolve({ code, stdout, stderr }))
    })
  }

  npm(...args: string[]): Promise<Outcome> {
    return this.node(this.#npm, ...args)
  }

  npx(...args: string[]): Promise<Outcome> {
    return this.npm('exec', '--no', '--', ...args)
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
