import { setTimeout as sleep } from 'node:timers/promises'
import { type CertificatePair, checkPair, coversName } from '../read.ts'
import { AcmeError, problemText, readProblem } from './acme-error.ts'
import type { AcmeResponse } from './acme-http.ts'
import { type CertificateKeyType, makeCertificateRequest } from './certificate-request.ts'
import type { ChallengeBoard, ChallengeKind, PendingChallenge } from './ports.ts'
import { type Authorization, type Challenge, readAuthorization, readOrder } from './resources.ts'
import type { AcmeSession } from './session.ts'

export interface OrderRequest {
  /** DNS names, lower case, ASCII; no wildcards, which neither kind of challenge can show. */
  readonly names: readonly string[]
  readonly keyType: CertificateKeyType
  /** Best first. */
  readonly challenges: readonly ChallengeKind[]
  readonly board: ChallengeBoard
  /** Identifier of the certificate that this one follows (RFC 9773 §4.1); told to authorities that know the field. */
  readonly replaces?: string
  /** Ends it. */
  readonly signal: AbortSignal
}

interface Chosen {
  readonly authorizationUrl: string
  readonly challengeUrl: string
  readonly pending: PendingChallenge
}

/** The first look comes soon; between two that the authority does not pace, so long. */
const FIRST_POLL_MS = 250
const MAX_POLL_MS = 5_000
/** The longest that we let the authority make us wait between two looks. */
const MAX_PACED_POLL_MS = 30_000
const MAX_POLLS = 200
/** RFC 8555 §8.3, §8.1: base64url. */
const TOKEN = /^[A-Za-z0-9_-]{16,512}$/

/** One certificate from order to download (RFC 8555 §7.4). Rejects with an `AcmeError`; challenges are withdrawn. */
export async function orderCertificate(
  session: AcmeSession,
  request: OrderRequest,
): Promise<CertificatePair> {
  const { names, signal } = request
  const { newOrder, renewalInfo } = await session.directory(signal)
  const identifiers = names.map((value) => ({ type: 'dns', value }))
  const replaces = renewalInfo === undefined ? undefined : request.replaces
  const created = await createOrder(session, newOrder, { identifiers, replaces }, signal)
  const { location: orderUrl } = created
  if (orderUrl === undefined) {
    throw new AcmeError('unreachable', `The authority gave the order at ${newOrder} no location.`)
  }
  const order = readOrder(created.body, newOrder)
  await authorize(session, order.authorizations, request)
  const { csr, keyPem } = await makeCertificateRequest(names, request.keyType)
  const certificateUrl = await finalize(session, orderUrl, order.finalize, csr, signal)
  const { body } = await session.read(certificateUrl, signal, 'application/pem-certificate-chain')
  const pair = { certPem: body, keyPem }
  checkIssued(pair, names, certificateUrl)
  return pair
}

async function createOrder(
  session: AcmeSession,
  url: string,
  payload: { readonly identifiers: unknown; readonly replaces: string | undefined },
  signal: AbortSignal,
): Promise<AcmeResponse> {
  try {
    return await session.change(url, payload, signal)
  } catch (error) {
    if (payload.replaces === undefined || !(error instanceof AcmeError)) throw error
    const { type = '', detail = '' } = error.problem ?? {}
    // RFC 9773 §5: someone has replaced it already, or the authority does not know it. Order without saying so.
    if (type !== 'alreadyReplaced' && !/replac/i.test(detail)) throw error
    return session.change(url, { identifiers: payload.identifiers }, signal)
  }
}

/** Shows for every name that it is ours; those that the authority knows already are passed over. */
async function authorize(
  session: AcmeSession,
  urls: readonly string[],
  request: OrderRequest,
): Promise<void> {
  const { board, signal } = request
  const chosen: Chosen[] = []
  for (const url of urls) {
    const authorization = readAuthorization((await session.read(url, signal)).body, url)
    if (authorization.status === 'valid') continue
    chosen.push(await choose(session, url, authorization, request))
  }
  if (chosen.length === 0) return
  const published = chosen.map(({ pending }) => pending)
  try {
    await board.publish(published)
    for (const { challengeUrl } of chosen) await session.change(challengeUrl, {}, signal)
    for (const each of chosen) await authorized(session, each, signal)
  } finally {
    // What is not withdrawn ends by itself.
    await board.withdraw(published).catch(() => {})
  }
}

async function choose(
  session: AcmeSession,
  authorizationUrl: string,
  { name, challenges, status }: Authorization,
  request: OrderRequest,
): Promise<Chosen> {
  if (status !== 'pending') {
    throw new AcmeError('validation', `The authority no longer asks about '${name}' (${status}).`)
  }
  // A name that we did not ask for would let the authority choose what we answer for.
  if (!request.names.includes(name)) {
    throw new AcmeError('refused', `The authority asks about '${name}', which was not ordered.`)
  }
  for (const kind of request.challenges) {
    const challenge = challenges.find(({ type }) => type === kind)
    if (challenge === undefined) continue
    return {
      authorizationUrl,
      challengeUrl: challenge.url,
      pending: await pendingChallenge(session, kind, name, challenge, request.signal),
    }
  }
  const offered = challenges.map(({ type }) => type).join(', ')
  throw new AcmeError(
    'refused',
    `For '${name}' the authority offers ${offered === '' ? 'no challenge' : offered}, but acme.challenges allows ${request.challenges.join(', ')}.`,
  )
}

async function pendingChallenge(
  session: AcmeSession,
  kind: ChallengeKind,
  name: string,
  { token }: Challenge,
  signal: AbortSignal,
): Promise<PendingChallenge> {
  if (!TOKEN.test(token)) {
    throw new AcmeError('refused', `The token for '${name}' is none (RFC 8555 §8.3).`)
  }
  return { kind, name, token, keyAuthorization: await session.keyAuthorization(token, signal) }
}

/** RFC 8555 §7.5.1: waits until the authority has made up its mind. */
async function authorized(
  session: AcmeSession,
  { authorizationUrl, challengeUrl, pending }: Chosen,
  signal: AbortSignal,
): Promise<void> {
  const { challenges, status } = await poll(session, authorizationUrl, signal, (body) => {
    const authorization = readAuthorization(body, authorizationUrl)
    return authorization.status === 'pending' ? undefined : authorization
  })
  if (status === 'valid') return
  const error = challenges.find(({ url }) => url === challengeUrl)?.error
  const problem = readProblem(0, error)
  const why = problem.type === '' && problem.detail === '' ? status : problemText(problem)
  throw new AcmeError(
    'validation',
    `The authority could not validate '${pending.name}' by ${pending.kind}: ${why}`,
    { problem },
  )
}

/** Resolves to the URL of the certificate. */
async function finalize(
  session: AcmeSession,
  orderUrl: string,
  finalizeUrl: string,
  csr: string,
  signal: AbortSignal,
): Promise<string> {
  const isReady = (status: string) => status !== 'pending'
  const ready = await poll(session, orderUrl, signal, (body) => {
    const order = readOrder(body, orderUrl)
    return isReady(order.status) ? order : undefined
  })
  if (ready.status === 'ready') {
    try {
      await session.change(finalizeUrl, { csr }, signal)
    } catch (error) {
      // Without an answer the order itself knows whether the request arrived.
      if (!(error instanceof AcmeError) || error.fault !== 'unreachable') throw error
      if (error.retryAfterMs !== undefined) throw error
    }
  }
  const done = await poll(session, orderUrl, signal, (body) => {
    const order = readOrder(body, orderUrl)
    return order.status === 'processing' ? undefined : order
  })
  if (done.status === 'valid' && done.certificate !== undefined) return done.certificate
  const problem = readProblem(0, done.error)
  throw new AcmeError('refused', `The order is ${done.status}: ${problemText(problem)}`, {
    problem,
  })
}

/** Looks until `read` finds what it waits for, at the authority's pace. */
async function poll<Found>(
  session: AcmeSession,
  url: string,
  signal: AbortSignal,
  read: (body: string) => Found | undefined,
): Promise<Found> {
  let waitMs = FIRST_POLL_MS
  for (let polls = 0; polls < MAX_POLLS; polls++) {
    const { body, retryAfterMs } = await session.read(url, signal)
    const found = read(body)
    if (found !== undefined) return found
    const pacedMs = retryAfterMs === undefined ? waitMs : Math.max(retryAfterMs, FIRST_POLL_MS)
    await sleep(Math.min(pacedMs, MAX_PACED_POLL_MS), undefined, { signal })
    waitMs = Math.min(waitMs * 2, MAX_POLL_MS)
  }
  throw new AcmeError('unreachable', `The authority did not come to an end at ${url}.`)
}

/** What was downloaded has to be what was ordered. */
function checkIssued(pair: CertificatePair, names: readonly string[], url: string): void {
  const check = checkPair(pair, url, 'the key made for it')
  if (!check.ok) throw new AcmeError('refused', check.message)
  const missing = names.filter((name) => !coversName(check.facts, name))
  if (missing.length > 0) {
    throw new AcmeError(
      'refused',
      `The certificate at ${url} is not for ${missing.slice(0, 5).join(', ')}.`,
    )
  }
}
