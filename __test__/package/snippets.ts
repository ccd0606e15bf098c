import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'

/** A fenced block of a page whose info string says `run` (programs) or `check` (TypeScript to compile). */
export interface Snippet {
  where: string
  language: string
  kind: 'run' | 'check'
  text: string
}

const FENCE = /^```(\w+) (run|check)\b[^\n]*\n(.*?)^```$/gms

function snippetsOf(root: string, page: string): Snippet[] {
  const text = readFileSync(join(root, page), 'utf8')
  return [...text.matchAll(FENCE)].map((match) => ({
    where: `${page}:${text.slice(0, match.index).split('\n').length}`,
    language: match[1] ?? '',
    kind: match[2] === 'run' ? 'run' : 'check',
    text: match[3] ?? '',
  }))
}

/** The snippets of README.md and of every page under docs/. */
export function allSnippets(root: string): Snippet[] {
  const pages = readdirSync(join(root, 'docs')).filter((name) => name.endsWith('.md'))
  return ['README.md', ...pages.map((name) => `docs/${name}`)].flatMap((page) => snippetsOf(root, page))
}
