import { createHash, createHmac, createPublicKey, type KeyObject, sign } from 'node:crypto'

/** The members of an EC key that a thumbprint is made of, in that order (RFC 7638 §3.2). */
export interface EcJwk {
  readonly crv: string
  readonly kty: 'EC'
  readonly x: string
  readonly y: string
}

/** Whose signature it is: the key itself for a new account, the account's URL afterwards (RFC 8555 §6.2). */
export type Signer = { readonly jwk: EcJwk } | { readonly kid: string }

/** A key that has been given out by the authority's operator, out of band (RFC 8555 §7.3.4). */
export interface ExternalAccount {
  readonly kid: string
  /** base64url, as operators give it out. */
  readonly hmacKey: string
}

export function publicJwk(key: KeyObject): EcJwk {
  const { crv, kty, x, y } = createPublicKey(key).export({ format: 'jwk' })
  if (kty !== 'EC' || crv === undefined || x === undefined || y === undefined) {
    throw new TypeError('An account key is a P-256 key.')
  }
  return { crv, kty, x, y }
}

/** RFC 7638 §3 */
export function thumbprint({ crv, kty, x, y }: EcJwk): string {
  return createHash('sha256').update(JSON.stringify({ crv, kty, x, y })).digest('base64url')
}

/** Flattened JWS with ES256 (RFC 7515 §7.2.2, RFC 7518 §3.4). `payload` undefined = POST-as-GET (RFC 8555 §6.3). */
export function signJws(
  key: KeyObject,
  signer: Signer,
  header: { readonly url: string; readonly nonce: string },
  payload: unknown,
): string {
  const head = encoded({ alg: 'ES256', ...signer, ...header })
  const body = payload === undefined ? '' : encoded(payload)
  // JOSE has r and s one after the other, not DER.
  const signature = sign('sha256', Buffer.from(`${head}.${body}`), {
    key,
    dsaEncoding: 'ieee-p1363',
  })
  return JSON.stringify({
    protected: head,
    payload: body,
    signature: signature.toString('base64url'),
  })
}

/** That the holder of the external account agrees to this key (RFC 8555 §7.3.4): HS256 over the key, without a nonce. */
export function externalAccountBinding(
  { kid, hmacKey }: ExternalAccount,
  url: string,
  jwk: EcJwk,
): unknown {
  const head = encoded({ alg: 'HS256', kid, url })
  const payload = encoded(jwk)
  const mac = createHmac('sha256', Buffer.from(hmacKey, 'base64url'))
  return {
    protected: head,
    payload,
    signature: mac.update(`${head}.${payload}`).digest('base64url'),
  }
}

function encoded(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url')
}
