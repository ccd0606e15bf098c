import { createInterface } from 'node:readline'
import { childPath } from './child.js'
import type { Namespace, PipedProcess } from './netns.js'

/**
 * A packet socket on an interface of a namespace: sends frames as they stand, and sees those that the kernel's stack gets, which are
 * not those that an AF_XDP socket took. The kernel has taken VLAN tags out of what is seen. It ends with the namespace at the latest.
 */
export class Tap {
  readonly #child: PipedProcess
  readonly #lines: AsyncIterator<string>

  private constructor(child: PipedProcess) {
    this.#child = child
    this.#lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  }

  static async on(namespace: Namespace, interfaceName: string): Promise<Tap> {
    const tap = new Tap(namespace.spawn('perl', [childPath('packet-socket.pl'), interfaceName]))
    await tap.#line()
    return tap
  }

  send(...frames: readonly Buffer[]): void {
    this.#child.stdin.write(frames.map((frame) => `${frame.toString('hex')}\n`).join(''))
  }

  /** The next frame that the stack gets and `wanted` wants; others are passed over. */
  async next(wanted: (frame: Buffer) => boolean = () => true): Promise<Buffer> {
    for (;;) {
      const frame = Buffer.from(await this.#line(), 'hex')
      if (wanted(frame)) return frame
    }
  }

  async #line(): Promise<string> {
    const { value, done } = await this.#lines.next()
    if (done) throw new Error('the packet socket has ended')
    return value
  }
}
