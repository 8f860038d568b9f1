import { createSecureContext, type SecureContext } from 'node:tls'
import type { CertificatePair } from '../read.ts'

/** Everything that may be asked now, as the primary tells it to its workers: always whole, never a difference. */
export interface ChallengeAnswers {
  readonly http: readonly { readonly token: string; readonly keyAuthorization: string }[]
  /** `name` in lower case. */
  readonly tls: readonly { readonly name: string; readonly pair: CertificatePair }[]
}

export const NO_CHALLENGES: ChallengeAnswers = { http: [], tls: [] }

/** RFC 8555 §8.3 */
const PATH = '/.well-known/acme-challenge/'

/** What a worker answers to a validating authority. Empty but for a few seconds now and then. */
export class ChallengeRegistry {
  #byToken = new Map<string, string>()
  #byName = new Map<string, CertificatePair>()
  #contexts = new Map<string, SecureContext>()

  replaceAll({ http, tls }: ChallengeAnswers): void {
    this.#byToken = new Map(http.map(({ token, keyAuthorization }) => [token, keyAuthorization]))
    this.#byName = new Map(tls.map(({ name, pair }) => [name, pair]))
    this.#contexts = new Map()
  }

  /** Whether any request can be for us; asked for every one of them. */
  get hasTokens(): boolean {
    return this.#byToken.size > 0
  }

  /** The key authorization that a request target asks for; null = it is no request for us. */
  answerTo(target: string): string | null {
    if (!target.startsWith(PATH)) return null
    return this.#byToken.get(target.slice(PATH.length)) ?? null
  }

  /** Whether a handshake can be a validation by TLS-ALPN-01; asked for every handshake. */
  hasChallenges(): boolean {
    return this.#byName.size > 0
  }

  /** For a client that offers exactly `acme-tls/1` (RFC 8737 §3); null when the name is not being validated. */
  challengeContextFor(serverName: string): SecureContext | null {
    const name = serverName.toLowerCase()
    const pair = this.#byName.get(name)
    if (pair === undefined) return null
    const known = this.#contexts.get(name)
    if (known !== undefined) return known
    const context = createSecureContext({ cert: pair.certPem, key: pair.keyPem })
    this.#contexts.set(name, context)
    return context
  }
}
