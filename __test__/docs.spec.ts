import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import ts from 'typescript'
import { afterAll, describe, expect, test } from 'vitest'
import { BufferPool, UdpSocket } from 'wraith-transport'
import { thrownBy } from './support/errors.js'
import { Program, root } from './support/program.js'
import { allBlocks, allPages, allSnippets, type Snippet } from './support/snippets.js'

const page = (name: string) => readFileSync(join(root, name), 'utf8')

// Inside of the repository, so that `import 'wraith-transport'` is this package by its own name.
mkdirSync(join(root, '.cache'), { recursive: true })
const folder = mkdtempSync(join(root, '.cache', 'docs-'))
afterAll(() => rmSync(folder, { recursive: true }))

/** The snippet as a program that every Node.js parses: `using` is compiled down, nothing else is changed. */
function programOf({ where, language, text }: Snippet): string {
  const file = join(folder, `${where.replace(/\W+/g, '-')}.${language === 'cjs' ? 'cjs' : 'mjs'}`)
  const { ESNext, ES2022 } = ts.ScriptTarget
  const compilerOptions = { target: language === 'ts' ? ES2022 : ESNext, module: ts.ModuleKind.ESNext }
  writeFileSync(file, language === 'ts' ? ts.transpileModule(text, { compilerOptions }).outputText : text)
  return file
}

describe('programs in the pages', () => {
  const programs = allSnippets(root).filter(({ kind }) => kind === 'run')

  test.for(programs)('$where ends by itself and prints what the page says', async (snippet) => {
    const { code, stdout, stderr } = await new Program([programOf(snippet)]).end()
    expect({ code, stderr }, stdout).toEqual({ code: 0, stderr: '' })
    if (snippet.output !== undefined) expect(stdout).toBe(snippet.output)
  })

  test('README.md begins with one that shows its output', () => {
    expect(programs.find(({ where }) => where.startsWith('README.md'))?.output).toBeDefined()
  })

  test('every block of JavaScript or TypeScript is run or checked', () => {
    const code = allBlocks(root).filter(({ language }) =>
      /^(js|mjs|cjs|javascript|ts|mts|typescript)$/.test(language),
    )
    expect(code.filter(({ words }) => words[0] !== 'run' && words[0] !== 'check')).toEqual([])
  })
})

describe('references in the pages', () => {
  /** A heading's anchor as GitHub makes it. */
  const anchor = (heading: string) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N}\s_-]/gu, '')
      .trim()
      .replace(/\s/g, '-')

  const anchorsOf = (name: string) =>
    [...page(name).matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => anchor(heading))

  test.for([...allPages(root), 'CHANGELOG.md'])('links of %s lead somewhere', (name) => {
    const links = [...page(name).matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target)
    const broken = links.filter((link) => {
      if (/^https?:/.test(link)) return false
      const [path = '', fragment] = link.split('#')
      const target = path === '' ? name : join(dirname(name), path)
      if (!existsSync(join(root, target))) return true
      return fragment !== undefined && !anchorsOf(target).includes(fragment)
    })
    expect(broken).toEqual([])
  })

  test('every page of docs/ can be reached from README.md', () => {
    const readme = page('README.md')
    expect(
      allPages(root).filter((name) => name.startsWith('docs/') && !readme.includes(`](${name}`)),
    ).toEqual([])
  })

  test('every error code that a page names exists', () => {
    const known = page('docs/errors.md')
    const named = allPages(root).flatMap((name) => page(name).match(/WRAITH_ERR_[A-Z_]+[A-Z]/g) ?? [])
    expect(named.filter((code) => !known.includes(`## ${code}\n`))).toEqual([])
  })
})

describe('tables in the pages', () => {
  /** First cells of the rows of the table below a heading. */
  const namesUnder = (name: string, heading: string) => {
    const section =
      page(name)
        .split(/^#+ /m)
        .find((text) => text.startsWith(`${heading}\n`)) ?? ''
    return [...section.matchAll(/^\| `(\w+)`/gm)].map((match) => match[1] ?? '').sort()
  }

  /** An unknown option is refused with the names of those that there are. */
  const optionsOf = (message: string) => (/it has ([^.]*)\./.exec(message)?.[1] ?? '').split(', ').sort()

  test('docs/metrics.md has every field of a pool and no other', () => {
    using pool = new BufferPool({ capacity: 1 })
    expect(namesUnder('docs/metrics.md', 'Pool')).toEqual(Object.keys(pool.metrics()).sort())
    expect(namesUnder('docs/metrics.md', 'Audit')).toEqual(Object.keys(pool.audit()).sort())
    expect(namesUnder('docs/metrics.md', 'Pool info')).toEqual(Object.keys(pool.info()).sort())
  })

  test('docs/metrics.md has every field of a socket and no other', async () => {
    await using socket = await UdpSocket.bind({ address: '127.0.0.1' })
    expect(namesUnder('docs/metrics.md', 'Socket')).toEqual(Object.keys(socket.metrics()).sort())
    expect(namesUnder('docs/metrics.md', 'Socket info')).toEqual(Object.keys(socket.info()).sort())
  })

  test('docs/buffer-pool.md has every option of a pool and no other', () => {
    const { message } = thrownBy(() => new BufferPool({ nonsense: 1 } as object))
    expect(namesUnder('docs/buffer-pool.md', 'Options')).toEqual(optionsOf(message))
  })

  test('docs/udp-receive.md has every option of a socket and no other', async () => {
    const { message } = await UdpSocket.bind({ nonsense: 1 } as object).then(
      () => new Error('it was accepted'),
      (error: Error) => error,
    )
    expect(namesUnder('docs/udp-receive.md', 'Options')).toEqual(optionsOf(message))
  })
})
