import { isFieldValue, isToken } from '../../http/field-syntax.ts'
import { Fields } from '../../http/fields.ts'
import { STATIC_FIELDS } from './hpack-tables.ts'

/**
 * Field blocks without references to a dynamic table: they cost some bytes, but the same block is right on every
 * connection, so the head of a stored response is encoded once, when it is stored.
 */

/** The first static index of each name, and of each :status with its value. */
const NAME_INDEX = new Map<string, number>()
const STATUS_INDEX = new Map<number, number>()
STATIC_FIELDS.forEach(([name, value], i) => {
  if (!NAME_INDEX.has(name)) NAME_INDEX.set(name, i + 1)
  if (name === ':status') STATUS_INDEX.set(Number(value), i + 1)
})

/** RFC 7541 §6.3: an update of the encoder's table to nothing; must precede the first line of a block. */
export const EMPTY_TABLE_UPDATE = 0x20

/** Fields that belong to a connection and may not stand in an HTTP/2 message (RFC 9113 §8.2.2). */
const CONNECTION_FIELDS = new Set([
  'connection',
  'keep-alive',
  'proxy-connection',
  'transfer-encoding',
  'upgrade',
])

/** Literals that no cache of the client side may index (RFC 7541 §7.1.3). */
const NEVER_INDEXED = new Set(['set-cookie', 'authorization', 'www-authenticate'])

const NO_FIELDS = new Fields()

/** The field block of a response. `date` is added when it is given and the fields have none. */
export function encodeHeadBlock(
  status: number,
  fields: Fields,
  date: string | null = null,
): Buffer {
  const withDate = date !== null && !fields.has('date')
  const block = Buffer.allocUnsafe(maxBlockBytes(fields) + 64)
  let at = writeStatus(block, 0, status)
  at = writeLines(block, at, fields)
  if (withDate) at = writeLine(block, at, 'date', date)
  return block.subarray(0, at)
}

/** The field block of a response without content of its own. */
export function encodeStatusBlock(status: number, date: string): Buffer {
  return encodeHeadBlock(status, NO_FIELDS, date)
}

export function encodeTrailerBlock(fields: Fields): Buffer {
  const block = Buffer.allocUnsafe(maxBlockBytes(fields))
  return block.subarray(0, writeLines(block, 0, fields))
}

function maxBlockBytes(fields: Fields): number {
  let bytes = 0
  // A prefix octet, and at most four octets of length before each of name and value.
  for (const text of fields.list) bytes += text.length + 5
  return bytes
}

function writeStatus(block: Buffer, at: number, status: number): number {
  const index = STATUS_INDEX.get(status)
  if (index === undefined) return writeLine(block, at, ':status', String(status))
  block[at] = 0x80 | index
  return at + 1
}

function writeLines(block: Buffer, start: number, fields: Fields): number {
  const list = fields.list
  let at = start
  for (let i = 0; i < list.length; i += 2) {
    const name = list[i]
    const value = list[i + 1]
    // A line that HTTP cannot carry is left out: with it the client would have to refuse the whole response
    // (RFC 9113 §8.2.1).
    if (CONNECTION_FIELDS.has(name) || !isToken(name) || !isFieldValue(value)) continue
    at = writeLine(block, at, name, value)
  }
  return at
}

function writeLine(block: Buffer, start: number, name: string, value: string): number {
  const index = NAME_INDEX.get(name) ?? 0
  let at = writeInteger(block, start, index, 0x0f, NEVER_INDEXED.has(name) ? 0x10 : 0)
  if (index === 0) at = writeText(block, at, name)
  return writeText(block, at, value)
}

function writeText(block: Buffer, start: number, text: string): number {
  const at = writeInteger(block, start, text.length, 0x7f, 0)
  return at + block.write(text, at, 'latin1')
}

/** RFC 7541 §5.1: `mask` is the room in the first octet, `prefix` what else stands in it. */
function writeInteger(
  block: Buffer,
  start: number,
  value: number,
  mask: number,
  prefix: number,
): number {
  if (value < mask) {
    block[start] = prefix | value
    return start + 1
  }
  block[start] = prefix | mask
  let at = start + 1
  let rest = value - mask
  for (; rest >= 0x80; rest >>>= 7) block[at++] = (rest & 0x7f) | 0x80
  block[at] = rest
  return at + 1
}
