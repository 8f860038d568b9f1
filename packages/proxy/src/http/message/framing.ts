/** Values of a body length beside a number of bytes. */
export const NO_BODY = -1
export const CHUNKED_BODY = -2
