import { fstatSync } from 'node:fs'
import { pino } from 'pino'
import type { AccessLogConfig } from '../config/config.ts'

/** One exchange, as the log tells it. Times in ms. */
export interface AccessRecord {
  readonly clientAddress: string
  readonly tenant: string
  readonly rule: string
  readonly method: string
  readonly scheme: string
  readonly authority: string
  readonly target: string
  readonly httpVersion: string
  readonly status: number
  readonly bytes: number
  /** Outcome word of RFC 9211: hit, or the reason it was forwarded. */
  readonly cache: string
  /** False when the client did not get all of it. */
  readonly complete: boolean
  readonly durationMs: number
  readonly firstByteMs: number
  /** Of the client's certificate, verified; undefined when there is none. */
  readonly subject: string | undefined
  readonly extra: AccessExtra | null
}

/** What only answers beyond a plain hit have. */
export interface AccessExtra {
  readonly stored: boolean
  readonly collapsed: boolean
  readonly detail: string | null
  /** Error type of RFC 9209, or our own code. */
  readonly error: string | null
  readonly origin: string
  readonly forwardStatus: number
  readonly originHeadMs: number
}

/** pino's destination in its buffer mode, which its types do not tell of. */
interface Destination {
  write(lines: Buffer): boolean
  flushSync(): void
  end(): void
  destroy(): void
}

interface Sink {
  readonly destination: Destination
  readonly chunkBytes: number
}

/** Written at once to a file. */
const FILE_CHUNK_BYTES = 64 * 1024
/** To a pipe, which the workers share: what is no longer than this arrives in one piece (PIPE_BUF, pipe(7)). */
const PIPE_CHUNK_BYTES = 4096
const FLUSH_INTERVAL_MS = 500
/** What a reader that has stopped reading may cost; lines beyond it are dropped. */
const MAX_WAITING_BYTES = 8 * 1024 * 1024
const MAX_TARGET_CHARS = 2048
/** As `transport/client-certificate.ts` cuts them. */
const MAX_SUBJECT_CHARS = 1024
/** Room for any line: everything in it is bounded, and may double when it is quoted. */
const MAX_LINE_BYTES = 2 * MAX_TARGET_CHARS + 2 * MAX_SUBJECT_CHARS + 4096

/**
 * One JSON line per exchange, composed as text, gathered in one buffer and written through pino's destination.
 * Serialising an object per request would cost more than answering it; so would a write per line, or UTF-8.
 */
export class AccessLog {
  /** Chunks of lines given up because nobody read them. */
  dropped = 0
  #config: AccessLogConfig
  #sink: Sink | null
  #buffer = Buffer.allocUnsafeSlow(FILE_CHUNK_BYTES + MAX_LINE_BYTES)
  #length = 0
  readonly #flusher: NodeJS.Timeout
  readonly #onError: (error: Error) => void
  /** The time of the line in ISO 8601, made once per tick of the clock. */
  #timeAt = 0
  #time = ''

  /** `onError` is told once per destination: lines are lost from then on until it takes them again. */
  constructor(config: AccessLogConfig, onError: (error: Error) => void) {
    this.#config = config
    this.#onError = onError
    this.#sink = this.#open(config.output)
    this.#flusher = setInterval(() => this.#flush(), FLUSH_INTERVAL_MS)
    this.#flusher.unref()
  }

  get enabled(): boolean {
    return this.#sink !== null
  }

  /** New options; a file that log rotation has moved away is opened anew. */
  configure(config: AccessLogConfig): void {
    this.#flush()
    const before = this.#sink
    this.#config = config
    this.#sink = this.#open(config.output)
    if (before !== null) closeWhenWritten(before.destination)
  }

  /** `now` in epoch ms. */
  write(record: AccessRecord, now: number): void {
    const sink = this.#sink
    if (sink === null) return
    if (now !== this.#timeAt) {
      this.#timeAt = now
      this.#time = new Date(now).toISOString()
    }
    const { extra } = record
    let line = `{"time":"${this.#time}","client":"${this.#address(record.clientAddress)}","tenant":"${record.tenant}","rule":${quoted(record.rule)},"method":${quoted(record.method)},"scheme":"${record.scheme}","host":${quoted(record.authority)},"target":${quoted(this.#target(record.target).slice(0, MAX_TARGET_CHARS))},"protocol":"HTTP/${record.httpVersion}","status":${record.status},"bytes":${record.bytes},"cache":"${record.cache}","durationMs":${round(record.durationMs)},"firstByteMs":${round(record.firstByteMs)}`
    if (record.subject !== undefined) line += `,"subject":${quoted(record.subject)}`
    if (!record.complete) line += ',"complete":false'
    if (extra !== null) {
      if (extra.stored) line += ',"stored":true'
      if (extra.collapsed) line += ',"collapsed":true'
      if (extra.detail !== null) line += `,"detail":${quoted(extra.detail)}`
      if (extra.error !== null) line += `,"error":${quoted(extra.error)}`
      if (extra.origin !== '') line += `,"origin":${quoted(extra.origin)}`
      if (extra.forwardStatus !== 0) line += `,"originStatus":${extra.forwardStatus}`
      if (extra.originHeadMs !== 0) line += `,"originMs":${round(extra.originHeadMs)}`
    }
    line += '}\n'
    if (this.#length + line.length > sink.chunkBytes) this.#flush()
    this.#length += this.#buffer.latin1Write(line, this.#length, MAX_LINE_BYTES)
  }

  #flush(): void {
    if (this.#sink === null || this.#length === 0) return
    // The destination keeps what it is given until it is written: the buffer goes on to the next lines.
    this.#sink.destination.write(Buffer.from(this.#buffer.subarray(0, this.#length)))
    this.#length = 0
  }

  /** Writes what waits, synchronously. */
  close(): void {
    clearInterval(this.#flusher)
    this.#flush()
    if (this.#sink !== null) closeWhenWritten(this.#sink.destination)
    this.#sink = null
  }

  #open(output: string): Sink | null {
    if (output === 'off') return null
    const dest = output === 'stdout' ? 1 : output
    const chunkBytes = dest === 1 && isPipe(1) ? PIPE_CHUNK_BYTES : FILE_CHUNK_BYTES
    const destination = pino.destination({
      dest,
      sync: false,
      append: true,
      contentMode: 'buffer',
      maxWrite: chunkBytes,
      maxLength: MAX_WAITING_BYTES,
    })
    destination.on('drop', () => this.dropped++)
    // A reader that went away or a full disk costs log lines, never the proxy.
    let told = false
    destination.on('error', (error: Error) => {
      if (!told) this.#onError(error)
      told = true
    })
    // By way of unknown: the declared `write` takes text only.
    return { destination: destination as unknown as Destination, chunkBytes }
  }

  #address(address: string): string {
    return this.#config.truncateAddresses ? truncated(address) : address
  }

  #target(target: string): string {
    const { redactQuery } = this.#config
    if (redactQuery === false) return target
    const mark = target.indexOf('?')
    if (mark < 0) return target
    if (redactQuery === true) return `${target.slice(0, mark)}?-`
    const query = target.slice(mark + 1).split('&')
    return `${target.slice(0, mark)}?${query.map((part) => redacted(part, redactQuery)).join('&')}`
  }
}

function isPipe(fd: number): boolean {
  try {
    return fstatSync(fd).isFIFO()
  } catch {
    // A closed stdout: writing will tell.
    return false
  }
}

function closeWhenWritten(destination: Destination): void {
  try {
    destination.flushSync()
    destination.end()
  } catch {
    // Not open yet, or its reader is gone: there is nothing left to save.
    destination.destroy()
  }
}

/** JSON text in ASCII; most values need no escaping, and are found out by one scan. */
function quoted(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code === 0x22 || code === 0x5c || code > 0x7e) return escaped(text)
  }
  return `"${text}"`
}

function escaped(text: string): string {
  return JSON.stringify(text).replace(
    /[\x7f-\uffff]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

function round(ms: number): number {
  return Math.round(ms * 1000) / 1000
}

function truncated(address: string): string {
  if (!address.includes(':')) return `${address.slice(0, address.lastIndexOf('.'))}.0/24`
  const groups = address
    .split('::')[0]
    .split(':')
    .filter((group) => group !== '')
  return `${groups.slice(0, 3).join(':')}::/48`
}

function redacted(parameter: string, names: readonly string[]): string {
  const equals = parameter.indexOf('=')
  return equals >= 0 && names.includes(parameter.slice(0, equals))
    ? `${parameter.slice(0, equals + 1)}-`
    : parameter
}
