import type { WriteStream } from 'node:tty'

/** Where the demo's text goes. On a terminal one block at the bottom is redrawn; elsewhere every line is final. */
export class Screen {
  readonly #stream: NodeJS.WriteStream
  readonly #live: boolean
  readonly #colour: boolean
  #drawn = 0

  /** @param lines how high the block gets: a terminal that cannot hold it gets plain lines */
  constructor(stream: NodeJS.WriteStream, lines: number) {
    this.#stream = stream
    const terminal = stream as Partial<WriteStream>
    const isTerminal = process.stdout.isTTY === true && terminal.isTTY === true
    this.#live = isTerminal && (terminal.rows ?? 0) > lines && (terminal.columns ?? 0) >= 80
    this.#colour = isTerminal && !process.env['NO_COLOR'] && process.env['TERM'] !== 'dumb'
  }

  get live(): boolean {
    return this.#live
  }

  /** A line that stays. */
  line(text = ''): void {
    this.clear()
    this.#stream.write(`${text}\n`)
  }

  /** Lines that stay. */
  lines(texts: readonly string[]): void {
    for (const text of texts) this.line(text)
  }

  /** Parts with a blank line behind each, the first line of each in bold. */
  parts(texts: readonly (readonly string[])[]): void {
    for (const [title = '', ...rest] of texts) {
      this.line(this.bold(title))
      this.lines(rest)
      this.line()
    }
  }

  /** Replaces the block. Nothing where there is none. */
  block(lines: readonly string[]): void {
    if (!this.#live) return
    this.#stream.write(`${this.#erase()}${lines.join('\n')}\n`)
    this.#drawn = lines.length
  }

  /** Takes the block away. */
  clear(): void {
    if (this.#drawn > 0) this.#stream.write(this.#erase())
    this.#drawn = 0
  }

  #erase(): string {
    return this.#drawn > 0 ? `\x1b[${this.#drawn}A\x1b[J` : ''
  }

  bold(text: string): string {
    return this.#colour ? `\x1b[1m${text}\x1b[22m` : text
  }

  /** For what must not be overlooked. */
  red(text: string): string {
    return this.#colour ? `\x1b[31m${text}\x1b[39m` : text
  }
}

/** Breaks `text` at blanks into lines of at most 79 columns, the later ones indented. */
export function wrap(text: string, indent = '  ', width = 79): string[] {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(' ')) {
    if (line !== '' && line.length + 1 + word.length > width) {
      lines.push(line)
      line = indent + word
    } else line = line === '' ? word : `${line} ${word}`
  }
  if (line !== '') lines.push(line)
  return lines
}
