/** What things are called in Redis. All keys carry one hash tag: scripts need them on one node of a cluster. */
export class Names {
  /** Where anyone may publish a purge; its other channels begin with it. */
  readonly channel: string

  constructor(prefix: string) {
    this.channel = `${prefix}purge`
  }

  /** What a cluster makes the slot of: it ends at the first brace. */
  get tag(): string {
    return this.channel.split('}', 1)[0]
  }

  /** Purges with their numbers. */
  get numbered(): string {
    return `${this.channel}:numbered`
  }

  /** Who has applied what. */
  get acks(): string {
    return `${this.channel}:acks`
  }

  /** Messages that were not understood, and why. */
  get errors(): string {
    return `${this.channel}:errors`
  }

  /** Hash: epoch, run, seq, base, settled, history. See scripts.ts. */
  get state(): string {
    return this.#key('state')
  }

  /** Stream: its ids are the numbers. */
  get log(): string {
    return this.#key('log')
  }

  /** Hash: machine → when it was heard of, and its workers. */
  get machines(): string {
    return this.#key('machines')
  }

  /** Hash: reference, or id of a scheduled purge → number. */
  get references(): string {
    return this.#key('references')
  }

  /** Sorted set: the same by the time of their last use. */
  get referenceTimes(): string {
    return this.#key('reference-times')
  }

  /** Sorted set: ids of scheduled purges by the instant at which they are due. */
  get due(): string {
    return this.#key('due')
  }

  /** Hash: id of a scheduled purge → message. */
  get dueMessages(): string {
    return this.#key('due-messages')
  }

  /** The number that a message without one was given last. */
  raw(hash: string): string {
    return this.#key(`raw:${hash}`)
  }

  /** Keeps a complaint from being made by every machine. */
  bad(hash: string): string {
    return this.#key(`bad:${hash}`)
  }

  #key(name: string): string {
    return `{${this.channel}}:${name}`
  }
}
