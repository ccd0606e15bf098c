/** Where a demo takes place. */
export interface Site {
  /** The address that the receiver listens on. */
  readonly host: string
  /** 0: any. */
  readonly port: number
  /** The sender's own address. */
  readonly from: string
  /** The interface at each end, where what they drop is counted. */
  readonly links: { readonly receiver: string; readonly sender: string } | undefined
  /** What runs each process where it belongs: a program and its arguments before those of Node.js. */
  readonly through: { readonly receiver: readonly string[]; readonly sender: readonly string[] }
}

/** Within the network namespace that the demo was started in. */
export const LOOPBACK: Site = {
  host: '127.0.0.1',
  port: 0,
  from: '127.0.0.1',
  links: undefined,
  through: { receiver: [], sender: [] },
}
