import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { basename } from 'node:path'

/** What `scripts/pack.mjs --json` prints for each package. */
export interface Packed {
  name: string
  version: string
  manifest: { optionalDependencies?: Record<string, string> }
  tarball: string
  files: string[]
}

export interface Registry {
  url: string
  close(): Promise<void>
}

/** A registry on the loopback interface that knows `packages` and nothing else. */
export async function startRegistry(packages: Packed[]): Promise<Registry> {
  const server = createServer((request, response) => {
    const path = decodeURIComponent(request.url ?? '').slice(1)
    const tarball = packages.find((each) => path === `-/${basename(each.tarball)}`)
    if (tarball !== undefined) return response.end(readFileSync(tarball.tarball))
    const found = packages.find((each) => each.name === path)
    if (found === undefined) return response.writeHead(404).end('{}')
    const integrity = `sha512-${createHash('sha512').update(readFileSync(found.tarball)).digest('base64')}`
    const dist = { tarball: `http://${request.headers.host}/-/${basename(found.tarball)}`, integrity }
    const versions = { [found.version]: { ...found.manifest, dist } }
    return response.end(
      JSON.stringify({ name: found.name, 'dist-tags': { latest: found.version }, versions }),
    )
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  return {
    url: `http://127.0.0.1:${port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
