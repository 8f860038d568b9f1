import type { CertificatePair } from '../read.ts'
import type { ChallengeAnswers } from './challenge-registry.ts'
import type { ChallengeBoard, PendingChallenge } from './ports.ts'
import { tlsAlpnCertificate } from './tls-alpn-certificate.ts'

export interface ChallengeBookOptions {
  /** Gives the workers of this machine what they answer from now on; resolves when they have it. */
  tell(answers: ChallengeAnswers): Promise<void>
  /** Epoch ms. */
  readonly now?: () => number
}

/** Beyond this the oldest are forgotten: far more than orders under way can have. */
const MAX_CHALLENGES = 2_000

/** The challenges of this machine. Alone it is the board; with others it is this machine's copy of it. */
export class ChallengeBook implements ChallengeBoard {
  readonly #tell: ChallengeBookOptions['tell']
  readonly #now: () => number
  readonly #pending = new Map<string, PendingChallenge>()
  /** By challenge: made once, as long as it is pending. */
  readonly #pairs = new Map<string, Promise<CertificatePair>>()
  /** Told one after the other, so that the last one told is the last one made. */
  #telling: Promise<void> = Promise.resolve()
  #answers: ChallengeAnswers = { http: [], tls: [] }

  constructor({ tell, now = Date.now }: ChallengeBookOptions) {
    this.#tell = tell
    this.#now = now
  }

  /** What was told last: for a worker that has just started. */
  get answers(): ChallengeAnswers {
    return this.#answers
  }

  publish(challenges: readonly PendingChallenge[]): Promise<void> {
    for (const challenge of challenges) this.#pending.set(challengeKey(challenge), challenge)
    for (const key of this.#pending.keys()) {
      if (this.#pending.size <= MAX_CHALLENGES) break
      this.#pending.delete(key)
    }
    return this.#changed()
  }

  withdraw(challenges: readonly PendingChallenge[]): Promise<void> {
    for (const challenge of challenges) this.#pending.delete(challengeKey(challenge))
    return this.#changed()
  }

  /** All there are. */
  replaceAll(challenges: readonly PendingChallenge[]): Promise<void> {
    this.#pending.clear()
    return this.publish(challenges)
  }

  #changed(): Promise<void> {
    const told = this.#telling.then(async () => {
      this.#answers = await this.#makeAnswers()
      await this.#tell(this.#answers)
    })
    // Whoever changed it hears of a failure; the queue goes on.
    this.#telling = told.catch(() => {})
    return told
  }

  async #makeAnswers(): Promise<ChallengeAnswers> {
    for (const key of this.#pairs.keys()) if (!this.#pending.has(key)) this.#pairs.delete(key)
    const all = [...this.#pending.entries()]
    const tls = all.filter(([, { kind }]) => kind === 'tls-alpn-01')
    return {
      http: all
        .map(([, challenge]) => challenge)
        .filter(({ kind }) => kind === 'http-01')
        .map(({ token, keyAuthorization }) => ({ token, keyAuthorization })),
      tls: await Promise.all(
        tls.map(async ([key, challenge]) => ({
          name: challenge.name,
          pair: await this.#pairOf(key, challenge),
        })),
      ),
    }
  }

  #pairOf(key: string, { name, keyAuthorization }: PendingChallenge): Promise<CertificatePair> {
    const known = this.#pairs.get(key)
    if (known !== undefined) return known
    const pair = tlsAlpnCertificate(name, keyAuthorization, this.#now())
    this.#pairs.set(key, pair)
    return pair
  }
}

/** Names a challenge; the same in every process. */
export function challengeKey({ kind, name, token }: PendingChallenge): string {
  return `${kind} ${name} ${token}`
}
