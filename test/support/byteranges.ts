export interface BodyPart {
  readonly contentType: string | undefined
  readonly contentRange: string
  readonly body: Buffer
}

/** The parts of a multipart/byteranges body, byte for byte (RFC 9110 §14.6); throws at whatever is not in its place. */
export function parseByteranges(contentType: string, body: Buffer): BodyPart[] {
  const boundary = /^multipart\/byteranges; ?boundary="?([^"]+)"?$/.exec(contentType)?.[1]
  if (boundary === undefined) throw new Error(`Not multipart/byteranges: ${contentType}`)
  const parts: BodyPart[] = []
  let at = take(body, 0, `--${boundary}`)
  while (body.toString('latin1', at, at + 2) !== '--') {
    at = take(body, at, '\r\n')
    const headEnd = body.indexOf('\r\n\r\n', at)
    const lines = body.toString('latin1', at, headEnd).split('\r\n')
    const fields = new Map(
      lines.map((line) => [line.split(': ')[0].toLowerCase(), line.split(': ')[1]]),
    )
    const contentRange = fields.get('content-range') ?? ''
    const [, first, last] = /^bytes (\d+)-(\d+)\/\d+$/.exec(contentRange) ?? []
    const start = headEnd + 4
    const end = start + Number(last) - Number(first) + 1
    parts.push({
      contentType: fields.get('content-type'),
      contentRange,
      body: body.subarray(start, end),
    })
    at = take(body, end, `\r\n--${boundary}`)
  }
  if (take(body, at, '--\r\n') !== body.length) throw new Error('There are bytes after the end.')
  return parts
}

function take(body: Buffer, at: number, text: string): number {
  const found = body.toString('latin1', at, at + text.length)
  if (found !== text)
    throw new Error(`Expected ${JSON.stringify(text)}, got ${JSON.stringify(found)}`)
  return at + text.length
}
