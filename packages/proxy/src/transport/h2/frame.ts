/** Frame types, flags and error codes of HTTP/2, and the few bytes that every frame begins with (RFC 9113 §4, §6, §7). */

export const FRAME = {
  data: 0x0,
  headers: 0x1,
  priority: 0x2,
  resetStream: 0x3,
  settings: 0x4,
  pushPromise: 0x5,
  ping: 0x6,
  goaway: 0x7,
  windowUpdate: 0x8,
  continuation: 0x9,
  /** RFC 9218 §7.1 */
  priorityUpdate: 0x10,
} as const

export const FLAG = {
  endStream: 0x1,
  ack: 0x1,
  endHeaders: 0x4,
  padded: 0x8,
  priority: 0x20,
} as const

/** RFC 9113 §7 */
export const ERROR = {
  none: 0x0,
  protocol: 0x1,
  internal: 0x2,
  flowControl: 0x3,
  settingsTimeout: 0x4,
  streamClosed: 0x5,
  frameSize: 0x6,
  refusedStream: 0x7,
  cancel: 0x8,
  compression: 0x9,
  connect: 0xa,
  enhanceYourCalm: 0xb,
} as const

/** RFC 9113 §3.4 */
export const CLIENT_PREFACE: Buffer = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 'latin1')

export const FRAME_HEAD_BYTES = 9

/** The largest payload that either side sends here: the default of SETTINGS_MAX_FRAME_SIZE, which we never raise. */
export const MAX_FRAME_BYTES = 16_384

/** The largest value of a flow-control window and of a stream id. */
export const MAX_UINT31 = 0x7fff_ffff

export const DEFAULT_WINDOW_BYTES = 65_535

/** Returns the offset behind the nine octets. */
export function writeFrameHead(
  buffer: Buffer,
  at: number,
  length: number,
  type: number,
  flags: number,
  streamId: number,
): number {
  buffer[at] = length >> 16
  buffer[at + 1] = length >> 8
  buffer[at + 2] = length
  buffer[at + 3] = type
  buffer[at + 4] = flags
  return writeUint32(buffer, at + 5, streamId)
}

export function writeUint32(buffer: Buffer, at: number, value: number): number {
  buffer[at] = value >>> 24
  buffer[at + 1] = value >> 16
  buffer[at + 2] = value >> 8
  buffer[at + 3] = value
  return at + 4
}

export function readUint32(buffer: Buffer, at: number): number {
  return readUint31(buffer, at) + (buffer[at] & 0x80 ? 0x8000_0000 : 0)
}

/** Reads 32 bits and ignores the first, which is reserved. */
export function readUint31(buffer: Buffer, at: number): number {
  return (
    ((buffer[at] & 0x7f) << 24) | (buffer[at + 1] << 16) | (buffer[at + 2] << 8) | buffer[at + 3]
  )
}
