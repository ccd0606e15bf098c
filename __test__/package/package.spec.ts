import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { allSnippets } from '../support/snippets.js'
import { type Packed, type Registry, startRegistry } from './registry.js'
import { type Outcome, Sandbox } from './sandbox.js'

const root = fileURLToPath(new URL('../..', import.meta.url))
const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc')
const snippets = allSnippets(root)

let packed: Packed[]
let main: Packed
let platform: Packed
let registry: Registry
let consumer: Sandbox

const ok = (outcome: Outcome) => {
  expect(outcome, `${outcome.stdout}\n${outcome.stderr}`).toMatchObject({ code: 0 })
  return outcome.stdout
}

beforeAll(async () => {
  const pack = ['scripts/pack.mjs', '--json']
  packed = JSON.parse(execFileSync(process.execPath, pack, { cwd: root, encoding: 'utf8' })) as Packed[]
  ;[main, platform] = packed as [Packed, Packed]
  registry = await startRegistry(packed)
  consumer = new Sandbox(registry.url)
  ok(await consumer.npm('install', main.name))
})

afterAll(async () => {
  consumer?.remove()
  await registry?.close()
})

describe('the packed packages', () => {
  test('the main package has no binary, no sources and no tests', () => {
    expect(
      main.files.filter((file) => /\.(node|rs|tgz)$|^(ts|__test__|scripts|crates)\//.test(file)),
    ).toEqual([])
    expect(main.files).toEqual(
      expect.arrayContaining([
        'dist/index.js',
        'dist/index.d.ts',
        'dist/ts/native/binding.cjs',
        'README.md',
        'LICENSE-MIT',
      ]),
    )
  })

  test('the main package depends optionally on the platform package, at its own version', () => {
    expect(main.manifest.optionalDependencies).toEqual({ [platform.name]: main.version })
    expect(platform.version).toBe(main.version)
  })

  test('the platform package holds one addon and its licences', () => {
    expect(platform.files.filter((file) => file.endsWith('.node'))).toHaveLength(1)
    expect(platform.files).toEqual(expect.arrayContaining(['LICENSE-APACHE', 'LICENSE-MIT', 'README.md']))
  })
})

describe('installed from a registry, without cargo on the PATH', () => {
  test('the install brought the addon of this platform and compiled nothing', () => {
    const folder = join(consumer.project, 'node_modules', platform.name)
    expect(readdirSync(folder).filter((name) => name.endsWith('.node'))).toHaveLength(1)
    expect(existsSync(join(consumer.project, 'node_modules', main.name, 'build'))).toBe(false)
  })

  test('import works and prints no warning', async () => {
    consumer.write(
      'import.mjs',
      `import { BufferPool, UdpSocket } from '${main.name}'
       const pool = new BufferPool({ bufferSize: 64, capacity: 4 })
       const guard = pool.acquire()
       guard.dispose()
       const socket = await UdpSocket.bind({ address: '127.0.0.1' })
       console.log(pool.available, socket.address().port > 0)
       socket.close()`,
    )
    const outcome = await consumer.node('import.mjs')
    expect(outcome).toEqual({ code: 0, stdout: '4 true\n', stderr: '' })
  })

  test('require() works', async () => {
    consumer.write(
      'require.cjs',
      `const { BufferPool } = require('${main.name}')
       const pool = new BufferPool({ bufferSize: 64, capacity: 4 })
       console.log(pool.capacity, require('${main.name}/package.json').version)`,
    )
    expect(ok(await consumer.node('require.cjs'))).toBe(`4 ${main.version}\n`)
  })

  test('npx wraith-transport demo compares dgram with us', async () => {
    const stdout = ok(await consumer.npx(main.name, 'demo', '--seconds', '3', '--json'))
    const summary = JSON.parse(stdout.trimEnd().split('\n').at(-1) ?? '') as { ratio: Record<string, number> }
    expect(Object.keys(summary)).toEqual(expect.arrayContaining(['dgram', 'wraith', 'ratio']))
    expect(summary.ratio['packetsPerCpuSecond']).toBeGreaterThan(0)
  })

  test('without the platform package the error has a code and names the package', async () => {
    const lonely = await startRegistry([main])
    const alone = new Sandbox(lonely.url)
    try {
      ok(await alone.npm('install', main.name))
      alone.write(
        'alone.mjs',
        `try {
           const { BufferPool } = await import('${main.name}')
           new BufferPool()
         } catch (error) {
           console.log(error.code, error.message)
         }`,
      )
      const stdout = ok(await alone.node('alone.mjs'))
      expect(stdout).toMatch(/^WRAITH_ERR_NATIVE_MISSING /)
      expect(stdout).toContain(platform.name)
    } finally {
      alone.remove()
      await lonely.close()
    }
  })
})

describe('TypeScript consumers: target ES2022, skipLibCheck off', () => {
  const compile = async (name: string, options: object) => {
    const compilerOptions = {
      target: 'ES2022',
      strict: true,
      skipLibCheck: false,
      noEmit: true,
      types: [],
      ...options,
    }
    consumer.write(
      'consumer.mts',
      readFileSync(join(root, '__test__', 'package', 'consumer', 'consumer.mts'), 'utf8'),
    )
    const pages = snippets.filter((snippet) => snippet.language === 'ts')
    for (const [index, snippet] of pages.entries()) consumer.write(`page-${index}.mts`, snippet.text)
    const files = ['consumer.mts', ...pages.map((_, index) => `page-${index}.mts`)]
    consumer.write(name, JSON.stringify({ compilerOptions, files }))
    ok(await consumer.node(tsc, '--project', name))
  }

  test('module resolution of Node.js, no @types/node', async () => {
    await compile('tsconfig.nodenext.json', { module: 'NodeNext', moduleResolution: 'NodeNext' })
  })

  test('module resolution of bundlers, no @types/node', async () => {
    await compile('tsconfig.bundler.json', { module: 'ESNext', moduleResolution: 'Bundler' })
  })

  test('with @types/node', async () => {
    const typeRoots = [join(root, 'node_modules', '@types')]
    await compile('tsconfig.node.json', {
      module: 'NodeNext',
      moduleResolution: 'NodeNext',
      types: ['node'],
      typeRoots,
    })
  })
})

describe('examples of the pages run as they are printed', () => {
  const programs = snippets.filter((snippet) => snippet.kind === 'run' && snippet.language !== 'ts')

  test('README.md has at least one example that runs', () => {
    expect(programs.filter((snippet) => snippet.where.startsWith('README.md')).length).toBeGreaterThan(0)
  })

  test.for(programs)('$where', async ({ where, language, text, output }) => {
    const name = `${where.replace(/\W+/g, '-')}.${language === 'cjs' ? 'cjs' : 'mjs'}`
    consumer.write(name, text)
    const stdout = ok(await consumer.node('--expose-gc', name))
    if (output !== undefined) expect(stdout).toBe(output)
  })
})
