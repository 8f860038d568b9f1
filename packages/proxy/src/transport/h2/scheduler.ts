import { isIncremental, LAST_URGENCY, urgencyOf } from './priority.ts'
import type { Http2Stream } from './stream.ts'

/**
 * Which stream may send next (RFC 9218 §10): the most urgent first; of equal urgency those that are only of use whole,
 * one after the other by id, then those that are of use in parts, in turn.
 */
export class Scheduler {
  readonly #whole: Http2Stream[][] = []
  readonly #inParts: Http2Stream[][] = []
  #count = 0

  constructor() {
    for (let urgency = 0; urgency <= LAST_URGENCY; urgency++) {
      this.#whole.push([])
      this.#inParts.push([])
    }
  }

  get isEmpty(): boolean {
    return this.#count === 0
  }

  add(stream: Http2Stream): void {
    if (stream.scheduled) return
    stream.scheduled = true
    this.#count++
    const urgency = urgencyOf(stream.priority)
    if (isIncremental(stream.priority)) {
      this.#inParts[urgency].push(stream)
      return
    }
    const list = this.#whole[urgency]
    let at = list.length
    while (at > 0 && list[at - 1].id > stream.id) at--
    if (at === list.length) list.push(stream)
    else list.splice(at, 0, stream)
  }

  remove(stream: Http2Stream): void {
    if (!stream.scheduled) return
    stream.scheduled = false
    this.#count--
    const list = this.#listOf(stream)
    if (list[0] === stream) list.shift()
    else list.splice(list.indexOf(stream), 1)
  }

  next(): Http2Stream | null {
    if (this.#count === 0) return null
    for (let urgency = 0; urgency <= LAST_URGENCY; urgency++) {
      if (this.#whole[urgency].length > 0) return this.#whole[urgency][0]
      if (this.#inParts[urgency].length > 0) return this.#inParts[urgency][0]
    }
    return null
  }

  /** After `stream`, which `next` gave, sent a part. */
  takeTurn(stream: Http2Stream): void {
    if (!isIncremental(stream.priority)) return
    const list = this.#inParts[urgencyOf(stream.priority)]
    if (list.length > 1 && list[0] === stream) {
      list.shift()
      list.push(stream)
    }
  }

  /** Changes the priority of a stream, scheduled or not. */
  reprioritise(stream: Http2Stream, priority: number): void {
    const scheduled = stream.scheduled
    this.remove(stream)
    stream.priority = priority
    if (scheduled) this.add(stream)
  }

  #listOf(stream: Http2Stream): Http2Stream[] {
    const lists = isIncremental(stream.priority) ? this.#inParts : this.#whole
    return lists[urgencyOf(stream.priority)]
  }
}
