import type { Clock } from '../http/clock.ts'
import type { ReadyAnswer } from './exchange.ts'

/**
 * The fields of a ready answer that change while it is stored: Age (RFC 9111 §5.1) and Cache-Status (RFC 9211). Date is
 * not among them: it says when the origin made the response, and ages and Expires count from it (RFC 9110 §6.6.1).
 * Everything else of its head was encoded when it was stored; these are written behind it, byte by byte, so that a
 * hit allocates no text.
 */

/** More than either writer can write, whatever the numbers. */
export const MAX_VOLATILE_BYTES = 160

const STATUS_VALUE = 'Larder; hit; ttl='
const HTTP1_AGE = Buffer.from('age: ', 'latin1')
const HTTP1_STATUS = Buffer.from(`\r\ncache-status: ${STATUS_VALUE}`, 'latin1')

// A literal without indexing (RFC 7541 §6.2.2), named by the static table: 21 is age.
const HPACK_AGE = [0x0f, 21 - 15]
const HPACK_STATUS_NAME = Buffer.from('\x00\x0ccache-status', 'latin1')
const HPACK_STATUS_VALUE = Buffer.from(STATUS_VALUE, 'latin1')

/** Writes the lines, each with its CRLF, at `offset`; returns the offset behind them. */
export function writeVolatileHttp1(
  buffer: Buffer,
  offset: number,
  answer: ReadyAnswer,
  clock: Clock,
): number {
  let at = put(buffer, offset, HTTP1_AGE)
  at = writeInteger(buffer, at, ageSeconds(answer, clock))
  at = put(buffer, at, HTTP1_STATUS)
  at = writeInteger(buffer, at, ttlSeconds(answer, clock))
  buffer[at] = 0x0d
  buffer[at + 1] = 0x0a
  return at + 2
}

/** Writes the fields as HPACK literals at `offset`; returns the offset behind them. */
export function writeVolatileHpack(
  buffer: Buffer,
  offset: number,
  answer: ReadyAnswer,
  clock: Clock,
): number {
  buffer[offset] = HPACK_AGE[0]
  buffer[offset + 1] = HPACK_AGE[1]
  // The lengths are below 127, so one octet holds each (RFC 7541 §5.1).
  const ageLengthAt = offset + 2
  let at = writeInteger(buffer, ageLengthAt + 1, ageSeconds(answer, clock))
  buffer[ageLengthAt] = at - ageLengthAt - 1
  at = put(buffer, at, HPACK_STATUS_NAME)
  const statusLengthAt = at
  at = put(buffer, statusLengthAt + 1, HPACK_STATUS_VALUE)
  at = writeInteger(buffer, at, ttlSeconds(answer, clock))
  buffer[statusLengthAt] = at - statusLengthAt - 1
  return at
}

function ageSeconds(answer: ReadyAnswer, clock: Clock): number {
  return Math.max(0, Math.floor((clock.ms - answer.ageBaseAt) / 1000))
}

/** Lifetime minus Age, both in whole seconds; negative once the response is stale (RFC 9211 §2.5). */
function ttlSeconds(answer: ReadyAnswer, clock: Clock): number {
  return Math.ceil((answer.freshUntilAt - clock.ms) / 1000)
}

function put(buffer: Buffer, offset: number, bytes: Buffer): number {
  buffer.set(bytes, offset)
  return offset + bytes.length
}

/** Decimal digits of an integer within ±10^15; what lies beyond is cut to it. */
function writeInteger(buffer: Buffer, offset: number, value: number): number {
  let at = offset
  let rest = value < 1e15 ? value : 1e15
  if (rest < 0) {
    buffer[at++] = 0x2d
    rest = rest > -1e15 ? -rest : 1e15
  }
  let end = at + 1
  for (let scale = 10; rest >= scale; scale *= 10) end++
  for (let i = end - 1; i >= at; i--) {
    const tenth = Math.floor(rest / 10)
    buffer[i] = 0x30 + rest - tenth * 10
    rest = tenth
  }
  return end
}
