import { invalidType } from '../errors.js'

const KIND = 'wraith-transport/channel'

/**
 * What `channel.share()` returns and `BufferChannel.attach` takes: a plain object that can be posted to another worker thread
 * of this process. It keeps nothing alive. Its id is random, 128 bits, and cannot be guessed.
 */
export interface ChannelToken {
  readonly kind: 'wraith-transport/channel'
  readonly id: string
}

export function makeToken(id: string): ChannelToken {
  return Object.freeze({ kind: KIND, id })
}

/** The id of a token. Whether anything has it, native knows. */
export function checkToken(token: ChannelToken): string {
  if (typeof token === 'object' && token !== null) {
    const { kind, id } = token
    if (kind === KIND && typeof id === 'string' && /^[0-9a-f]{32}$/.test(id)) return id
  }
  throw invalidType('token', token, "what a channel's share() returned")
}
