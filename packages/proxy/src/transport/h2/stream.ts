import type { Connection } from './connection.ts'
import { DEFAULT_WINDOW_BYTES } from './frame.ts'
import type { Http2Exchange } from './http2-exchange.ts'
import type { Priority } from './priority.ts'
import type { RequestContent } from './request-content.ts'

/** Response content that a stream holds before its writer must wait, bytes. */
const MAX_QUEUED_BYTES = 64 * 1024

/**
 * One stream (RFC 9113 §5): what it may still receive and send, and what waits to be sent. It exists from the request's
 * HEADERS until both sides are through with it or one of them resets it; a hit that is answered at once never has one.
 */
export class Http2Stream {
  readonly id: number
  readonly connection: Connection
  priority: Priority
  /** In the scheduler's lists. */
  scheduled: boolean
  /** No longer in the connection's map. */
  closed: boolean
  /** The whole response is in the output: what remains is whether the socket takes it. */
  complete: boolean

  /** The client has not sent END_STREAM. */
  remoteOpen: boolean
  receiveWindowBytes: number
  /** Consumed since the last WINDOW_UPDATE. */
  consumedBytes: number
  content: RequestContent | null

  /** Below zero after a SETTINGS that shrinks it (RFC 9113 §6.9.2). */
  sendWindowBytes: number
  /** Field blocks that wait: interim responses, then the final one. */
  heads: Buffer[]
  finalHeadQueued: boolean
  chunks: Uint8Array[]
  /** Sent of the first chunk. */
  chunkOffset: number
  queuedBytes: number
  /** Nothing will be added. */
  ended: boolean
  /** END_STREAM is in the output while the client has not sent its own: half closed (RFC 9113 §5.1), of tunnels only. */
  endSent: boolean
  /** Switched by extended CONNECT (RFC 8441): its directions end on their own, and at no time that HTTP sets. */
  tunnel: boolean
  trailers: Buffer | null
  sentBytes: number
  exchange: Http2Exchange | null

  /** What `stream-watch.ts` noted: since when, at which counts. */
  readonly openedAt: number
  receiveNotedAt: number
  receiveNotedBytes: number
  sendNotedAt: number
  sendNotedBytes: number
  sendNotedTotalBytes: number

  constructor(connection: Connection, id: number, priority: Priority, remoteOpen: boolean) {
    this.id = id
    this.connection = connection
    this.priority = priority
    this.scheduled = false
    this.closed = false
    this.complete = false
    this.remoteOpen = remoteOpen
    this.receiveWindowBytes = DEFAULT_WINDOW_BYTES
    this.consumedBytes = 0
    this.content = null
    this.sendWindowBytes = connection.peer.initialWindowBytes
    this.heads = []
    this.finalHeadQueued = false
    this.chunks = []
    this.chunkOffset = 0
    this.queuedBytes = 0
    this.ended = false
    this.endSent = false
    this.tunnel = false
    this.trailers = null
    this.sentBytes = 0
    this.exchange = null
    this.openedAt = connection.now
    this.receiveNotedAt = connection.now
    this.receiveNotedBytes = 0
    this.sendNotedAt = connection.now
    this.sendNotedBytes = 0
    this.sendNotedTotalBytes = connection.sentBytes
  }

  /** There is something that could go out now, as far as this stream's own window allows. */
  get hasToSend(): boolean {
    if (this.closed || this.endSent) return false
    if (this.heads.length > 0) return true
    if (this.queuedBytes > 0) return this.sendWindowBytes > 0
    return this.ended && this.finalHeadQueued
  }

  /** Call after every change of what waits. */
  schedule(): void {
    if (!this.hasToSend) return
    this.connection.scheduler.add(this)
    this.connection.wake()
  }

  /** Content to be sent, by reference; false when its writer ought to wait. */
  queue(content: Uint8Array): boolean {
    if (content.length > 0) {
      this.chunks.push(content)
      this.queuedBytes += content.length
      this.schedule()
    }
    return this.queuedBytes < MAX_QUEUED_BYTES
  }

  /** The sink took content: give its window back (RFC 9113 §6.9.1). */
  consumed(bytes: number): void {
    this.connection.consumed(this, bytes)
  }

  /** Somebody wants the content: a client that waits for 100 (Continue) hears it now (RFC 9110 §10.1.1). */
  contentWanted(): void {
    this.receiveNotedAt = this.connection.now
    this.receiveNotedBytes = this.content?.receivedBytes ?? 0
    this.exchange?.continueIfExpected()
  }

  /** A callback threw. */
  failed(error: unknown): void {
    this.connection.doorFailed(this.id, error)
  }

  /** Lets go of what waits. */
  release(): void {
    this.heads = []
    this.chunks = []
    this.queuedBytes = 0
    this.trailers = null
  }
}
