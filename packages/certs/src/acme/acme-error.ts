/** A problem document (RFC 8555 §6.7, RFC 9457). */
export interface AcmeProblem {
  /** Without `urn:ietf:params:acme:error:`; '' when the authority gave none. */
  readonly type: string
  readonly detail: string
  readonly status: number
}

/**
 * unreachable: no usable answer; nothing is known of the order. refused: the authority says no. validation: it has
 * looked at a name and not found what it wanted. here: something on our side, such as a lease that was lost.
 */
export type AcmeFault = 'unreachable' | 'refused' | 'validation' | 'here'

export class AcmeError extends Error {
  readonly fault: AcmeFault
  readonly problem: AcmeProblem | undefined
  /** The authority wants to be left alone for so long. */
  readonly retryAfterMs: number | undefined

  constructor(
    fault: AcmeFault,
    message: string,
    more: { problem?: AcmeProblem; retryAfterMs?: number; cause?: unknown } = {},
  ) {
    super(message, more.cause === undefined ? undefined : { cause: more.cause })
    this.name = 'AcmeError'
    this.fault = fault
    this.problem = more.problem
    this.retryAfterMs = more.retryAfterMs
  }
}

const PREFIX = 'urn:ietf:params:acme:error:'
const MAX_DETAIL_CHARACTERS = 500
const MAX_SUBPROBLEMS = 5

/** From whatever came with a status from 400 on; what is no problem document is told by its status. */
export function readProblem(status: number, value: unknown): AcmeProblem {
  if (typeof value !== 'object' || value === null) return { type: '', detail: '', status }
  const { type, detail, subproblems } = value as Record<string, unknown>
  const details = [typeof detail === 'string' ? detail : '']
  if (Array.isArray(subproblems)) {
    for (const each of subproblems.slice(0, MAX_SUBPROBLEMS)) details.push(subproblemText(each))
  }
  return {
    type: typeof type === 'string' ? type.replace(PREFIX, '').slice(0, 100) : '',
    detail: printable(details.filter((text) => text !== '').join('; ')),
    status,
  }
}

/** For logs and for people. */
export function problemText({ type, detail, status }: AcmeProblem): string {
  const what = type === '' ? `status ${status}` : type
  return detail === '' ? what : `${what}: ${detail}`
}

/** RFC 8555 §6.7.1 */
function subproblemText(value: unknown): string {
  if (typeof value !== 'object' || value === null) return ''
  const { detail, identifier } = value as Record<string, unknown>
  const name =
    typeof identifier === 'object' && identifier !== null
      ? (identifier as Record<string, unknown>).value
      : undefined
  if (typeof detail !== 'string') return ''
  return typeof name === 'string' ? `${name}: ${detail}` : detail
}

/** Someone else's text goes into our log: one line, bounded. */
function printable(text: string): string {
  return text.replace(/[\u0000-\u001f\u007f-\u009f]+/g, ' ').slice(0, MAX_DETAIL_CHARACTERS)
}
