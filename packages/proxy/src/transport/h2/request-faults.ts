/** What is wrong with a request: `status` says it to the log, and to the client where it is answered at all. */
export interface RequestFault {
  readonly status: number
  readonly reason: string
}

const fault = (status: number, reason: string): RequestFault => ({ status, reason })

/** Answered as RFC 9113 §8.1.1 asks of a malformed request: by resetting the stream. */
const malformed = (reason: string): RequestFault => fault(400, reason)

export const PSEUDO_AFTER_REGULAR: RequestFault = malformed('a pseudo-field after a regular field')
export const PSEUDO_TWICE: RequestFault = malformed('a pseudo-field that comes twice')
export const PSEUDO_IN_TRAILERS: RequestFault = malformed('a pseudo-field in trailers')
export const INVALID_LINE: RequestFault = malformed('a field line that HTTP/2 does not allow')
export const TWO_HOSTS: RequestFault = malformed('several Host lines')
export const TWO_LENGTHS: RequestFault = malformed('several Content-Length lines')
export const SECTION_TOO_LARGE: RequestFault = fault(431, 'the field section is too large')
export const NO_METHOD: RequestFault = malformed('no :method that is a token')
export const NO_SCHEME: RequestFault = malformed('no :scheme that is http or https')
export const NO_PATH: RequestFault = malformed('no :path')
export const BAD_PATH: RequestFault = malformed('a malformed :path')
export const BAD_AUTHORITY: RequestFault = malformed('no well-formed authority')
export const HOST_DIFFERS: RequestFault = malformed('Host differs from :authority')
export const TARGET_TOO_LONG: RequestFault = fault(414, 'the request target is too long')
export const PLAIN_CONNECT: RequestFault = fault(501, 'CONNECT is not offered')
export const BAD_CONNECT: RequestFault = malformed('CONNECT with the wrong pseudo-fields')
export const CONNECT_PROTOCOL_OFF: RequestFault = malformed(':protocol without extended CONNECT')
