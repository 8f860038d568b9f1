import { request } from 'node:http'

/** What one stretch of media is: a URL, and a range of it. */
export interface MediaPiece {
  readonly path: string
  /** First byte and length; undefined = all of it. */
  readonly range: { readonly first: number; readonly length: number } | undefined
}

export interface Fetched {
  readonly status: number
  readonly body: Buffer
  readonly cacheStatus: string
}

/** As much of a player as a cache gets to see: it reads manifests and asks for what they name, each on its own connection. */
export class VideoPlayer {
  readonly #port: number
  readonly #host: string

  constructor(port: number, host: string) {
    this.#port = port
    this.#host = host
  }

  fetch({ path, range }: MediaPiece): Promise<Fetched> {
    const headers: Record<string, string> = { host: this.#host }
    if (range !== undefined)
      headers.range = `bytes=${range.first}-${range.first + range.length - 1}`
    return new Promise((resolve, reject) => {
      const options = { host: '127.0.0.1', port: this.#port, path, headers, agent: false }
      const sent = request(options, (response) => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () =>
          resolve({
            status: response.statusCode ?? 0,
            body: Buffer.concat(chunks),
            cacheStatus: String(response.headers['cache-status']),
          }),
        )
      })
      sent.setTimeout(30_000, () => sent.destroy(new Error('no answer in 30 s')))
      sent.on('error', reject)
      sent.end()
    })
  }

  async text(path: string): Promise<string> {
    const { status, body } = await this.fetch({ path, range: undefined })
    if (status !== 200) throw new Error(`${path}: ${status}`)
    return body.toString()
  }

  /** The pieces that an HLS media playlist names, in order (RFC 8216 §4.3.2). */
  async playlist(path: string): Promise<{ sequence: number; pieces: MediaPiece[] }> {
    const lines = (await this.text(path)).split('\n')
    const pieces: MediaPiece[] = []
    let range: MediaPiece['range']
    for (const line of lines) {
      const stretch = /^#EXT-X-BYTERANGE:(\d+)@(\d+)$/.exec(line)
      if (stretch !== null) range = { first: Number(stretch[2]), length: Number(stretch[1]) }
      if (line === '' || line.startsWith('#')) continue
      pieces.push({ path: resolvePath(line, path), range })
      range = undefined
    }
    const sequence = Number(/^#EXT-X-MEDIA-SEQUENCE:(\d+)$/m.exec(lines.join('\n'))?.[1] ?? 0)
    return { sequence, pieces }
  }

  /** The pieces of a DASH presentation with a template of numbers and one duration. */
  async presentation(path: string): Promise<MediaPiece[]> {
    const text = await this.text(path)
    const seconds = Number(/mediaPresentationDuration="PT(\d+)S"/.exec(text)?.[1])
    const template = /media="([^"]+)" startNumber="(\d+)" timescale="1" duration="(\d+)"/.exec(text)
    if (template === null) throw new Error(`${path} has no SegmentTemplate`)
    const [, media, start, duration] = template
    return Array.from({ length: seconds / Number(duration) }, (_, i) => {
      const name = media.replace('$Number$', String(Number(start) + i))
      return { path: resolvePath(name, path), range: undefined }
    })
  }
}

function resolvePath(reference: string, base: string): string {
  const { pathname, search } = new URL(reference, `http://host${base}`)
  return pathname + search
}
