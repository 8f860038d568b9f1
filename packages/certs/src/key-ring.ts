import { createCipheriv, createDecipheriv, createHash, randomBytes } from 'node:crypto'

const CIPHER = 'aes-256-gcm'
const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const MAX_KEYS = 16

/** Seals texts so that whoever holds none of the keys can neither read nor change them (AES-256-GCM). */
export class KeyRing {
  readonly #keys: ReadonlyMap<string, Buffer>
  readonly #first: string

  /** The first key seals, each of them opens; at least one. */
  constructor(keys: readonly Buffer[]) {
    if (keys.length === 0) throw new TypeError('A key ring has at least one key.')
    this.#keys = new Map(keys.map((key) => [keyMark(key), key]))
    this.#first = keyMark(keys[0])
  }

  /** `about` is not in it, but it opens only with the same. */
  seal(text: string, about: string): string {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(CIPHER, this.#keyOf(this.#first), nonce)
    cipher.setAAD(Buffer.from(about))
    const sealed = Buffer.concat([nonce, cipher.update(text, 'utf8'), cipher.final()])
    const octets = Buffer.concat([sealed, cipher.getAuthTag()])
    return `1.${this.#first}.${octets.toString('base64url')}`
  }

  /** Throws when it was sealed with a key that is not here, about something else, or has been changed. */
  open(text: string, about: string): string {
    const [format, name, body] = text.split('.')
    if (format !== '1' || body === undefined)
      throw new Error('It is not in the form that is known.')
    const octets = Buffer.from(body, 'base64url')
    if (octets.length < NONCE_BYTES + TAG_BYTES) throw new Error('It is cut short.')
    const key = this.#keyOf(name)
    const decipher = createDecipheriv(CIPHER, key, octets.subarray(0, NONCE_BYTES))
    decipher.setAAD(Buffer.from(about))
    decipher.setAuthTag(octets.subarray(-TAG_BYTES))
    const opened = decipher.update(octets.subarray(NONCE_BYTES, -TAG_BYTES))
    return Buffer.concat([opened, decipher.final()]).toString('utf8')
  }

  #keyOf(name: string): Buffer {
    const key = this.#keys.get(name)
    if (key === undefined) throw new Error(`It is sealed with a key that is not here (${name}).`)
    return key
  }
}

/** One key on each line, 32 octets in hexadecimal or base64; a text says what is wrong. */
export function parseSealKeys(text: string): Buffer[] | string {
  const lines = text.split(/\s+/).filter((line) => line !== '')
  const keys = lines.map((line) =>
    /^[0-9a-f]{64}$/i.test(line) ? Buffer.from(line, 'hex') : Buffer.from(line, 'base64'),
  )
  if (
    keys.length === 0 ||
    keys.length > MAX_KEYS ||
    keys.some(({ length }) => length !== KEY_BYTES)
  ) {
    return `Expected a key of ${KEY_BYTES} octets in hexadecimal or base64, or up to ${MAX_KEYS} of them on lines of their own: the first encrypts, each decrypts. 'openssl rand -hex ${KEY_BYTES}' makes one.`
  }
  return keys
}

/** Tells keys apart without telling them. */
export function keyMark(key: Buffer): string {
  return createHash('sha256').update('larder key name\n').update(key).digest('hex').slice(0, 8)
}
