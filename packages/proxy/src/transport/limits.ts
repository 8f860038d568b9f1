/** What a client may take, as the engines enforce it. Filled from the configuration (`limits`, `timeouts`). */
export interface TransportLimits {
  /** Field section, decoded, request line included: bytes. HTTP/1.1 answers 431, HTTP/2 resets the stream. */
  readonly maxHeaderBytes: number
  readonly maxHeaderCount: number
  /** Request target, bytes; 414 above. */
  readonly maxTargetBytes: number
  readonly maxRequestsPerConnection: number
  /** HTTP/2 and HTTP/3. */
  readonly maxConcurrentStreams: number
  /** Resets of streams by either side that end a connection, per `streamResetWindowMs`. */
  readonly maxStreamResets: number
  readonly streamResetWindowMs: number
  /** From the first byte of a request (or the accept) to the end of its head, in total. */
  readonly headerTimeoutMs: number
  /** Keep-alive: no request under way. */
  readonly idleTimeoutMs: number
  readonly tlsHandshakeTimeoutMs: number
  /** A request body must bring `minBodyBytesPerSecond` over any window of `bodyRateWindowMs`, and end in `bodyTimeoutMs`. */
  readonly minBodyBytesPerSecond: number
  readonly bodyRateWindowMs: number
  readonly bodyTimeoutMs: number
  /** No progress of the peer taking bytes that we want to send. */
  readonly writeTimeoutMs: number
  /** Open connections of one worker, and of one address in one worker; beyond, the connection is closed at once. */
  readonly maxConnections: number
  readonly maxConnectionsPerAddress: number
}

export const DEFAULT_LIMITS: TransportLimits = {
  maxHeaderBytes: 32 * 1024,
  maxHeaderCount: 128,
  maxTargetBytes: 8 * 1024,
  maxRequestsPerConnection: 100_000,
  maxConcurrentStreams: 128,
  maxStreamResets: 500,
  streamResetWindowMs: 30_000,
  headerTimeoutMs: 10_000,
  idleTimeoutMs: 60_000,
  tlsHandshakeTimeoutMs: 10_000,
  minBodyBytesPerSecond: 240,
  bodyRateWindowMs: 30_000,
  bodyTimeoutMs: 300_000,
  writeTimeoutMs: 30_000,
  maxConnections: 50_000,
  maxConnectionsPerAddress: 20_000,
}
