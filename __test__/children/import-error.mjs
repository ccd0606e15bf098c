// Imports the package from the folder that is given, as the runtime that is given, and makes a pool.
const [entry, runtime] = process.argv.slice(2)
if (runtime === 'bun') Object.defineProperty(process.versions, 'bun', { value: '1.3.0' })
if (runtime === 'deno') globalThis.Deno = {}
const { BufferPool, WraithError, recommendPoolSize } = await import(entry)
// What needs no addon works all the same.
const size = recommendPoolSize({ packetsPerSecond: 1, processingMs: 1 })
try {
  new BufferPool({ capacity: 1 })
} catch (error) {
  const { code, message, cause } = error
  console.log(
    JSON.stringify({
      code,
      message,
      size,
      wraith: error instanceof WraithError,
      caused: cause instanceof Error,
    }),
  )
}
