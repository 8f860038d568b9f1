/** A stream of requests for objects, the same for the same seed however it is cut into pieces. */
export interface Trace {
  /** What a row of a table calls it. */
  readonly name: string
  /** Ids are below it. */
  readonly idLimit: number
  /** The ids of the next requests; each call goes on behind the one before. */
  fill(ids: Uint32Array): void
  /** Of the object's body; always the same for one id. */
  bytesOf(id: number): number
}

/** How many requests a trace is to have, and what makes it differ from others of its kind. */
export interface TraceOptions {
  readonly seed: number
  /** How many requests will be drawn: what drifts and walks does so over this length. */
  readonly requests: number
  /** Objects that exist from the start. */
  readonly objects: number
}
