import { fromNative } from '../errors.js'
import { type NativeSlots, native } from '../native.js'
import { PrivateMemory, SharedMemory } from './memory.js'
import { checkAttachOptions, checkPoolOptions } from './options.js'
import { createShared, type Sharing } from './sharing.js'
import type { AttachOptions, BufferPoolOptions } from './types.js'

/** A shared pool that is attached to, and what it leaves open. */
export class Attaching {
  readonly sharing: Sharing
  readonly options: AttachOptions

  constructor(sharing: Sharing, options: AttachOptions) {
    this.sharing = sharing
    this.options = options
  }
}

/** What {@link partsOf} gives. */
export type PoolParts = ReturnType<typeof partsOf>

/** What a pool is built upon: private, shared, or attached to. */
export function partsOf(given: BufferPoolOptions | Attaching) {
  return given instanceof Attaching ? attached(given) : create(given)
}

function create(given: BufferPoolOptions) {
  const options = checkPoolOptions(given)
  const { bufferSize, capacity, mlock, hugePages } = options
  if (options.shared) return overShared(createShared(options), options)
  const made = fromNative(() => native().createPool(bufferSize, capacity, mlock, hugePages), 'capacity')
  return {
    ...options,
    native: made as NativeSlots,
    id: made.id,
    sharing: undefined,
    memory: (remapped: () => void) => new PrivateMemory(made, bufferSize, remapped),
  }
}

function attached({ sharing, options }: Attaching) {
  return overShared(sharing, checkAttachOptions(options, sharing.native.capacity))
}

function overShared<O extends object>(sharing: Sharing, options: O) {
  const { native: made } = sharing
  const { bufferSize, capacity } = made
  return {
    ...options,
    bufferSize,
    capacity,
    native: made as NativeSlots,
    id: String(made.number),
    sharing,
    memory: () => new SharedMemory(made, bufferSize),
  }
}
