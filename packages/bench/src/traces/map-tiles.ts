import { logNormalBytes } from './body-sizes.ts'
import { Random } from './random.ts'
import type { Trace, TraceOptions } from './trace.ts'
import { Zipf } from './zipf.ts'

const MEDIAN_BYTES = 12 * 1024
const SPREAD = 0.7
const MIN_ZOOM = 4
/** Tiles that a window shows. */
const WINDOW_COLUMNS = 4
const WINDOW_ROWS = 3
const PLACES = 3_000
const PLACE_SKEW = 0.9
const VIEWERS = 500

interface Viewer {
  zoom: number
  /** Of the middle, from 0 to 1 of the whole map. */
  x: number
  y: number
}

/**
 * Maps in tiles, four times as many with each zoom level. Viewers start at a place, places by Zipf's law, and then pan
 * or zoom; each time their window is asked for as a whole: neighbours belong together, and the upper levels to all.
 */
export class MapTilesTrace implements Trace {
  readonly name = 'map tiles: windows around places, pan and zoom'
  readonly idLimit: number
  readonly bytesOf: (id: number) => number
  readonly #random: Random
  readonly #places = new Zipf(PLACES, PLACE_SKEW)
  readonly #placeAt: Float64Array
  readonly #maxZoom: number
  readonly #viewers: Viewer[]
  #pending: number[] = []

  constructor({ seed, objects }: TraceOptions) {
    this.bytesOf = logNormalBytes(seed, MEDIAN_BYTES, SPREAD)
    this.#random = new Random(seed)
    // As deep as has about that many tiles where people look: a sixteenth of all there are.
    this.#maxZoom = Math.max(MIN_ZOOM, Math.ceil(Math.log2(objects * 16) / 2))
    this.idLimit = firstIdOf(this.#maxZoom + 1)
    this.#placeAt = Float64Array.from({ length: PLACES * 2 }, () => this.#random.unit())
    this.#viewers = Array.from({ length: VIEWERS }, () => this.#arrived())
  }

  fill(ids: Uint32Array): void {
    for (let i = 0; i < ids.length; i++) {
      while (this.#pending.length === 0) this.#look()
      ids[i] = this.#pending.pop() ?? 0
    }
  }

  #arrived(): Viewer {
    const place = this.#places.rank(this.#random) * 2
    const levels = this.#maxZoom - MIN_ZOOM + 1
    // Most want to see streets.
    const above = Math.floor(levels * this.#random.unit() ** 2)
    return { zoom: this.#maxZoom - above, x: this.#placeAt[place], y: this.#placeAt[place + 1] }
  }

  #look(): void {
    const at = this.#random.below(VIEWERS)
    const viewer = this.#viewers[at]
    this.#pending = windowOf(viewer)
    const tile = 2 ** -viewer.zoom
    const choice = this.#random.unit()
    if (choice < 0.15) this.#viewers[at] = this.#arrived()
    else if (choice < 0.3) viewer.zoom = Math.min(this.#maxZoom, viewer.zoom + 1)
    else if (choice < 0.4) viewer.zoom = Math.max(MIN_ZOOM, viewer.zoom - 1)
    else {
      viewer.x = within(viewer.x + (this.#random.below(5) - 2) * tile)
      viewer.y = within(viewer.y + (this.#random.below(3) - 1) * tile)
    }
  }
}

function within(position: number): number {
  return Math.min(1 - Number.EPSILON, Math.max(0, position))
}

/** Ids count the tiles of all levels above. */
function firstIdOf(zoom: number): number {
  return (4 ** zoom - 1) / 3
}

function windowOf({ zoom, x, y }: Viewer): number[] {
  const side = 2 ** zoom
  const column = clamped(Math.floor(x * side) - WINDOW_COLUMNS / 2, side - WINDOW_COLUMNS)
  const row = clamped(Math.floor(y * side) - (WINDOW_ROWS >> 1), side - WINDOW_ROWS)
  const ids: number[] = []
  for (let dy = 0; dy < WINDOW_ROWS; dy++) {
    for (let dx = 0; dx < WINDOW_COLUMNS; dx++) {
      ids.push(firstIdOf(zoom) + (row + dy) * side + column + dx)
    }
  }
  return ids
}

function clamped(number: number, most: number): number {
  return Math.min(most, Math.max(0, number))
}
