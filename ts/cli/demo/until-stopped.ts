import { Children } from './children.js'

const SIGNALS = { SIGINT: 130, SIGTERM: 143, SIGHUP: 129 } as const

/** Runs a demo and returns its exit code. Its processes end with it, also when a signal ends it. */
export async function untilStopped(run: (children: Children) => Promise<number>): Promise<number> {
  const children = new Children()
  const stop = (signal: NodeJS.Signals): void => {
    children
      .stop()
      .catch((error: Error) => process.stderr.write(`wraith-transport: ${error.message}\n`))
      .finally(() => process.exit(SIGNALS[signal as keyof typeof SIGNALS]))
  }
  for (const signal of Object.keys(SIGNALS)) process.once(signal, stop)
  // A reader that went away (`demo | head`) ends the demo, and its processes with it.
  const broken = (): void => stop('SIGHUP')
  process.stdout.once('error', broken)
  try {
    return await run(children)
  } finally {
    await children.stop()
    for (const signal of Object.keys(SIGNALS)) process.removeListener(signal, stop)
    process.stdout.removeListener('error', broken)
  }
}
