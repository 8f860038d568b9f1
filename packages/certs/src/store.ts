import { createSecureContext, type SecureContext, type SecureContextOptions } from 'node:tls'
import { NameFilter, type NameFilterImage } from './name-filter.ts'
import type { CertificateSet } from './vault.ts'

/** What there is to ask for. */
export interface NamesImage {
  readonly filter: NameFilterImage
  /** Whether '*' is worth a question: it answers names that nobody has, and clients that name none. */
  readonly hasFallback: boolean
}

export interface CertificateStoreOptions {
  /** Asks for the set of a name, of a wildcard (`*.name`), or of '*'; null when there is none. */
  readonly ask: (pattern: string) => Promise<CertificateSet | null>
  readonly names: NamesImage
  /** Sets held at most; the one unused for longest makes room. */
  readonly maxContexts: number
  /** Ciphers and versions, the same for every context; another object after a change. */
  readonly secureContext?: () => SecureContextOptions
  /** A set that OpenSSL refuses, or a question that failed. */
  readonly onError?: (error: unknown, pattern: string) => void
  /** ms, monotonic. */
  readonly now?: () => number
}

export interface CertificateStoreCounts {
  /** Handshakes whose set was there. */
  hits: number
  questions: number
  /** Handshakes for names that nobody has, or clients that name none, without a certificate for them. */
  unknown: number
  /** Questions that failed, were not answered in time, or were not put because too many waited. */
  failures: number
  evictions: number
}

/** How long a handshake waits for an answer. */
const ANSWER_LIMIT_MS = 3_000
/** Questions that wait; with more, handshakes are refused. */
const MAX_QUESTIONS = 1_000
/** Names that turned out not to be there. */
const MAX_ABSENT = 10_000
const ABSENT_MS = 10_000
/** How often a question is put again because the answer has changed meanwhile. */
const MAX_REPEATS = 3
const FALLBACK = '*'

/**
 * Certificates by server name (SNI, RFC 6066 §3): exact, then a wildcard for the first label (RFC 9525 §6.3), then what
 * answers everyone else. Holds what is in use and asks for the rest; what is told to have changed is asked for again
 * at the next handshake, and the old one serves only when there is no answer.
 */
export class CertificateStore {
  readonly counts: CertificateStoreCounts = {
    hits: 0,
    questions: 0,
    unknown: 0,
    failures: 0,
    evictions: 0,
  }
  readonly #options: CertificateStoreOptions
  readonly #now: () => number
  #filter: NameFilter
  #hasFallback: boolean
  /** By id of the set, the one unused for longest first. */
  readonly #held = new Map<string, HeldSet>()
  readonly #patterns = new Map<string, { id: string; isCurrent: boolean }>()
  /** Until when they are taken to be absent. */
  readonly #absent = new Map<string, number>()
  readonly #questions = new Map<string, Question>()

  constructor(options: CertificateStoreOptions) {
    this.#options = options
    this.#now = options.now ?? (() => performance.now())
    this.#filter = new NameFilter(options.names.filter)
    this.#hasFallback = options.names.hasFallback
    this.#prepareFallback()
  }

  /** Sets held. */
  get size(): number {
    return this.#held.size
  }

  /** The context for a name as the client sent it; null = refuse the handshake. Never throws or rejects. */
  contextFor(serverName: string | undefined): SecureContext | null | Promise<SecureContext | null> {
    const found = this.#find(serverName)
    if (found instanceof Promise) return found.then((held) => this.#contextOf(held))
    if (found !== null) this.counts.hits++
    return this.#contextOf(found)
  }

  /** The same as text, for transports that have contexts of their own. */
  async pairsFor(serverName: string | undefined): Promise<CertificateSet | null> {
    return (await this.#find(serverName))?.set ?? null
  }

  /** What is held for these names may be old; they may also be new. */
  changed(names: readonly string[], hasFallback: boolean): void {
    this.#hasFallback = hasFallback
    for (const name of names) {
      this.#filter.add(name)
      this.#absent.delete(name)
      const known = this.#patterns.get(name)
      if (known !== undefined) known.isCurrent = false
      const question = this.#questions.get(name)
      if (question !== undefined) question.isOutdated = true
    }
    this.#prepareFallback()
  }

  /** Other names than before, all of them. */
  learn({ filter, hasFallback }: NamesImage): void {
    this.#filter = new NameFilter(filter)
    this.#hasFallback = hasFallback
    this.#absent.clear()
    this.#prepareFallback()
  }

  /** Clients that name nobody cannot be made to wait within the handshake: what answers them is held beforehand. */
  #prepareFallback(): void {
    if (this.#hasFallback) void this.#look(FALLBACK)
  }

  #find(serverName: string | undefined): HeldSet | null | Promise<HeldSet | null> {
    const patterns: string[] = []
    // A pattern is no name: whoever asks for one gets what unknown names get.
    if (serverName !== undefined && serverName !== '' && !serverName.includes('*')) {
      const name = canonicalName(serverName)
      if (this.#filter.has(name)) patterns.push(name)
      const dot = name.indexOf('.')
      // A wildcard stands for exactly one label (RFC 9525 §6.3), and not for an empty one.
      const wildcard = dot > 0 ? `*${name.slice(dot)}` : ''
      if (wildcard !== '' && this.#filter.has(wildcard)) patterns.push(wildcard)
    }
    if (this.#hasFallback) patterns.push(FALLBACK)
    return this.#firstOf(patterns, 0)
  }

  #firstOf(patterns: readonly string[], from: number): HeldSet | null | Promise<HeldSet | null> {
    for (let index = from; index < patterns.length; index++) {
      const found = this.#look(patterns[index])
      if (found instanceof Promise) {
        return found.then((held) => held ?? this.#firstOf(patterns, index + 1))
      }
      if (found !== null) return found
    }
    this.counts.unknown++
    return null
  }

  #look(pattern: string): HeldSet | null | Promise<HeldSet | null> {
    const known = this.#patterns.get(pattern)
    if (known?.isCurrent) return this.#use(known.id)
    const absentUntil = this.#absent.get(pattern)
    if (absentUntil !== undefined && absentUntil > this.#now()) return null
    const waiting = this.#questions.get(pattern)
    if (waiting !== undefined) return waiting.answer
    if (this.#questions.size >= MAX_QUESTIONS) {
      this.counts.failures++
      return this.#heldFor(pattern)
    }
    const question: Question = { isOutdated: false, answer: Promise.resolve(null) }
    this.#questions.set(pattern, question)
    question.answer = this.#ask(pattern, question)
    return question.answer
  }

  /** Resolves to what is to be served, the old one when there is no answer. */
  async #ask(pattern: string, question: Question): Promise<HeldSet | null> {
    const late = Promise.withResolvers<'late'>()
    const timer = setTimeout(() => late.resolve('late'), ANSWER_LIMIT_MS)
    try {
      for (let round = 0; ; round++) {
        question.isOutdated = false
        this.counts.questions++
        const answer = await Promise.race([this.#options.ask(pattern), late.promise])
        if (answer === 'late') throw new Error(`No answer within ${ANSWER_LIMIT_MS} ms.`)
        // What came was on its way already when something newer became known.
        if (question.isOutdated && round < MAX_REPEATS) continue
        return this.#accept(pattern, answer, !question.isOutdated)
      }
    } catch (error) {
      this.counts.failures++
      this.#options.onError?.(error, pattern)
      return this.#heldFor(pattern)
    } finally {
      clearTimeout(timer)
      this.#questions.delete(pattern)
    }
  }

  #accept(pattern: string, set: CertificateSet | null, isCurrent: boolean): HeldSet | null {
    const known = this.#patterns.get(pattern)
    if (known !== undefined && known.id !== set?.id) this.#forget(pattern, known.id)
    if (set === null) {
      if (this.#absent.size >= MAX_ABSENT) this.#absent.clear()
      this.#absent.set(pattern, this.#now() + ABSENT_MS)
      return null
    }
    const before = this.#held.get(set.id)
    // An older one never takes the place of a newer one, whatever way it came.
    const held =
      before !== undefined && before.set.version >= set.version
        ? before
        : { set, context: undefined, options: undefined, patterns: before?.patterns ?? new Set() }
    held.patterns.add(pattern)
    this.#patterns.set(pattern, { id: set.id, isCurrent })
    this.#held.delete(set.id)
    this.#held.set(set.id, held)
    this.#evict()
    return held
  }

  #forget(pattern: string, id: string): void {
    this.#patterns.delete(pattern)
    const held = this.#held.get(id)
    held?.patterns.delete(pattern)
    if (held?.patterns.size === 0) this.#held.delete(id)
  }

  #evict(): void {
    for (const [id, held] of this.#held) {
      if (this.#held.size <= this.#options.maxContexts) return
      this.#held.delete(id)
      for (const pattern of held.patterns) this.#patterns.delete(pattern)
      this.counts.evictions++
    }
  }

  #use(id: string): HeldSet | null {
    const held = this.#held.get(id)
    if (held === undefined) return null
    this.#held.delete(id)
    this.#held.set(id, held)
    return held
  }

  #heldFor(pattern: string): HeldSet | null {
    const known = this.#patterns.get(pattern)
    return known === undefined ? null : this.#use(known.id)
  }

  /**
   * Contexts cost memory and time: each is made when the first client needs it. It has the certificates of all kinds of
   * keys: OpenSSL takes the one that the client can verify.
   */
  #contextOf(held: HeldSet | null): SecureContext | null {
    if (held === null) return null
    const options = this.#options.secureContext?.()
    if (held.context !== undefined && held.options === options) return held.context
    const { pairs, names, id } = held.set
    held.options = options
    held.context = null
    try {
      held.context = createSecureContext({
        ...options,
        cert: pairs.map(({ certPem }) => certPem),
        key: pairs.map(({ keyPem }) => keyPem),
      })
    } catch (error) {
      // It is refused until there is another one.
      this.#options.onError?.(error, names[0] ?? id)
    }
    return held.context
  }
}

interface HeldSet {
  readonly set: CertificateSet
  /** null = it cannot be used; undefined = nobody has needed it. */
  context: SecureContext | null | undefined
  /** That it was made with. */
  options: SecureContextOptions | undefined
  /** That lead here. */
  readonly patterns: Set<string>
}

interface Question {
  /** Something has changed since it was put. */
  isOutdated: boolean
  answer: Promise<HeldSet | null>
}

export function canonicalName(name: string): string {
  const lower = name.toLowerCase()
  return lower.endsWith('.') ? lower.slice(0, -1) : lower
}
