import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import { parseRing, serialiseRing, type TicketRing } from './ticket-ring.ts'

const FORMAT = 1
const IV_BYTES = 12
const TAG_BYTES = 16
/** Also keeps what is sealed here apart from all else that is sealed with the same secret. */
const PURPOSE = 'larder session ticket keys, format 1'

/** A ring as it may lie where others read: AES-256-GCM, under a key that HKDF makes of the secret (RFC 5869). */
export function sealRing(ring: TicketRing, secret: Buffer): Buffer {
  const iv = randomBytes(IV_BYTES)
  const cipher = createCipheriv('aes-256-gcm', keyOf(secret), iv)
  cipher.setAAD(Buffer.from(PURPOSE))
  const text = Buffer.concat([cipher.update(serialiseRing(ring), 'utf8'), cipher.final()])
  return Buffer.concat([Buffer.from([FORMAT]), iv, cipher.getAuthTag(), text])
}

/** null when it was not sealed so with this secret. */
export function openRing(sealed: Buffer, secret: Buffer): TicketRing | null {
  if (sealed.length <= 1 + IV_BYTES + TAG_BYTES || sealed[0] !== FORMAT) return null
  const iv = sealed.subarray(1, 1 + IV_BYTES)
  const decipher = createDecipheriv('aes-256-gcm', keyOf(secret), iv, { authTagLength: TAG_BYTES })
  decipher.setAAD(Buffer.from(PURPOSE))
  decipher.setAuthTag(sealed.subarray(1 + IV_BYTES, 1 + IV_BYTES + TAG_BYTES))
  try {
    const text = decipher.update(sealed.subarray(1 + IV_BYTES + TAG_BYTES))
    return parseRing(Buffer.concat([text, decipher.final()]).toString('utf8'))
  } catch {
    // Another secret, or other octets: node:crypto says no more.
    return null
  }
}

function keyOf(secret: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', secret, '', PURPOSE, 32))
}
