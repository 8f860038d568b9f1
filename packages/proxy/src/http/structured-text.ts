/** Writes the structured field values (RFC 9651) that go out with every answer; the general library is too dear there. */

/** A String item; characters a String cannot carry become `?`. */
export function sfString(text: string): string {
  return `"${text.replace(/[^\x20-\x7e]/g, '?').replace(/["\\]/g, '\\$&')}"`
}

/** A Token when the text is one, a String otherwise. */
export function sfTokenOrString(text: string): string {
  return /^[A-Za-z*][!#$%&'*+\-.^_`|~0-9A-Za-z:/]*$/.test(text) ? text : sfString(text)
}
