/** What a client says first (RFC 8446 §4.1.2), as far as it decides which certificate it is shown. */
export type ClientHello =
  /** Not all of it is here. */
  | { readonly kind: 'more' }
  /** `alert`: what to tell the client (RFC 8446 §6.2); undefined when it does not speak TLS at all. */
  | { readonly kind: 'invalid'; readonly alert: number | undefined }
  | {
      readonly kind: 'hello'
      /** SNI in lower case; undefined when there is none. */
      readonly serverName: string | undefined
      readonly protocols: readonly string[]
      /** What it can verify, best first, named as `TLSSocket.getSharedSigalgs` does: 'ECDSA+SHA256'. */
      readonly signatures: readonly string[]
    }

/** A hello with a key for every group and many tickets takes 4 KiB; OpenSSL allows 128. */
export const MAX_HELLO_BYTES = 16 * 1024
/** Records may be as small as the client likes: so much more than the hello itself is read. */
const MAX_RECORD_BYTES = 2 * MAX_HELLO_BYTES

const HANDSHAKE = 22
const CLIENT_HELLO = 1
const SERVER_NAME = 0
const SIGNATURE_ALGORITHMS = 13
const ALPN = 16

const DECODE_ERROR = 50
const ILLEGAL_PARAMETER = 47
const UNEXPECTED_MESSAGE = 10

const MORE: ClientHello = { kind: 'more' }

/**
 * Reads the hello at the beginning of `bytes`; to be asked again with more bytes when it says `more`. Whatever is odd is
 * refused: the name that is read here has to be the one that OpenSSL reads.
 */
export function parseClientHello(bytes: Buffer): ClientHello {
  if (bytes.length === 0) return MORE
  if (bytes[0] !== HANDSHAKE) return invalid(undefined)
  const message = handshakeMessage(bytes)
  return Buffer.isBuffer(message) ? parseMessage(message) : message
}

/** The first handshake message without its records (RFC 8446 §5.1): it may come in several. */
function handshakeMessage(bytes: Buffer): Buffer | ClientHello {
  const pieces: Buffer[] = []
  let have = 0
  let wanted = 4
  for (let at = 0; have < wanted; ) {
    if (at > MAX_RECORD_BYTES) return invalid(ILLEGAL_PARAMETER)
    if (bytes.length < at + 5) return MORE
    if (bytes[at] !== HANDSHAKE || bytes[at + 1] !== 3) return invalid(UNEXPECTED_MESSAGE)
    const length = bytes.readUInt16BE(at + 3)
    // RFC 8446 §5.1: no fragments without content, none of more than 2^14 octets.
    if (length === 0 || length > 16_384) return invalid(DECODE_ERROR)
    const piece = bytes.subarray(at + 5, at + 5 + length)
    pieces.push(piece)
    have += piece.length
    if (have >= 4 && wanted === 4) {
      const start = pieces.length === 1 ? piece : Buffer.concat(pieces)
      if (start[0] !== CLIENT_HELLO) return invalid(UNEXPECTED_MESSAGE)
      wanted = 4 + start.readUIntBE(1, 3)
      if (wanted > MAX_HELLO_BYTES) return invalid(ILLEGAL_PARAMETER)
    }
    if (piece.length < length) return have >= wanted && wanted > 4 ? joined(pieces, wanted) : MORE
    at += 5 + length
  }
  return joined(pieces, wanted)
}

function joined(pieces: Buffer[], length: number): Buffer {
  return (pieces.length === 1 ? pieces[0] : Buffer.concat(pieces)).subarray(4, length)
}

function parseMessage(message: Buffer): ClientHello {
  const reader = new Reader(message)
  // legacy_version, random
  reader.skip(34)
  reader.vector(1)
  reader.vector(2)
  reader.vector(1)
  // RFC 5246 §7.4.1.2: a client without extensions may leave out their length too.
  const extensions = reader.isAtEnd ? new Reader(Buffer.alloc(0)) : reader.vector(2)
  let serverName: string | undefined
  let protocols: string[] = []
  let signatures: string[] = []
  const seen = new Set<number>()
  while (!extensions.isAtEnd && !extensions.isBroken) {
    const type = extensions.number(2)
    const content = extensions.vector(2)
    if (extensions.isBroken) break
    // RFC 8446 §4.2
    if (seen.has(type)) return invalid(ILLEGAL_PARAMETER)
    seen.add(type)
    if (type === SERVER_NAME) {
      const name = serverNameOf(content)
      if (name === undefined) return invalid(DECODE_ERROR)
      serverName = name
    } else if (type === ALPN) {
      const offered = protocolsOf(content)
      if (offered === undefined) return invalid(DECODE_ERROR)
      protocols = offered
    } else if (type === SIGNATURE_ALGORITHMS) {
      const named = signaturesOf(content)
      if (named === undefined) return invalid(DECODE_ERROR)
      signatures = named
    }
  }
  if (reader.isBroken || !reader.isAtEnd || extensions.isBroken) return invalid(DECODE_ERROR)
  return { kind: 'hello', serverName, protocols, signatures }
}

/** RFC 6066 §3: one name of the only type there is. */
function serverNameOf(content: Reader): string | undefined {
  const list = content.vector(2)
  const type = list.number(1)
  const name = list.vector(2)
  const good = content.isWhole && list.isWhole && type === 0 && name.length > 0
  return good && name.length <= 255 ? name.text().toLowerCase() : undefined
}

/** RFC 7301 §3.1 */
function protocolsOf(content: Reader): string[] | undefined {
  const list = content.vector(2)
  const protocols: string[] = []
  while (!list.isAtEnd && !list.isBroken) protocols.push(list.vector(1).text())
  const good = content.isWhole && list.isWhole && protocols.every((each) => each !== '')
  return good && protocols.length > 0 ? protocols : undefined
}

/** RFC 8446 §4.2.3; schemes that no server certificate has here are left out. */
function signaturesOf(content: Reader): string[] | undefined {
  const list = content.vector(2)
  const signatures: string[] = []
  while (!list.isAtEnd && !list.isBroken) {
    const name = SIGNATURES.get(list.number(2))
    if (name !== undefined) signatures.push(name)
  }
  return content.isWhole && list.isWhole && list.length > 0 ? signatures : undefined
}

const SIGNATURES: ReadonlyMap<number, string> = new Map([
  [0x0403, 'ECDSA+SHA256'],
  [0x0503, 'ECDSA+SHA384'],
  [0x0603, 'ECDSA+SHA512'],
  [0x0804, 'RSA-PSS+SHA256'],
  [0x0805, 'RSA-PSS+SHA384'],
  [0x0806, 'RSA-PSS+SHA512'],
  [0x0401, 'RSA+SHA256'],
  [0x0501, 'RSA+SHA384'],
  [0x0601, 'RSA+SHA512'],
])

/** Reads on and on; what is not there is empty, and `isBroken` says so at the end. */
class Reader {
  readonly #bytes: Buffer
  #at = 0
  isBroken = false

  constructor(bytes: Buffer) {
    this.#bytes = bytes
  }

  get length(): number {
    return this.#bytes.length
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }

  get isWhole(): boolean {
    return this.isAtEnd && !this.isBroken
  }

  skip(count: number): void {
    if (this.#at + count > this.#bytes.length) this.isBroken = true
    else this.#at += count
  }

  number(size: 1 | 2): number {
    const at = this.#at
    this.skip(size)
    return this.isBroken ? 0 : this.#bytes.readUIntBE(at, size)
  }

  vector(lengthSize: 1 | 2): Reader {
    const length = this.number(lengthSize)
    const at = this.#at
    this.skip(length)
    return new Reader(this.isBroken ? Buffer.alloc(0) : this.#bytes.subarray(at, at + length))
  }

  text(): string {
    return this.#bytes.latin1Slice(0, this.#bytes.length)
  }
}

function invalid(alert: number | undefined): ClientHello {
  return { kind: 'invalid', alert }
}
