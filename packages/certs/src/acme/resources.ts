import { AcmeError } from './acme-error.ts'

/** What the authority sends, read with suspicion: shapes are checked, lists are bounded, nothing else is kept. */

/** RFC 8555 §7.1.1 */
export interface Directory {
  readonly newNonce: string
  readonly newAccount: string
  readonly newOrder: string
  /** RFC 9773 §3; undefined when the authority has no such thing. */
  readonly renewalInfo: string | undefined
  readonly termsOfService: string | undefined
  readonly externalAccountRequired: boolean
}

/** RFC 8555 §7.1.3 */
export interface Order {
  readonly status: string
  readonly authorizations: readonly string[]
  readonly finalize: string
  readonly certificate: string | undefined
  readonly error: unknown
}

/** RFC 8555 §7.1.4 */
export interface Authorization {
  readonly status: string
  readonly name: string
  readonly challenges: readonly Challenge[]
}

export interface Challenge {
  readonly type: string
  readonly url: string
  readonly token: string
  readonly status: string
  readonly error: unknown
}

/** RFC 9773 §4.2. Epoch ms. */
export interface RenewalWindow {
  readonly startAt: number
  readonly endAt: number
  /** A page for people, when the authority has a reason to tell. */
  readonly explanationUrl: string | undefined
}

const MAX_LIST = 1000

export function readDirectory(body: string, url: string): Directory {
  const value = readObject(body, url)
  const meta = typeof value.meta === 'object' && value.meta !== null ? value.meta : {}
  const { termsOfService, externalAccountRequired } = meta as Record<string, unknown>
  return {
    newNonce: text(value, 'newNonce', url),
    newAccount: text(value, 'newAccount', url),
    newOrder: text(value, 'newOrder', url),
    renewalInfo: optionalText(value.renewalInfo),
    termsOfService: optionalText(termsOfService),
    externalAccountRequired: externalAccountRequired === true,
  }
}

export function readOrder(body: string, url: string): Order {
  const value = readObject(body, url)
  return {
    status: text(value, 'status', url),
    authorizations: list(value.authorizations).filter((each) => typeof each === 'string'),
    finalize: text(value, 'finalize', url),
    certificate: optionalText(value.certificate),
    error: value.error,
  }
}

export function readAuthorization(body: string, url: string): Authorization {
  const value = readObject(body, url)
  const identifier = isObject(value.identifier) ? value.identifier : {}
  return {
    status: text(value, 'status', url),
    name: (optionalText(identifier.value) ?? '').toLowerCase(),
    challenges: list(value.challenges)
      .filter(isObject)
      .map((each) => ({
        type: optionalText(each.type) ?? '',
        url: optionalText(each.url) ?? '',
        token: optionalText(each.token) ?? '',
        status: optionalText(each.status) ?? '',
        error: each.error,
      })),
  }
}

export function readRenewalWindow(body: string, url: string): RenewalWindow {
  const value = readObject(body, url)
  const window = isObject(value.suggestedWindow) ? value.suggestedWindow : {}
  const startAt = Date.parse(optionalText(window.start) ?? '')
  const endAt = Date.parse(optionalText(window.end) ?? '')
  // RFC 9773 §4.2: an end that is not after the start is no window, as if there were no answer.
  if (!(startAt < endAt)) throw unusable(url, 'no suggestedWindow that begins before it ends')
  return { startAt, endAt, explanationUrl: optionalText(value.explanationURL) }
}

function readObject(body: string, url: string): Record<string, unknown> {
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    throw unusable(url, 'no JSON')
  }
  if (!isObject(value)) throw unusable(url, 'no JSON object')
  return value
}

function text(value: Record<string, unknown>, name: string, url: string): string {
  const found = value[name]
  if (typeof found !== 'string') throw unusable(url, `no '${name}'`)
  return found
}

function optionalText(value: unknown): string | undefined {
  return typeof value === 'string' ? value : undefined
}

function list(value: unknown): unknown[] {
  return Array.isArray(value) ? value.slice(0, MAX_LIST) : []
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function unusable(url: string, what: string): AcmeError {
  return new AcmeError(
    'unreachable',
    `The answer at ${url} has ${what}: is it the directory of an ACME authority (RFC 8555)?`,
  )
}
