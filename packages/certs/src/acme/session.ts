import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { AcmeError, problemText, readProblem } from './acme-error.ts'
import { AcmeHttp, type AcmeResponse } from './acme-http.ts'
import {
  type ExternalAccount,
  externalAccountBinding,
  publicJwk,
  type Signer,
  signJws,
  thumbprint,
} from './jws.ts'
import type { AccountStore } from './ports.ts'
import { type Directory, readDirectory } from './resources.ts'

export interface AcmeSessionOptions {
  readonly directoryUrl: string
  /** E-mail addresses. */
  readonly contacts: readonly string[]
  /** Without it no account is made. */
  readonly termsAgreed: boolean
  readonly externalAccount?: ExternalAccount
  /** Whose certificate the directory may have; undefined = as on the Web. */
  readonly caPem?: string
  readonly accounts: AccountStore
  /** Epoch ms. */
  readonly now?: () => number
}

/** Nonces that are kept; each is good for one request. */
const MAX_NONCES = 8
/** RFC 8555 §6.5: a client retries; an authority that never takes a nonce is broken. */
const MAX_BAD_NONCES = 12
/** Questions that change nothing are asked again when no answer came. */
const MAX_ASKS = 3
const ASK_AGAIN_MS = 500
/** Directories change with the authority's software. */
const DIRECTORY_FOR_MS = 3_600_000

const JSON_TYPE = 'application/json'

interface Account {
  readonly key: KeyObject
  readonly kid: string
}

/** An account at one authority, and signed requests on its behalf. */
export class AcmeSession {
  readonly #options: AcmeSessionOptions
  readonly #http: AcmeHttp
  readonly #now: () => number
  readonly #nonces: string[] = []
  #directory: { readonly value: Directory; readonly readAt: number } | undefined
  #account: Promise<Account> | undefined

  constructor(options: AcmeSessionOptions) {
    this.#options = options
    this.#now = options.now ?? Date.now
    this.#http = new AcmeHttp(options.caPem, this.#now)
  }

  close(): Promise<void> {
    return this.#http.close()
  }

  async directory(signal: AbortSignal): Promise<Directory> {
    const known = this.#directory
    const now = this.#now()
    if (known !== undefined && Math.abs(now - known.readAt) < DIRECTORY_FOR_MS) return known.value
    const { directoryUrl } = this.#options
    const { body } = await this.get(directoryUrl, signal)
    const value = readDirectory(body, directoryUrl)
    this.#directory = { value, readAt: now }
    return value
  }

  /** Without a signature: the directory, and renewal information (RFC 9773 §4). */
  async get(url: string, signal: AbortSignal): Promise<AcmeResponse> {
    return askAgain(signal, async () => succeeded(await this.#http.get(url, signal)))
  }

  /** POST-as-GET (RFC 8555 §6.3). */
  async read(url: string, signal: AbortSignal, accept = JSON_TYPE): Promise<AcmeResponse> {
    return askAgain(signal, () => this.#asAccount(url, undefined, accept, signal))
  }

  /** Changes something; sent once, but for a nonce that is refused. */
  change(url: string, payload: unknown, signal: AbortSignal): Promise<AcmeResponse> {
    return this.#asAccount(url, payload, JSON_TYPE, signal)
  }

  /** RFC 8555 §8.1. `token` as the authority gave it. */
  async keyAuthorization(token: string, signal: AbortSignal): Promise<string> {
    const { key } = await this.#opened(signal)
    return `${token}.${thumbprint(publicJwk(key))}`
  }

  async #asAccount(
    url: string,
    payload: unknown,
    accept: string,
    signal: AbortSignal,
  ): Promise<AcmeResponse> {
    const account = this.#opened(signal)
    const { key, kid } = await account
    try {
      return await this.#signed(url, key, { kid }, payload, accept, signal)
    } catch (error) {
      // The authority has forgotten us: the next request makes the account anew.
      if (error instanceof AcmeError && error.problem?.type === 'accountDoesNotExist') {
        if (this.#account === account) this.#account = undefined
        this.#directory = undefined
      }
      throw error
    }
  }

  #opened(signal: AbortSignal): Promise<Account> {
    if (this.#account === undefined) {
      const opening = this.#open(signal)
      this.#account = opening
      opening.catch(() => {
        if (this.#account === opening) this.#account = undefined
      })
    }
    return this.#account
  }

  /** RFC 8555 §7.3: finds the account of our key, or makes it. */
  async #open(signal: AbortSignal): Promise<Account> {
    const { directoryUrl, contacts, termsAgreed, externalAccount, accounts } = this.#options
    const directory = await this.directory(signal)
    if (!termsAgreed) {
      const terms = directory.termsOfService ?? directoryUrl
      throw new AcmeError(
        'here',
        `The terms of the authority are not agreed to. Read them (${terms}), then set acme.termsAgreed to true.`,
      )
    }
    if (directory.externalAccountRequired && externalAccount === undefined) {
      throw new AcmeError(
        'here',
        'The authority wants an external account (RFC 8555 §7.3.4). Give acme.eab with the kid and the hmacFile that it has issued.',
      )
    }
    let pem = await accounts.load(directoryUrl)
    if (pem === null) {
      // Kept before it is used: an account whose key is lost is of no use to anyone.
      pem = newAccountKey()
      await accounts.save(directoryUrl, pem)
    }
    const key = createPrivateKey(pem)
    const jwk = publicJwk(key)
    const url = directory.newAccount
    const payload = {
      termsOfServiceAgreed: true,
      contact: contacts.map((address) => `mailto:${address}`),
      ...(externalAccount === undefined
        ? {}
        : { externalAccountBinding: externalAccountBinding(externalAccount, url, jwk) }),
    }
    const { location } = await this.#signed(url, key, { jwk }, payload, JSON_TYPE, signal)
    if (location === undefined) {
      throw new AcmeError('unreachable', `The authority gave the account at ${url} no location.`)
    }
    return { key, kid: location }
  }

  async #signed(
    url: string,
    key: KeyObject,
    signer: Signer,
    payload: unknown,
    accept: string,
    signal: AbortSignal,
  ): Promise<AcmeResponse> {
    for (let refused = 0; ; refused++) {
      const nonce = this.#nonces.pop() ?? (await this.#newNonce(signal))
      const jws = signJws(key, signer, { url, nonce }, payload)
      const response = await this.#http.post(url, jws, accept, signal)
      this.#keepNonce(response.nonce)
      try {
        return succeeded(response)
      } catch (error) {
        const isBadNonce = error instanceof AcmeError && error.problem?.type === 'badNonce'
        if (!isBadNonce || refused >= MAX_BAD_NONCES) throw error
      }
    }
  }

  /** RFC 8555 §7.2 */
  async #newNonce(signal: AbortSignal): Promise<string> {
    const { newNonce } = await this.directory(signal)
    const { nonce } = succeeded(await this.#http.head(newNonce, signal))
    if (nonce === undefined) throw new AcmeError('unreachable', `There is no nonce at ${newNonce}.`)
    return nonce
  }

  #keepNonce(nonce: string | undefined): void {
    if (nonce === undefined) return
    if (this.#nonces.length >= MAX_NONCES) this.#nonces.shift()
    this.#nonces.push(nonce)
  }
}

function newAccountKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** Throws what the authority says is wrong. */
function succeeded(response: AcmeResponse): AcmeResponse {
  const { status, body, retryAfterMs } = response
  if (status >= 200 && status < 300) return response
  let value: unknown
  try {
    value = JSON.parse(body)
  } catch {
    value = null
  }
  const problem = readProblem(status, value)
  const fault = status >= 500 || status < 400 ? 'unreachable' : 'refused'
  throw new AcmeError(fault, `The authority refuses: ${problemText(problem)}`, {
    problem,
    retryAfterMs,
  })
}

async function askAgain(
  signal: AbortSignal,
  ask: () => Promise<AcmeResponse>,
): Promise<AcmeResponse> {
  for (let asked = 1; ; asked++) {
    try {
      return await ask()
    } catch (error) {
      const again = error instanceof AcmeError && error.fault === 'unreachable'
      // An authority that says when to come back is not asked before.
      if (!again || asked >= MAX_ASKS || error.retryAfterMs !== undefined) throw error
      await sleep(ASK_AGAIN_MS * 2 ** asked * (0.5 + Math.random() / 2), undefined, { signal })
    }
  }
}
