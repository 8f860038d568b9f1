import type { TransportLimits } from '../limits.ts'
import { DEFAULT_WINDOW_BYTES, ERROR, MAX_UINT31, readUint32 } from './frame.ts'

/** RFC 9113 §6.5.2; RFC 8441 §3; RFC 9218 §2.1 */
const SETTING = {
  headerTableSize: 0x1,
  enablePush: 0x2,
  maxConcurrentStreams: 0x3,
  initialWindowSize: 0x4,
  maxFrameSize: 0x5,
  maxHeaderListSize: 0x6,
  enableConnectProtocol: 0x8,
  noRfc7540Priorities: 0x9,
} as const

const SETTING_BYTES = 6

/** What the client told us. Only what a server heeds: we push nothing and open no streams. */
export class PeerSettings {
  initialWindowBytes = DEFAULT_WINDOW_BYTES
  headerTableBytes = 4096
  #noRfc7540Priorities = -1

  /** Takes a SETTINGS payload of whole settings; the error code of the first that is wrong, or `ERROR.none`. */
  apply(buffer: Buffer, start: number, end: number): number {
    for (let at = start; at < end; at += SETTING_BYTES) {
      const id = (buffer[at] << 8) | buffer[at + 1]
      const error = this.#applyOne(id, readUint32(buffer, at + 2))
      if (error !== ERROR.none) return error
    }
    return ERROR.none
  }

  #applyOne(id: number, value: number): number {
    switch (id) {
      case SETTING.headerTableSize:
        this.headerTableBytes = value
        break
      case SETTING.enablePush:
      case SETTING.enableConnectProtocol:
        if (value > 1) return ERROR.protocol
        break
      case SETTING.initialWindowSize:
        if (value > MAX_UINT31) return ERROR.flowControl
        this.initialWindowBytes = value
        break
      case SETTING.maxFrameSize:
        // Our frames have the smallest size that everybody takes, so the value itself changes nothing.
        if (value < 16_384 || value > 0xff_ffff) return ERROR.protocol
        break
      case SETTING.noRfc7540Priorities:
        // RFC 9218 §2.1: 0 or 1, and the first SETTINGS decides.
        if (value > 1) return ERROR.protocol
        if (this.#noRfc7540Priorities >= 0 && this.#noRfc7540Priorities !== value) {
          return ERROR.protocol
        }
        this.#noRfc7540Priorities = value
        break
    }
    return ERROR.none
  }
}

/** The payload of the one SETTINGS frame that we send. */
export function ourSettings(limits: TransportLimits, connectProtocol: boolean): Buffer {
  const settings: [id: number, value: number][] = [
    [SETTING.maxConcurrentStreams, limits.maxConcurrentStreams],
    [SETTING.maxHeaderListSize, limits.maxHeaderBytes],
    [SETTING.noRfc7540Priorities, 1],
  ]
  if (connectProtocol) settings.push([SETTING.enableConnectProtocol, 1])
  const payload = Buffer.alloc(settings.length * SETTING_BYTES)
  settings.forEach(([id, value], i) => {
    payload.writeUInt16BE(id, i * SETTING_BYTES)
    payload.writeUInt32BE(value, i * SETTING_BYTES + 2)
  })
  return payload
}
