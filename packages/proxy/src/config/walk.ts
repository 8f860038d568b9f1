import { type Document, isAlias, isMap, isScalar, isSeq, type LineCounter, type Node } from 'yaml'
import { didYouMean } from './nearest-name.ts'
import type { Problems, SourcePosition } from './problems.ts'
import { checkScalar, describe, expectation } from './walk-scalars.ts'

/** The part of JSON Schema that `schema.ts` uses, with its own words `kind`, `min`, `max`, `restart`. */
export interface SchemaNode {
  readonly type?: string
  readonly kind?: string
  readonly properties?: Readonly<Record<string, SchemaNode>>
  readonly required?: readonly string[]
  readonly items?: SchemaNode
  readonly anyOf?: readonly SchemaNode[]
  readonly enum?: readonly string[]
  readonly const?: unknown
  readonly default?: unknown
  readonly description?: string
  readonly pattern?: string
  readonly min?: string
  readonly max?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly minLength?: number
  readonly maxLength?: number
  readonly minItems?: number
  readonly maxItems?: number
  readonly restart?: boolean
  /** An object whose absence means something: it is not filled in with defaults. */
  readonly absentMeans?: string
}

/** More values than any real configuration has; aliases that repeat each other would reach it. */
const MAX_VALUES = 2_000_000
const MAX_DEPTH = 32

/**
 * Checks a parsed document against the schema and gives back plain values with defaults filled in. What is wrong is
 * reported and left out, so that the rest can still be checked. Only keys that the schema names are ever copied.
 */
export class Walk {
  readonly #document: Document
  readonly #lines: LineCounter
  readonly #problems: Problems
  #values = 0

  constructor(document: Document, lines: LineCounter, problems: Problems) {
    this.#document = document
    this.#lines = lines
    this.#problems = problems
  }

  value(schema: SchemaNode, node: Node | null, path: string, depth = 0): unknown {
    const resolved = isAlias(node) ? (node.resolve(this.#document) ?? null) : node
    if (resolved === null) {
      this.#problems.error(path, `Expected ${expectation(schema)}, but there is nothing.`)
      return undefined
    }
    // An alias is reported where it is used, not where it points.
    const position = this.#position(node ?? resolved)
    this.#problems.locate(path, position)
    this.#values++
    if (depth > MAX_DEPTH || this.#values > MAX_VALUES) {
      if (this.#values <= MAX_VALUES + 1) {
        this.#problems.error(path, 'Too deep or too large: is an alias repeating itself?', position)
      }
      return undefined
    }
    const branch = chooseBranch(schema, resolved)
    if (branch === undefined) {
      this.#problems.error(path, `Expected ${expectation(schema)}, got ${describe(resolved)}.`)
      return undefined
    }
    if (isMap(resolved)) return this.#object(branch, resolved, path, depth)
    if (isSeq(resolved)) return this.#array(branch, resolved.items, path, depth)
    return checkScalar(schema, branch, resolved, path, this.#problems)
  }

  #array(schema: SchemaNode, items: readonly unknown[], path: string, depth: number): unknown[] {
    const { minItems = 0, maxItems = Number.POSITIVE_INFINITY, items: itemSchema = {} } = schema
    if (items.length < minItems) {
      this.#problems.error(path, `Expected at least ${minItems} item, got ${items.length}.`)
    }
    if (items.length > maxItems) {
      this.#problems.error(path, `Expected at most ${maxItems} items, got ${items.length}.`)
      return []
    }
    const values: unknown[] = []
    for (const [index, item] of items.entries()) {
      // The composer gives nodes; its types also allow plain values, which only documents made by hand have.
      const value = this.value(itemSchema, item as Node | null, `${path}[${index}]`, depth + 1)
      values.push(value)
    }
    return values
  }

  #object(
    schema: SchemaNode,
    node: { items: readonly { key: unknown; value: unknown }[] },
    path: string,
    depth: number,
  ): Record<string, unknown> {
    const properties = schema.properties ?? {}
    const result: Record<string, unknown> = {}
    const seen = new Set<string>()
    for (const { key, value } of node.items) {
      const name = isScalar(key) ? String(key.value) : describe(key)
      const child = path === '' ? name : `${path}.${name}`
      if (!Object.hasOwn(properties, name)) {
        const hint = didYouMean(name, Object.keys(properties))
        const known = hint === '' ? ` Known here: ${Object.keys(properties).join(', ')}.` : hint
        // The key is part of the text that a terminal shows: keep it short and printable.
        const shown = JSON.stringify(name.slice(0, 80)).slice(1, -1)
        this.#problems.error(
          path,
          `There is no option '${shown}'.${known}`,
          // Keys of a composed document are nodes.
          this.#position(key as Node),
        )
        continue
      }
      seen.add(name)
      const keyPosition = this.#position(key as Node)
      this.#problems.locate(child, keyPosition)
      const checked = this.value(properties[name], value as Node | null, child, depth + 1)
      if (checked !== undefined) result[name] = checked
    }
    for (const name of schema.required ?? []) {
      if (seen.has(name)) continue
      const wanted = expectation(properties[name])
      this.#problems.error(path, `'${name}' is missing; it takes ${wanted}.`)
    }
    fillDefaults(properties, result)
    return result
  }

  #position(node: Node | null | undefined): SourcePosition {
    const { line, col } = this.#lines.linePos(node?.range?.[0] ?? 0)
    return { line, column: col }
  }
}

function chooseBranch(schema: SchemaNode, node: Node): SchemaNode | undefined {
  const branches = schema.anyOf ?? [schema]
  if (isMap(node)) return branches.find((branch) => branch.type === 'object')
  if (isSeq(node)) return branches.find((branch) => branch.type === 'array')
  if (!isScalar(node)) return undefined
  // Scalars are judged by `checkScalar`, which sees all branches and has the better words.
  return branches.find((branch) => branch.type !== 'object' && branch.type !== 'array')
}

export function fillDefaults(
  properties: Readonly<Record<string, SchemaNode>>,
  result: Record<string, unknown>,
): void {
  for (const [name, schema] of Object.entries(properties)) {
    if (result[name] !== undefined) continue
    if (schema.default !== undefined) result[name] = structuredClone(schema.default)
    else if (isFillable(schema)) {
      const section: Record<string, unknown> = {}
      fillDefaults(schema.properties ?? {}, section)
      result[name] = section
    }
  }
}

function isFillable(schema: SchemaNode): boolean {
  return schema.type === 'object' && (schema.required ?? []).length === 0 && !schema.absentMeans
}
