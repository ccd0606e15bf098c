import type { Reply, Request } from './messages.js'

/**
 * The child's end of the conversation: answers requests one by one. The child ends when the parent lets go of it or
 * dies, and at the latest after `limitMs`, whatever happens.
 */
export function serve(limitMs: number, answer: (request: Request) => Promise<unknown>): void {
  setTimeout(() => process.exit(3), limitMs).unref()
  process.on('disconnect', () => process.exit(0))
  let last: Promise<void> = Promise.resolve()
  process.on('message', (request: Request) => {
    last = last.then(async () => {
      let reply: Reply
      try {
        reply = { value: await answer(request) }
      } catch (error) {
        reply = { error: error instanceof Error ? (error.stack ?? error.message) : String(error) }
      }
      say(reply)
    })
  })
}

/** Says something to the parent; nothing when it is gone. */
export function say(message: object): void {
  if (process.connected) process.send?.(message)
}
