import { Fields } from '../../packages/proxy/src/http/fields.ts'

/** A field section as tests write it: one value, several lines, or null to leave out what is there by default. */
export type FieldValues = Readonly<Record<string, string | readonly string[] | null>>

export function fieldLines(values: FieldValues): string[] {
  const lines: string[] = []
  for (const [name, value] of Object.entries(values)) {
    if (value === null) continue
    for (const one of typeof value === 'string' ? [value] : value) lines.push(`${name}: ${one}`)
  }
  return lines
}

export interface MessageHead {
  readonly startLine: string
  readonly fields: Fields
  /** Everything up to and with the empty line, as it came. */
  readonly text: string
}

/** Hears of one HTTP/1.1 message after the other on a connection. */
export interface MessageSink {
  onHead(head: MessageHead): void
  onBody(chunk: Buffer): void
  onEnd(trailers: Fields): void
}

type Framing = 'none' | 'chunked' | 'close' | { readonly bytes: number }

/**
 * A plain reader of HTTP/1.1 messages for test clients and origins. It trusts its peer to be well-formed: what is under
 * test is at the other end.
 */
export class MessageReader {
  readonly #sink: MessageSink
  readonly #framingOf: (head: MessageHead) => Framing
  #input: Buffer = Buffer.alloc(0)
  #state: 'head' | 'length' | 'chunk-size' | 'chunk' | 'chunk-end' | 'trailers' | 'close' = 'head'
  #left = 0

  constructor(sink: MessageSink, framingOf: (head: MessageHead) => Framing) {
    this.#sink = sink
    this.#framingOf = framingOf
  }

  /** Bytes that belong to no message yet. */
  get surplus(): Buffer {
    return this.#input
  }

  push(chunk: Buffer): void {
    this.#input = Buffer.concat([this.#input, chunk])
    while (this.#step());
  }

  /** The peer has closed its side; true when that ended a message well. */
  close(): boolean {
    if (this.#state === 'close') this.#end(new Fields())
    else if (this.#state !== 'head' || this.#input.length > 0) return false
    return true
  }

  #step(): boolean {
    switch (this.#state) {
      case 'head':
        return this.#readHead()
      case 'length':
      case 'chunk':
        return this.#readBytes()
      case 'chunk-size':
        return this.#readChunkSize()
      case 'chunk-end':
        if (this.#input.length < 2) return false
        this.#input = this.#input.subarray(2)
        this.#state = 'chunk-size'
        return true
      case 'trailers':
        return this.#readTrailers()
      case 'close':
        if (this.#input.length > 0) this.#sink.onBody(this.#input)
        this.#input = Buffer.alloc(0)
        return false
    }
  }

  #readHead(): boolean {
    const end = this.#input.indexOf('\r\n\r\n')
    if (end < 0) return false
    const text = this.#input.toString('latin1', 0, end + 4)
    this.#input = this.#input.subarray(end + 4)
    const [startLine, ...lines] = text.slice(0, -4).split('\r\n')
    const head = { startLine, fields: parseLines(lines), text }
    this.#sink.onHead(head)
    const framing = this.#framingOf(head)
    if (framing === 'none') this.#end(new Fields())
    else if (framing === 'chunked') this.#state = 'chunk-size'
    else if (framing === 'close') this.#state = 'close'
    else if (framing.bytes === 0) this.#end(new Fields())
    else {
      this.#left = framing.bytes
      this.#state = 'length'
    }
    return true
  }

  #readBytes(): boolean {
    if (this.#input.length === 0) return false
    const taken = this.#input.subarray(0, this.#left)
    this.#input = this.#input.subarray(taken.length)
    this.#left -= taken.length
    this.#sink.onBody(taken)
    if (this.#left > 0) return true
    if (this.#state === 'length') this.#end(new Fields())
    else this.#state = 'chunk-end'
    return true
  }

  #readChunkSize(): boolean {
    const end = this.#input.indexOf('\r\n')
    if (end < 0) return false
    this.#left = Number.parseInt(this.#input.toString('latin1', 0, end), 16)
    this.#input = this.#input.subarray(end + 2)
    this.#state = this.#left === 0 ? 'trailers' : 'chunk'
    return true
  }

  #readTrailers(): boolean {
    const text = this.#input.toString('latin1')
    const end = text.startsWith('\r\n') ? 0 : text.indexOf('\r\n\r\n')
    if (end < 0) return false
    this.#input = this.#input.subarray(end === 0 ? 2 : end + 4)
    this.#end(end === 0 ? new Fields() : parseLines(text.slice(0, end).split('\r\n')))
    return true
  }

  #end(trailers: Fields): void {
    this.#state = 'head'
    this.#sink.onEnd(trailers)
  }
}

/** Framing by the fields of the message (RFC 9112 §6.3); `otherwise` when they do not say. */
export function framingByFields(fields: Fields, otherwise: 'none' | 'close'): Framing {
  if (fields.get('transfer-encoding')?.toLowerCase() === 'chunked') return 'chunked'
  const length = fields.get('content-length')
  return length === undefined ? otherwise : { bytes: Number(length) }
}

function parseLines(lines: readonly string[]): Fields {
  return Fields.from(
    lines.map((line): [string, string] => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon), line.slice(colon + 1).trim()]
    }),
  )
}
