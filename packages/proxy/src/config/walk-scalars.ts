import { isMap, isScalar, isSeq, type Node } from 'yaml'
import { didYouMean } from './nearest-name.ts'
import type { Problems } from './problems.ts'
import { parseDurationMs, parseSizeBytes } from './units.ts'
import { VALUE_KINDS } from './value-kinds.ts'
import type { SchemaNode } from './walk.ts'

/** A scalar against every branch of its schema: the value, or undefined with the problem reported. */
export function checkScalar(
  schema: SchemaNode,
  first: SchemaNode,
  node: Node,
  path: string,
  problems: Problems,
): unknown {
  const value: unknown = isScalar(node) ? node.value : undefined
  const branches = (schema.anyOf ?? [first]).filter(
    (branch) => branch.type !== 'object' && branch.type !== 'array',
  )
  let reason: string | undefined
  for (const branch of branches) {
    const problem = problemWith(branch, value)
    if (problem === undefined) return value
    // The branch of the right type has the most to say.
    if (reason === undefined || problem.specific) reason = problem.message
  }
  const words = branches.flatMap((branch) => wordsOf(branch))
  const isWord = typeof value === 'string' && words.length > 0
  const hint = isWord ? didYouMean(value, words) : ''
  const many = branches.length > 1 || schema.anyOf !== undefined
  problems.error(
    path,
    many && hint !== ''
      ? `Expected ${expectation(schema)}, got ${describe(node)}.${hint}`
      : `${reason}${hint}`,
  )
  return undefined
}

function problemWith(
  schema: SchemaNode,
  value: unknown,
): { message: string; specific: boolean } | undefined {
  const got = describeValue(value)
  const mismatch = { message: `Expected ${expectation(schema)}, got ${got}.`, specific: false }
  if (schema.const !== undefined) return value === schema.const ? undefined : mismatch
  if (schema.enum !== undefined) {
    return typeof value === 'string' && schema.enum.includes(value) ? undefined : mismatch
  }
  switch (schema.type) {
    case 'boolean':
      return typeof value === 'boolean' ? undefined : mismatch
    case 'integer':
      return integerProblem(schema, value, mismatch)
    case 'string':
      if (schema.kind === 'duration' || schema.kind === 'size') {
        const message = amountProblem(schema, schema.kind, value)
        return message === undefined ? undefined : { message, specific: true }
      }
      if (typeof value !== 'string') return mismatch
      return stringProblem(schema, value)
    default:
      return mismatch
  }
}

function integerProblem(
  schema: SchemaNode,
  value: unknown,
  mismatch: { message: string; specific: boolean },
) {
  if (typeof value !== 'number' || !Number.isInteger(value)) return mismatch
  const { minimum = Number.NEGATIVE_INFINITY, maximum = Number.POSITIVE_INFINITY } = schema
  if (value >= minimum && value <= maximum) return undefined
  const message = `Expected a whole number from ${minimum} to ${maximum}, got ${value}.`
  return { message, specific: true }
}

function amountProblem(
  schema: SchemaNode,
  kind: 'duration' | 'size',
  value: unknown,
): string | undefined {
  const example = kind === 'duration' ? 's' : 'MiB'
  if (typeof value === 'number') {
    return `Expected ${expectation(schema)}, got the bare number ${value}. Write its unit, for example ${value}${example}.`
  }
  const parse = kind === 'duration' ? parseDurationMs : parseSizeBytes
  const amount = typeof value === 'string' ? parse(value) : undefined
  if (amount === undefined) {
    const bare = typeof value === 'string' && /^\d+$/.test(value)
    const cure = bare ? ` Write its unit, for example ${value}${example}.` : ''
    return `Expected ${expectation(schema)}, got ${describeValue(value)}.${cure}`
  }
  const { min, max } = schema
  if (min !== undefined && amount < (parse(min) ?? 0)) {
    return `Expected at least ${min}, got ${describeValue(value)}.`
  }
  if (max !== undefined && amount > (parse(max) ?? Number.POSITIVE_INFINITY)) {
    return `Expected at most ${max}, got ${describeValue(value)}.`
  }
  return undefined
}

function stringProblem(schema: SchemaNode, value: string) {
  const { minLength = 0, maxLength = 4096 } = schema
  const kind = schema.kind === undefined ? undefined : VALUE_KINDS[schema.kind]
  if (kind !== undefined) {
    const message = kind.problem(value)
    return message === undefined ? undefined : { message, specific: true }
  }
  if (value.length < minLength || value.length > maxLength) {
    const message = `Expected ${minLength} to ${maxLength} characters, got ${value.length}.`
    return { message, specific: true }
  }
  if (/[\u0000-\u001f\u007f]/.test(value)) {
    return { message: 'Control characters are not allowed here.', specific: true }
  }
  if (schema.pattern !== undefined && !new RegExp(schema.pattern).test(value)) {
    const message = `Expected text that matches ${schema.pattern}, got ${describeValue(value)}.`
    return { message, specific: true }
  }
  return undefined
}

/** 'a duration such as 30s', "'keep' or 'ignore'", … */
export function expectation(schema: SchemaNode): string {
  if (schema.anyOf !== undefined) return schema.anyOf.map(expectation).join(', or ')
  if (schema.const !== undefined) return `'${schema.const}'`
  if (schema.enum !== undefined) return schema.enum.map((word) => `'${word}'`).join(' or ')
  if (schema.kind === 'duration') return 'a duration with its unit such as 250ms, 30s, 5m or 24h'
  if (schema.kind === 'size') return 'a size with its unit such as 64KiB, 256MiB or 10GiB'
  if (schema.kind !== undefined) return VALUE_KINDS[schema.kind].expected
  switch (schema.type) {
    case 'object':
      return `an object with ${Object.keys(schema.properties ?? {}).join(', ')}`
    case 'array':
      return 'a list'
    case 'integer':
      return 'a whole number'
    case 'boolean':
      return 'true or false'
    default:
      return 'text'
  }
}

export function describe(node: unknown): string {
  if (isMap(node)) return 'an object'
  if (isSeq(node)) return 'a list'
  return describeValue(isScalar(node) ? node.value : undefined)
}

function describeValue(value: unknown): string {
  if (value === null || value === undefined) return 'nothing'
  if (typeof value === 'number') return `the number ${value}`
  if (typeof value === 'boolean') return `${value}`
  const text = JSON.stringify(String(value))
  return text.length > 80 ? `${text.slice(0, 76)}…"` : text
}

function wordsOf(schema: SchemaNode): string[] {
  if (schema.enum !== undefined) return [...schema.enum]
  return typeof schema.const === 'string' ? [schema.const] : []
}
