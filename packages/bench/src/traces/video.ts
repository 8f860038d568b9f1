import { logNormalBytes } from './body-sizes.ts'
import { Random } from './random.ts'
import type { Trace, TraceOptions } from './trace.ts'
import { Zipf } from './zipf.ts'

/** Segments of two seconds in one of the lower qualities: they fit into memory. */
const MEDIAN_BYTES = 380 * 1024
const SPREAD = 0.35
const SEGMENTS_PER_TITLE = 300
const LIVE_SHARE = 0.5
const LIVE_CHANNELS = 20
/** Viewers of the live edge are at most so many segments behind it. */
const MAX_BEHIND = 6
const VIEWERS = 1_000
/** Of leaving after a segment: one in 40, a viewer stays for 80 seconds on average. */
const LEAVES = 1 / 40
const TITLE_SKEW = 0.8

interface Viewer {
  title: number
  segment: number
}

/**
 * Video in segments. Half of the requests follow the live edge of a few channels: every segment is new, popular for
 * seconds, and never asked for again. The others play titles by Zipf's law from the start, segment by segment, and most
 * leave before the end.
 */
export class VideoTrace implements Trace {
  readonly name = 'video: live edge and titles, segment by segment'
  readonly idLimit: number
  readonly bytesOf: (id: number) => number
  readonly #random: Random
  readonly #titles: Zipf
  readonly #channels = new Zipf(LIVE_CHANNELS, 1)
  readonly #viewers: Viewer[]
  /** Ids below are titles' segments; live segments come behind, all channels of one instant together. */
  readonly #liveStart: number
  readonly #requestsPerEdge: number
  #count = 0

  constructor({ seed, requests, objects }: TraceOptions) {
    this.bytesOf = logNormalBytes(seed, MEDIAN_BYTES, SPREAD)
    this.#random = new Random(seed)
    const titles = Math.max(1, Math.floor(objects / SEGMENTS_PER_TITLE))
    this.#titles = new Zipf(titles, TITLE_SKEW)
    this.#liveStart = titles * SEGMENTS_PER_TITLE
    // A viewer asks for one segment in the time that a channel makes one.
    this.#requestsPerEdge = VIEWERS
    this.#viewers = Array.from({ length: VIEWERS }, () => this.#arrived())
    const edges = Math.ceil(requests / this.#requestsPerEdge) + MAX_BEHIND + 1
    this.idLimit = this.#liveStart + edges * LIVE_CHANNELS
  }

  fill(ids: Uint32Array): void {
    for (let i = 0; i < ids.length; i++) {
      this.#count++
      ids[i] = this.#random.unit() < LIVE_SHARE ? this.#live() : this.#title()
    }
  }

  #live(): number {
    const edge = MAX_BEHIND + Math.floor(this.#count / this.#requestsPerEdge)
    const behind = Math.floor(MAX_BEHIND * this.#random.unit() ** 3)
    return this.#liveStart + (edge - behind) * LIVE_CHANNELS + this.#channels.rank(this.#random)
  }

  #title(): number {
    const at = this.#random.below(VIEWERS)
    const viewer = this.#viewers[at]
    const id = viewer.title * SEGMENTS_PER_TITLE + viewer.segment++
    const ends = viewer.segment === SEGMENTS_PER_TITLE || this.#random.unit() < LEAVES
    if (ends) this.#viewers[at] = this.#arrived()
    return id
  }

  #arrived(): Viewer {
    return { title: this.#titles.rank(this.#random), segment: 0 }
  }
}
