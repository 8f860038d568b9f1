import type { RequestBody } from '../transport/exchange.ts'

/**
 * A request body that is cut off beyond `maxBytes`: the origin sees it aborted, never complete, and `onExceeded` says
 * so to the client.
 */
export function limitBody(
  body: RequestBody | null,
  maxBytes: number | undefined,
  onExceeded: (maxBytes: number) => void,
): RequestBody | null {
  if (body === null || maxBytes === undefined || body.length !== undefined) return body
  let bytes = 0
  return {
    length: undefined,
    pause: () => body.pause(),
    resume: () => body.resume(),
    consume(sink) {
      body.consume({
        onChunk(chunk) {
          const before = bytes
          bytes += chunk.length
          if (bytes <= maxBytes) return sink.onChunk(chunk)
          if (before > maxBytes) return
          body.pause()
          onExceeded(maxBytes)
          sink.onAbort()
        },
        onEnd: (trailers) => (bytes <= maxBytes ? sink.onEnd(trailers) : undefined),
        onAbort: () => (bytes <= maxBytes ? sink.onAbort() : undefined),
      })
    },
  }
}
