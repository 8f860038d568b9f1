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

/** Lines wait in memory up to this many bytes; pino refuses a minLength from 16,384 on. */
const BUFFER_BYTES = 8192
const FLUSH_INTERVAL_MS = 500

type Destination = ReturnType<typeof pino.destination>

/**
 * One JSON line per exchange, composed as text and written through pino's buffered destination: serialising an object
 * per request would cost more than answering it.
 */
export class AccessLog {
  #config: AccessLogConfig
  #destination: Destination | null
  readonly #flusher: NodeJS.Timeout
  /** The time of the line in ISO 8601, made once per 100 ms tick. */
  #timeAt = 0
  #time = ''

  constructor(config: AccessLogConfig) {
    this.#config = config
    this.#destination = open(config.output)
    this.#flusher = setInterval(() => this.#destination?.flush(), FLUSH_INTERVAL_MS)
    this.#flusher.unref()
  }

  get enabled(): boolean {
    return this.#destination !== null
  }

  /** New options; a file that log rotation has moved away is opened anew. */
  configure(config: AccessLogConfig): void {
    const before = this.#destination
    this.#config = config
    this.#destination = open(config.output)
    if (before !== null) closeWhenWritten(before)
  }

  /** `now` in epoch ms. */
  write(record: AccessRecord, now: number): void {
    if (this.#destination === null) return
    if (now !== this.#timeAt) {
      this.#timeAt = now
      this.#time = new Date(now).toISOString()
    }
    const { extra } = record
    let line = `{"time":"${this.#time}","client":"${this.#address(record.clientAddress)}","tenant":"${record.tenant}","rule":${quoted(record.rule)},"method":${quoted(record.method)},"scheme":"${record.scheme}","host":${quoted(record.authority)},"target":${quoted(this.#target(record.target))},"protocol":"HTTP/${record.httpVersion}","status":${record.status},"bytes":${record.bytes},"cache":"${record.cache}","durationMs":${round(record.durationMs)},"firstByteMs":${round(record.firstByteMs)}`
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
    this.#destination.write(`${line}}\n`)
  }

  /** Writes what waits, synchronously. */
  close(): void {
    clearInterval(this.#flusher)
    if (this.#destination !== null) closeWhenWritten(this.#destination)
    this.#destination = null
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

function open(output: string): Destination | null {
  if (output === 'off') return null
  const dest = output === 'stdout' ? 1 : output
  const destination = pino.destination({ dest, sync: false, minLength: BUFFER_BYTES, append: true })
  // A reader that went away or a full disk costs log lines, never the proxy.
  destination.on('error', () => undefined)
  return destination
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

/** JSON text; most values need no escaping, and are found out by one scan. */
function quoted(text: string): string {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    if (code < 0x20 || code === 0x22 || code === 0x5c || code > 0x7e) return JSON.stringify(text)
  }
  return `"${text}"`
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
