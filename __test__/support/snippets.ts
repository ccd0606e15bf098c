import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/**
 * A fenced block of a page whose info string says `run` (a program) or `check` (TypeScript to compile). A block
 * ```` ```text output ```` right behind a program is what it prints.
 */
export interface Snippet {
  /** `docs/page.md:12`, for messages. */
  readonly where: string
  readonly language: string
  readonly kind: 'run' | 'check'
  readonly text: string
  readonly output: string | undefined
}

/** Any fenced block. */
export interface Block {
  readonly where: string
  readonly language: string
  readonly words: readonly string[]
}

const FENCE = /^```(\w+)[ \t]*([^\n]*)\n(.*?)^```$(?:\s*^```text output\n(.*?)^```$)?/gms

function blocksOf(root: string, page: string) {
  const text = readFileSync(join(root, page), 'utf8')
  return [...text.matchAll(FENCE)].map((match) => {
    const [, language = '', info = '', body = '', output] = match
    const where = `${page}:${text.slice(0, match.index).split('\n').length}`
    return { where, language, words: info.split(/\s+/).filter(Boolean), text: body, output }
  })
}

/** README.md and every page under docs/, relative to `root`. */
export function allPages(root: string): string[] {
  const pages = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
  return ['README.md', ...pages.map((name) => `docs/${name}`)]
}

/** Every fenced block of every page. */
export function allBlocks(root: string): Block[] {
  return allPages(root).flatMap((page) => blocksOf(root, page))
}

/** The blocks that are run or checked. */
export function allSnippets(root: string): Snippet[] {
  return allPages(root)
    .flatMap((page) => blocksOf(root, page))
    .flatMap(({ words, ...block }) => {
      const [kind] = words
      return kind === 'run' || kind === 'check' ? [{ ...block, kind }] : []
    })
}
