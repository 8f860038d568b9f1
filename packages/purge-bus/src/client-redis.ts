import type { PurgeTransport } from './client-transport.ts'
import { within } from './deadline.ts'
import type { PurgeMessage } from './purge-message.ts'
import type { Receipt } from './receipt.ts'
import { ReceiptBook } from './receipt-book.ts'
import { clusterNode } from './redis/cluster-node.ts'
import { meetMachines } from './redis/known-machines.ts'
import { Names } from './redis/names.ts'
import { type Numbering, PurgeLog, readAcknowledgement } from './redis/purge-log.ts'
import { DEFAULTS } from './redis/redis-bus-options.ts'
import { connectForCommands, connectForMessages, type RedisPlace } from './redis/redis-place.ts'
import { Subscription } from './redis/subscription.ts'
import { scheduledReceipt } from './scheduled-receipt.ts'

/** How long Redis may be away, or settle, until the caller is told. */
const PUBLISH_WITHIN_MS = 5_000
const TRY_EVERY_MS = 100
const LOOK_EVERY_MS = 500
const ANSWER_WITHIN_MS = 1_500
/** Of someone who has never applied anything. */
const NOBODY = { epoch: '', position: 0 }

/** Numbers purges in Redis itself; acknowledgements come by its channel. */
export function redisPurgeClient(place: RedisPlace, prefix: string): PurgeTransport {
  return new RedisPurgeClient(place, prefix)
}

class RedisPurgeClient implements PurgeTransport {
  readonly #client
  readonly #log: PurgeLog
  readonly #subscription: Subscription
  readonly #book = new ReceiptBook()
  #trouble = 'there is no connection'
  #looking: NodeJS.Timeout | undefined
  #waiting = 0

  constructor(place: RedisPlace, prefix: string) {
    const names = new Names(prefix)
    const note = (error: unknown) => {
      this.#trouble = String(error)
    }
    this.#client = connectForCommands(place, note)
    this.#log = new PurgeLog(this.#client, names, DEFAULTS)
    this.#subscription = new Subscription({
      channels: [names.acks],
      connect: () => connectForMessages(place, clusterNode(this.#client, names)),
      onMessage: (_, text) => {
        const said = readAcknowledgement(text)
        for (const [worker, number] of Object.entries(said?.workers ?? {})) {
          this.#book.setWorker(said?.machine ?? '', worker, number)
        }
      },
      onSubscribed: () => {},
      onLost: () => {},
      onError: note,
    })
    this.#subscription.start()
  }

  async publish(message: PurgeMessage, waitMs: number): Promise<Receipt> {
    const startedAt = performance.now()
    const numbering = await this.#number(message, startedAt + PUBLISH_WITHIN_MS)
    if (numbering === 'full') throw new Error('too many purges are scheduled already')
    if ('due' in numbering) return scheduledReceipt(numbering.due)
    const { number } = numbering
    await this.#look()
    this.#book.track(number, startedAt)
    await this.#wait(number, waitMs - (performance.now() - startedAt))
    return this.#book.receipt(`${number}`, number)
  }

  async close(): Promise<void> {
    clearInterval(this.#looking)
    this.#subscription.stop()
    this.#client.disconnect()
  }

  /** Only what surely had no effect is tried again. */
  async #number(message: PurgeMessage, endsAt: number): Promise<Numbering> {
    const list = [{ message, text: JSON.stringify(message) }]
    for (;;) {
      if (this.#log.connected) {
        const answer = this.#log.publish(NOBODY, list)
        const numbers = await within(ANSWER_WITHIN_MS, answer, 'the number of a purge')
        if (typeof numbers !== 'string') return numbers[0]
        this.#trouble = 'it has just started, and the machines give back what it may have lost'
      }
      if (performance.now() > endsAt) {
        throw new Error(`Redis takes no purges (${this.#trouble}); publish again later`)
      }
      await new Promise((done) => setTimeout(done, TRY_EVERY_MS))
    }
  }

  async #wait(number: number, waitMs: number): Promise<void> {
    if (waitMs <= 0) return
    this.#waiting++
    this.#looking ??= setInterval(() => void this.#look().catch(() => {}), LOOK_EVERY_MS)
    try {
      await this.#book.wait(number, waitMs)
    } finally {
      if (--this.#waiting === 0) {
        clearInterval(this.#looking)
        this.#looking = undefined
      }
    }
  }

  /** Who is there, and how far. */
  async #look(): Promise<void> {
    const beat = await within(ANSWER_WITHIN_MS, this.#log.beat(NOBODY, '', {}), 'a heartbeat')
    meetMachines(this.#book, beat.machines, DEFAULTS.cutOffAfterMs, undefined)
  }
}
