import { STATUS_CODES } from 'node:http'
import type { FastifyReply } from 'fastify'

/** An error as RFC 9457 describes it. */
export function sendProblem(
  reply: FastifyReply,
  status: number,
  detail: string,
  more: Readonly<Record<string, unknown>> = {},
): FastifyReply {
  return reply
    .code(status)
    .header('content-type', 'application/problem+json')
    .send(JSON.stringify({ title: STATUS_CODES[status], status, detail, ...more }))
}
