/** Takes the octets that a client sends after the switch. */
export interface OctetSink {
  /** The chunk is the sink's to keep. After a `pause()` made inside this call no chunk comes until `resume()`. */
  onChunk(chunk: Buffer): void
  /**
   * The client has ended its direction, behind the last chunk but perhaps during a pause; ours stays open until `end()`.
   * Does not come when the connection is cut: `onClose` does.
   */
  onEnd(): void
}

export interface UpgradedEnd {
  /**
   * `ended`: both sides have, and the kernel has all that we wrote · `idle`: no octet moved for the idle time ·
   * `aborted`: by `abort()` · `lost`: the client left, stopped reading, or the deadline of a drain was over.
   */
  readonly how: 'ended' | 'idle' | 'aborted' | 'lost'
  /** Octets of the new protocol that the kernel has taken. */
  readonly bytesSent: number
  /** Octets of the new protocol that came, those that were never given to the sink included. */
  readonly bytesReceived: number
}

/**
 * What is left of a connection (HTTP/1.1) or of a stream (HTTP/2, HTTP/3) when it has switched protocols: octets both
 * ways, each direction ended on its own. The limits on time of HTTP no longer count; a peer that takes nothing of what
 * we write is still cut at `writeTimeoutMs`, and one that is silent while we are silent too at the idle time.
 */
export interface UpgradedConnection {
  /** As the client spelt it. */
  readonly protocol: string
  /**
   * Starts the flow, once: first what came behind the request. Until then the transport reads no more than its
   * bounded window.
   */
  consume(sink: OctetSink): void
  pause(): void
  resume(): void
  /**
   * False when the transport's bounded buffer is full (stop until `onDrain`), or when nothing can be sent any more. The
   * transport owns the chunk from here on.
   */
  write(chunk: Uint8Array): boolean
  /** Ends our direction behind what was written; the client may go on sending. */
  end(): void
  /** Cuts both directions at once, in a way that the client can tell from an end. */
  abort(): void
  /** ms without an octet in either direction, above 0; `idleTimeoutMs` of the limits until it is set. Counts from now. */
  setIdleTimeout(ms: number): void
  onDrain: (() => void) | null
  /** Called once, when nothing more will happen; `onClose` of the exchange comes right behind it. */
  onClose: ((end: UpgradedEnd) => void) | null
}

/**
 * Why a switch did not take place; nothing was written, and the exchange is as it was. `not-asked`: the request offers
 * no protocol · `not-offered`: not this one · `request-unfinished`: its content has not been consumed to the end ·
 * `answered`: there is a final response, or the client is gone.
 */
export type SwitchRefusal = 'not-asked' | 'not-offered' | 'request-unfinished' | 'answered'
