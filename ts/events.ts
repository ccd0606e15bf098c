import { EventEmitter } from 'node:events'

import { invalidType } from './errors.js'
import { callable } from './validate.js'

type Listener<Args extends readonly unknown[]> = (...args: Args) => void

/** A small typed emitter: a fixed set of events, each with its arguments. */
export class Events<Map extends { [K in keyof Map]: readonly unknown[] }> {
  readonly #emitter = new EventEmitter()
  readonly #names: readonly (keyof Map & string)[]
  /** How many listeners there are in all; hot paths look at nothing else. */
  listeners = 0

  constructor(names: readonly (keyof Map & string)[]) {
    this.#names = names
  }

  add<K extends keyof Map & string>(event: K, listener: Listener<Map[K]>, once: boolean): void {
    this.#check(event, listener)
    if (once) this.#emitter.once(event, listener as unknown as Listener<unknown[]>)
    else this.#emitter.on(event, listener as unknown as Listener<unknown[]>)
    this.#count()
  }

  remove<K extends keyof Map & string>(event: K, listener: Listener<Map[K]>): void {
    this.#check(event, listener)
    this.#emitter.off(event, listener as unknown as Listener<unknown[]>)
    this.#count()
  }

  has(event: keyof Map & string): boolean {
    return this.#emitter.listenerCount(event) > 0
  }

  emit<K extends keyof Map & string>(event: K, ...args: Map[K]): boolean {
    const heard = this.#emitter.emit(event, ...args)
    this.#count()
    return heard
  }

  #check(event: string, listener: unknown): void {
    if (!this.#names.includes(event as keyof Map & string)) {
      throw invalidType('event', event, `one of ${this.#names.map((name) => `'${name}'`).join(', ')}`)
    }
    callable('listener', listener)
  }

  #count(): void {
    this.listeners = this.#names.reduce((sum, name) => sum + this.#emitter.listenerCount(name), 0)
  }
}
