import type { IncomingMessage, ServerResponse } from 'node:http'
import { contentAt } from './synthetic-content.ts'

/** Manifests and segments made up on the spot: HLS (RFC 8216) and DASH (ISO/IEC 23009-1), as packagers write them. */

export const SEGMENT_SECONDS = 4
export const SEGMENTS = 12
export const SEGMENT_BYTES = 300_000
const LIVE_WINDOW = 5

/** One film in one file, and the stretches of it that its playlist names. */
export const FILM_BYTES = 40 * 1024 * 1024
export const FILM_PIECE_BYTES = 1_500_000

export const contentOfSegment = (number: number) => contentAt(0, SEGMENT_BYTES, number)

export class VideoOrigin {
  /** Requests by path, without the query. */
  readonly asked = new Map<string, number>()
  /** Range fields of requests for the film. */
  readonly ranges: string[] = []
  /** Octets of the film that were sent. */
  filmBytes = 0
  /** The newest live segment. */
  newest = LIVE_WINDOW

  readonly serve = (request: IncomingMessage, response: ServerResponse): void => {
    const path = (request.url ?? '').split('?')[0]
    this.asked.set(path, (this.asked.get(path) ?? 0) + 1)
    const manifest = this.#manifest(path)
    if (manifest !== undefined) {
      const type = path.endsWith('.mpd') ? 'application/dash+xml' : 'application/vnd.apple.mpegurl'
      response.setHeader('content-type', type)
      return void response.end(manifest)
    }
    if (path === '/vod/film.mp4') return this.#film(request, response)
    const number = Number(/segment-(\d+)\.m4s$/.exec(path)?.[1])
    const isThere = number >= 1 && (!path.startsWith('/live/') || number <= this.newest)
    if (!isThere) return void response.writeHead(404).end()
    response.setHeader('content-type', 'video/iso.segment')
    response.end(contentOfSegment(number))
  }

  #manifest(path: string): string | undefined {
    switch (path) {
      case '/vod/main.m3u8':
        return '#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=600000,CODECS="avc1.4d401e"\nhd/index.m3u8\n'
      case '/vod/hd/index.m3u8':
        return mediaPlaylist(1, SEGMENTS, '#EXT-X-ENDLIST\n')
      case '/vod/film.m3u8':
        return filmPlaylist()
      case '/vod/main.mpd':
        return presentation()
      case '/live/index.m3u8':
        return mediaPlaylist(this.newest - LIVE_WINDOW + 1, LIVE_WINDOW, '')
      default:
        return undefined
    }
  }

  #film(request: IncomingMessage, response: ServerResponse): void {
    const range = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '')
    this.ranges.push(request.headers.range ?? '')
    const first = range === null ? 0 : Number(range[1])
    const end = range === null ? FILM_BYTES : Math.min(Number(range[2]) + 1, FILM_BYTES)
    this.filmBytes += end - first
    const headers = { 'content-type': 'video/mp4', etag: '"film"', 'accept-ranges': 'bytes' }
    const contentRange = `bytes ${first}-${end - 1}/${FILM_BYTES}`
    if (range === null) response.writeHead(200, headers)
    else response.writeHead(206, { ...headers, 'content-range': contentRange })
    response.end(contentAt(first, end - first))
  }
}

function mediaPlaylist(first: number, count: number, end: string): string {
  const segments = Array.from(
    { length: count },
    (_, i) => `#EXTINF:${SEGMENT_SECONDS}.0,\nsegment-${first + i}.m4s?token=t${first + i}\n`,
  )
  const head = `#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:${SEGMENT_SECONDS}\n`
  return `${head}#EXT-X-MEDIA-SEQUENCE:${first}\n${segments.join('')}${end}`
}

function filmPlaylist(): string {
  let text = `#EXTM3U\n#EXT-X-VERSION:7\n#EXT-X-TARGETDURATION:${SEGMENT_SECONDS}\n`
  for (let at = 0; at < FILM_BYTES; at += FILM_PIECE_BYTES) {
    const length = Math.min(FILM_PIECE_BYTES, FILM_BYTES - at)
    text += `#EXTINF:${SEGMENT_SECONDS}.0,\n#EXT-X-BYTERANGE:${length}@${at}\nfilm.mp4\n`
  }
  return `${text}#EXT-X-ENDLIST\n`
}

function presentation(): string {
  const duration = SEGMENTS * SEGMENT_SECONDS
  return `<?xml version="1.0"?>
<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static" mediaPresentationDuration="PT${duration}S"
     minBufferTime="PT4S" profiles="urn:mpeg:dash:profile:isoff-live:2011"><Period><AdaptationSet mimeType="video/mp4">
  <SegmentTemplate media="dash/segment-$Number$.m4s" startNumber="1" timescale="1" duration="${SEGMENT_SECONDS}"/>
  <Representation id="hd" bandwidth="600000"/>
</AdaptationSet></Period></MPD>
`
}
