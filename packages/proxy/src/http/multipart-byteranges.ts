import type { ByteRange } from './range.ts'

/** The frame of a multipart/byteranges body (RFC 9110 §14.6): what goes before each part and after the last. */
export interface MultipartPlan {
  readonly contentType: string
  readonly heads: readonly Buffer[]
  readonly tail: Buffer
  /** Bytes of the whole body. */
  readonly length: number
}

export function planMultipart(
  ranges: readonly ByteRange[],
  completeLength: number,
  contentType: string | undefined,
  boundary: string,
): MultipartPlan {
  const type = contentType === undefined ? '' : `Content-Type: ${contentType}\r\n`
  let length = 0
  const heads = ranges.map((range, index) => {
    const head = Buffer.from(
      `${index === 0 ? '' : '\r\n'}--${boundary}\r\n${type}Content-Range: bytes ${range.first}-${range.last}/${completeLength}\r\n\r\n`,
      'latin1',
    )
    length += head.length + range.last - range.first + 1
    return head
  })
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`, 'latin1')
  return {
    contentType: `multipart/byteranges; boundary=${boundary}`,
    heads,
    tail,
    length: length + tail.length,
  }
}
