import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const dist = fileURLToPath(new URL('./dist', import.meta.url))
const seconds = (n: number) => n * 1000

// Tests import 'wraith-transport' and get what users get: the compiled package, loaded by Node.js itself.
const alias = { 'wraith-transport': `${dist}/index.js` }

const project = (name: string, include: string[], timeout: number, exclude: string[] = []) => ({
  resolve: { alias },
  test: {
    name,
    include,
    exclude,
    environment: 'node' as const,
    // Processes and not threads: an addon's exit paths and signals are part of what is tested.
    pool: 'forks' as const,
    execArgv: ['--expose-gc'],
    maxWorkers: 2,
    testTimeout: timeout,
    hookTimeout: timeout,
    server: { deps: { external: [/\/dist\//, /\/ts\/native\//] } },
  },
})

export default defineConfig({
  test: {
    projects: [
      project('suite', ['__test__/**/*.spec.ts'], seconds(60), ['__test__/{deep,package,soak}/**']),
      project('smoke', ['__test__/smoke/**/*.spec.ts'], seconds(60)),
      project('package', ['__test__/package/**/*.spec.ts'], seconds(240)),
      project('deep', ['__test__/deep/**/*.spec.ts'], seconds(600)),
      project('soak', ['__test__/soak/**/*.spec.ts'], seconds(900)),
    ],
  },
})
