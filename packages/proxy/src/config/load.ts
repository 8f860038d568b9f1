import { readFileSync, statSync } from 'node:fs'
import { dirname, resolve } from 'node:path'
import { isMap, LineCounter, parseDocument } from 'yaml'
import { checkConfig } from './checks.ts'
import type { Config } from './config.ts'
import { normalise } from './normalise.ts'
import { inFileOrder, type Problem, Problems } from './problems.ts'
import { configSchema, type WrittenConfig } from './schema.ts'
import { VALUE_KINDS } from './value-kinds.ts'
import { type SchemaNode, Walk } from './walk.ts'

export type LoadResult =
  | { readonly ok: true; readonly config: Config; readonly warnings: readonly Problem[] }
  | {
      readonly ok: false
      readonly problems: readonly Problem[]
      readonly warnings: readonly Problem[]
    }

export interface LoadOptions {
  readonly environment?: Readonly<Record<string, string | undefined>>
  /** Take the place of what the file says; from the command line. */
  readonly overrides?: ConfigOverrides
  /** Epoch ms, for the expiry of certificates. */
  readonly now?: number
}

export interface ConfigOverrides {
  readonly http?: readonly string[]
  readonly https?: readonly string[]
  readonly admin?: readonly string[]
  readonly workers?: number
}

const MAX_FILE_BYTES = 16 * 1024 * 1024

/** Reads, checks and normalises a file. Never throws for what is in it; nothing outside the result is touched. */
export function loadConfigFile(file: string, options: LoadOptions = {}): LoadResult {
  let text: string
  try {
    const { size } = statSync(file)
    if (size > MAX_FILE_BYTES) {
      return refuse(file, `The file has ${size} bytes; at most ${MAX_FILE_BYTES} are read.`)
    }
    text = readFileSync(file, 'utf8')
  } catch (error) {
    // What fs throws is an Error with a code.
    const { code } = error as NodeJS.ErrnoException
    const cure =
      code === 'ENOENT'
        ? 'There is no such file. Check the path.'
        : code === 'EACCES'
          ? 'It may not be read by this user. Check its owner and mode.'
          : `It cannot be read (${code}).`
    return refuse(file, cure)
  }
  return loadConfigText(text, file, options)
}

/** The same for text. JSON is read by the same parser: it is YAML, and its problems have lines too. */
export function loadConfigText(text: string, file: string, options: LoadOptions = {}): LoadResult {
  const problems = new Problems(file)
  const written = parse(text, problems)
  let config: Config | undefined
  if (written !== undefined) {
    const overridden = applyOverrides(written, options.overrides ?? {}, problems)
    const sources = {
      folder: dirname(resolve(file)),
      environment: options.environment ?? process.env,
      now: options.now ?? Date.now(),
    }
    config = normalise(overridden, file, sources, problems)
    checkConfig(overridden, problems)
  }
  const warnings = inFileOrder(problems.warnings)
  if (config === undefined || problems.errors.length > 0) {
    return { ok: false, problems: inFileOrder(problems.errors), warnings }
  }
  return { ok: true, config: deepFreeze(config), warnings }
}

function parse(text: string, problems: Problems): WrittenConfig | undefined {
  const lines = new LineCounter()
  try {
    const document = parseDocument(text, {
      lineCounter: lines,
      prettyErrors: false,
      version: '1.2',
      uniqueKeys: true,
    })
    for (const error of document.errors) {
      const { line, col } = lines.linePos(error.pos[0])
      problems.error('', `This is not well-formed: ${error.message}`, { line, column: col })
    }
    // What could be read of a broken file would only give problems that are not there.
    if (document.errors.length > 0) return undefined
    const root = document.contents
    if (root !== null && !isMap(root)) {
      problems.error('', 'Expected options such as listen and tenants, each with its value.')
      return undefined
    }
    // TypeBox's types describe the schema by its result; the walk reads it as the JSON Schema that it also is.
    const schema = configSchema as unknown as SchemaNode
    const value = new Walk(document, lines, problems).value(
      schema,
      root ?? document.createNode({}),
      '',
    )
    // The walk has just checked it against the schema that the type is made from; parts with problems are left
    // out, and whoever reads a part asks `problems.hasErrorUnder` first.
    return value as WrittenConfig | undefined
  } catch (error) {
    // Nesting beyond the stack of the parser ends here.
    problems.error('', `This cannot be read: ${error instanceof Error ? error.message : error}`)
    return undefined
  }
}

function applyOverrides(
  written: WrittenConfig,
  overrides: ConfigOverrides,
  problems: Problems,
): WrittenConfig {
  const listen = { ...written.listen }
  for (const section of ['http', 'https', 'admin'] as const) {
    const addresses = overrides[section]
    if (addresses === undefined) continue
    listen[section] = addresses.filter((address) => {
      const problem = VALUE_KINDS.address.problem(address)
      if (problem !== undefined) problems.error(`--${section}`, problem)
      return problem === undefined
    })
  }
  return { ...written, listen, workers: overrides.workers ?? written.workers }
}

function refuse(file: string, message: string): LoadResult {
  const problem = { file, line: undefined, column: undefined, path: '', message }
  return { ok: false, problems: [problem], warnings: [] }
}

function deepFreeze<Value>(value: Value): Value {
  if (typeof value === 'object' && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value)
    for (const child of Object.values(value)) deepFreeze(child)
  }
  return value
}
