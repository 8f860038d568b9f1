import { NameFilter, type NamesImage } from '@larder/certs'
import type { ToWorker } from '../messages.ts'
import type { NameIndex } from './name-index.ts'

/** A worker as far as certificates go. */
export interface CertificateReceiver {
  /** No other process of this machine has it. */
  readonly name: string
  send(message: ToWorker): void
}

/** Names in one message. */
const MAX_NAMES = 5_000
/** A worker that has not said so by then is not waited for. */
const SETTLE_LIMIT_MS = 2_000

/** Tells the workers which names there are and which have changed, and knows who has heard it. */
export class WorkerRelay {
  readonly #index: NameIndex
  readonly #hasFallback: () => boolean
  readonly #receivers = new Map<string, { receiver: CertificateReceiver; seen: number }>()
  #filter: NameFilter
  #changed = new Set<string>()
  #number = 0
  #flushing: NodeJS.Immediate | undefined
  #settling: (() => void)[] = []

  constructor(index: NameIndex, hasFallback: () => boolean) {
    this.#index = index
    this.#hasFallback = hasFallback
    this.#filter = NameFilter.forNames(0)
  }

  /** From now on the worker is told of every change; what is returned are the names before. */
  join(receiver: CertificateReceiver): NamesImage {
    this.#flush()
    // Names that are gone leave their traces; a new worker is a good moment to begin without.
    this.#rebuild()
    this.#receivers.set(receiver.name, { receiver, seen: this.#number })
    return this.#image
  }

  leave(name: string): void {
    this.#receivers.delete(name)
    this.#settle()
  }

  /** Many changes at once become few messages. */
  changed(names: Iterable<string>): void {
    for (const name of names) this.#changed.add(name)
    this.#flushing ??= setImmediate(() => this.#flush())
  }

  seen(name: string, number: number): void {
    const known = this.#receivers.get(name)
    if (known !== undefined) known.seen = number
    this.#settle()
  }

  /** Resolves when every worker has heard of everything until now. */
  async settled(): Promise<void> {
    this.#flush()
    const number = this.#number
    const isHeard = () => [...this.#receivers.values()].every(({ seen }) => seen >= number)
    if (isHeard()) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, SETTLE_LIMIT_MS)
    const look = () => {
      if (isHeard()) resolve()
    }
    this.#settling.push(look)
    await promise
    clearTimeout(timer)
    this.#settling = this.#settling.filter((one) => one !== look)
  }

  get #image(): NamesImage {
    return { filter: this.#filter.image, hasFallback: this.#hasFallback() }
  }

  #flush(): void {
    clearImmediate(this.#flushing)
    this.#flushing = undefined
    if (this.#changed.size === 0) return
    const names = [...this.#changed]
    this.#changed = new Set()
    for (const name of names) this.#filter.add(name)
    if (this.#index.size > this.#filter.capacity) {
      this.#rebuild()
      this.#tell({ type: 'certificate-names', names: this.#image })
    }
    this.#number++
    const hasFallback = this.#hasFallback()
    for (let from = 0; from < names.length; from += MAX_NAMES) {
      const portion = names.slice(from, from + MAX_NAMES)
      const number = this.#number
      this.#tell({ type: 'certificates-changed', number, names: portion, hasFallback })
    }
  }

  #rebuild(): void {
    this.#filter = NameFilter.forNames(this.#index.size)
    for (const name of this.#index.names()) this.#filter.add(name)
  }

  #tell(message: ToWorker): void {
    for (const { receiver } of this.#receivers.values()) receiver.send(message)
  }

  #settle(): void {
    for (const look of this.#settling) look()
  }
}
