import { execFileSync } from 'node:child_process'
import { chmodSync, copyFileSync, cpSync, mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { root } from './program.js'
import type { RunOptions } from './udp-process.js'

/** Nobody, on every system. */
const NOBODY = '65534'

/** RLIMIT_MEMLOCK of those who have been given no more: less than any user has. */
export const LOCKED_MEMORY = 65_536

/** What this machine lacks for programs with file capabilities, or nothing. */
export function missingForCapabilities(): string | undefined {
  for (const [program, ...args] of [
    ['setcap', '-h'],
    ['setpriv', '--version'],
    ['prlimit', '--version'],
  ] as const) {
    try {
      execFileSync(program, args, { stdio: 'ignore' })
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') {
        return `${program} is missing: apt-get install libcap2-bin util-linux`
      }
    }
  }
  return undefined
}

/**
 * A copy of this Node.js that can be given capabilities, and of the built package, both where everybody can read them: the recipe of
 * docs/xdp-rights.md. `options` run it, in a namespace or not, as a user who has no rights. Disposing of it deletes both.
 */
export class CapableNode implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), 'wraith-rights-'))
  readonly node = join(this.folder, 'node')

  constructor() {
    try {
      copyFileSync(process.execPath, this.node)
      chmodSync(this.node, 0o755)
      cpSync(join(root, 'dist'), join(this.folder, 'dist'), { recursive: true })
      copyFileSync(join(root, 'package.json'), join(this.folder, 'package.json'))
      execFileSync('chmod', ['-R', 'a+rX', this.folder])
    } catch (error) {
      this[Symbol.dispose]()
      throw error
    }
  }

  /** Gives it these capabilities and no others: `'cap_net_admin,cap_net_raw=ep'`, or none. */
  grant(capabilities: string | undefined): void {
    // Nothing to be removed is no failure.
    if (capabilities === undefined) execFileSync('setcap', ['-q', '-r', this.node], { stdio: 'pipe' })
    else execFileSync('setcap', [capabilities, this.node], { stdio: 'pipe' })
  }

  /** The command line tool, to be run by `node`. */
  get cli(): string {
    return join(this.folder, 'dist', 'ts', 'cli', 'main.js')
  }

  /**
   * What runs before the program: leaves little memory to lock, and gives up root.
   *
   * @param ambient capabilities that the program has all the same, as systemd gives them with NoNewPrivileges=: `'+net_raw,+bpf'`
   */
  through(ambient?: string): string[] {
    const limit = ['prlimit', `--memlock=${LOCKED_MEMORY}:${LOCKED_MEMORY}`]
    const user = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups']
    const given =
      ambient === undefined ? [] : [`--inh-caps=${ambient}`, `--ambient-caps=${ambient}`, '--no-new-privs']
    return [...limit, ...user, ...given]
  }

  /** Options of `resultOf` and `start` of a namespace. */
  options(ambient?: string): RunOptions {
    return {
      node: this.node,
      package: pathToFileURL(join(this.folder, 'dist', 'index.js')).href,
      through: this.through(ambient),
    }
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true, force: true })
  }
}
