import { listMembers } from '../http/field-syntax.ts'
import type { Fields } from '../http/fields.ts'
import {
  normaliseAcceptEncoding,
  normaliseAcceptLanguage,
  prefersLanguage,
} from './normalise-accept.ts'

/**
 * Nominated fields and variants (RFC 9111 §4.1). Two values select the same variant when they are equal after what is
 * known not to change their meaning: white space around commas, several lines against one, and for the fields whose
 * grammar we know, case and order.
 */
export interface VariantKey {
  /** Names in lower case, sorted, without duplicates. */
  readonly names: readonly string[]
  /** The original request's normalised values, in the order of `names`; undefined for an absent field. */
  readonly values: readonly (string | undefined)[]
}

export const NO_VARIANT: VariantKey = Object.freeze({ names: [], values: [] })

export function variantKey(vary: string | undefined, request: Fields): VariantKey {
  if (vary === undefined) return NO_VARIANT
  const names = [...new Set(listMembers(vary.toLowerCase()))].sort()
  if (names.length === 0) return NO_VARIANT
  return { names, values: names.map((name) => normalisedValue(name, request)) }
}

/** `contentLanguage`: of the stored response; a client that likes this language best is not sent for another. */
export function matchesVariant(
  key: VariantKey,
  request: Fields,
  contentLanguage?: string,
): boolean {
  const { names, values } = key
  for (let i = 0; i < names.length; i++) {
    if (normalisedValue(names[i], request) === values[i]) continue
    if (names[i] !== 'accept-language' || contentLanguage === undefined) return false
    if (!prefersLanguage(request.get('accept-language'), contentLanguage)) return false
  }
  return true
}

export function sameVariant(a: VariantKey, b: VariantKey): boolean {
  if (a.names.length !== b.names.length) return false
  return a.names.every((name, i) => name === b.names[i] && a.values[i] === b.values[i])
}

function normalisedValue(name: string, request: Fields): string | undefined {
  // Absent and empty are different requests (RFC 9111 §4.1: absent matches only absent).
  const value = request.get(name)
  if (value === undefined) return undefined
  if (name === 'accept-encoding') return normaliseAcceptEncoding(value)
  if (name === 'accept-language') return normaliseAcceptLanguage(value)
  return value
    .trim()
    .replace(/[ \t]*,[ \t]*/g, ',')
    .replace(/[ \t]+/g, ' ')
}
