import type { Clock } from '../../http/clock.ts'
import type { ReadyAnswer } from '../exchange.ts'
import { MAX_VOLATILE_BYTES, writeVolatileHttp1 } from '../volatile-fields.ts'
import type { Output } from './output.ts'

const END = Buffer.from('\r\n', 'latin1')
const END_CLOSE = Buffer.from('connection: close\r\n\r\n', 'latin1')
const END_KEEP_ALIVE = Buffer.from('connection: keep-alive\r\n\r\n', 'latin1')
const MAX_END_BYTES = 32

/** The fast lane: a stored head, the fields that change, and the body. Returns the bytes of body. */
export function writeReadyAnswer(
  output: Output,
  answer: ReadyAnswer,
  clock: Clock,
  keepAlive: boolean,
  http10: boolean,
  withBody: boolean,
): number {
  output.appendText(answer.http1Head)
  const buffer = output.reserve(MAX_VOLATILE_BYTES + MAX_END_BYTES)
  const at = writeVolatileHttp1(buffer, output.offset, answer, clock)
  const end = !keepAlive ? END_CLOSE : http10 ? END_KEEP_ALIVE : END
  buffer.set(end, at)
  output.advanceTo(at + end.length)
  if (!withBody || answer.body === null) return 0
  output.append(answer.body)
  return answer.body.length
}
