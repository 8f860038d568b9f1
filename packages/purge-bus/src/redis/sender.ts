import { within } from '../deadline.ts'
import { PurgeOverloadError } from '../purge-bus.ts'
import type { NumberedPurge, PurgeMessage } from '../purge-message.ts'
import type { Numbering, PurgeLog, Standing, ToNumber } from './purge-log.ts'

const MAX_BATCH = 256
const MAX_BATCH_CHARACTERS = 1024 * 1024
/** Batches whose answer is owed. */
const MAX_UNDER_WAY = 4
const MAX_QUEUED_CHARACTERS = 128 * 1024 * 1024
const ANSWER_WITHIN_MS = 1_000

/** `epoch`: in which the number was given. */
export type Sent = Exclude<Numbering, 'full'> & { readonly epoch: string }

interface Queued extends ToNumber {
  readonly done: (sent: Sent | 'full') => void
  readonly failed: (error: unknown) => void
}

/** Redis gives no numbers now; it may be asked again after the next heartbeat. */
export class NotNowError extends Error {}

/** Has purges numbered, many at once while Redis is busy with the ones before. */
export class Sender {
  readonly #log: PurgeLog
  readonly #maxQueued: number
  readonly #standing: () => Standing
  readonly #onNumbers: (epoch: string, purges: readonly NumberedPurge[]) => void
  #queue: Queued[] = []
  #characters = 0
  #underWay = 0
  #scheduled = false

  /** `onNumbers` is told what was numbered, in order, before those who wait for it. */
  constructor(
    log: PurgeLog,
    maxQueued: number,
    standing: () => Standing,
    onNumbers: (epoch: string, purges: readonly NumberedPurge[]) => void,
  ) {
    this.#log = log
    this.#standing = standing
    this.#onNumbers = onNumbers
    this.#maxQueued = maxQueued
  }

  /** Rejects with a `PurgeOverloadError` when nothing was tried; otherwise Redis may have numbered it all the same. */
  send(message: PurgeMessage, once?: ToNumber['once']): Promise<Sent | 'full'> {
    const text = JSON.stringify(message)
    const characters = this.#characters + text.length
    if (this.#queue.length >= this.#maxQueued || characters > MAX_QUEUED_CHARACTERS) {
      const many = `${this.#queue.length} purges wait for Redis`
      return Promise.reject(new PurgeOverloadError(`${many}; publish again later`))
    }
    this.#characters = characters
    return new Promise((done, failed) => {
      this.#queue.push({ message, text, once, done, failed })
      this.#schedule()
    })
  }

  #schedule(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    // What else is published in this turn comes along.
    queueMicrotask(() => {
      this.#scheduled = false
      while (this.#queue.length > 0 && this.#underWay < MAX_UNDER_WAY) {
        void this.#send(this.#nextBatch())
      }
    })
  }

  #nextBatch(): Queued[] {
    let count = 0
    let characters = 0
    while (count < this.#queue.length && count < MAX_BATCH) {
      characters += this.#queue[count].text.length
      if (count > 0 && characters > MAX_BATCH_CHARACTERS) break
      count++
    }
    const batch = this.#queue.splice(0, count)
    for (const { text } of batch) this.#characters -= text.length
    return batch
  }

  async #send(batch: readonly Queued[]): Promise<void> {
    this.#underWay++
    try {
      const standing = this.#standing()
      const { epoch } = standing
      const answer = this.#log.publish(standing, batch)
      const numbers = await within(ANSWER_WITHIN_MS, answer, 'numbers for purges')
      if (typeof numbers === 'string') throw new NotNowError(`Redis is ${numbers}`)
      this.#onNumbers(epoch, numberedOf(batch, numbers))
      for (const [index, { done }] of batch.entries()) {
        const numbering = numbers[index]
        done(numbering === 'full' ? 'full' : { ...numbering, epoch })
      }
    } catch (error) {
      for (const { failed } of batch) failed(error)
    } finally {
      this.#underWay--
      this.#schedule()
    }
  }
}

export function numberedOf(
  batch: readonly { readonly message: PurgeMessage }[],
  numbers: readonly Numbering[],
): NumberedPurge[] {
  return numbers.flatMap((numbering, index) =>
    numbering !== 'full' && 'number' in numbering
      ? [{ number: numbering.number, message: batch[index].message }]
      : [],
  )
}
