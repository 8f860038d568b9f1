import { type ParseArgsOptionsConfig, parseArgs } from 'node:util'
import { nearestName } from '../config/nearest-name.ts'

export interface Command {
  readonly name: string
  readonly summary: string
  readonly help: string
  /** Resolves to the exit status. */
  run(words: readonly string[]): Promise<number>
}

/** The command was called in a wrong way: the message goes to the user, the exit status is 2. */
export class UsageError extends Error {}

/** `parseArgs` with messages that name the nearest option. */
export function parseOptions<const Options extends ParseArgsOptionsConfig>(
  words: readonly string[],
  options: Options,
  maxPositionals = 0,
) {
  for (const word of words) {
    if (word === '--') break
    const name = /^--(?:no-)?([^=]+)/.exec(word)?.[1]
    if (name === undefined || Object.hasOwn(options, name)) continue
    const nearest = nearestName(name, Object.keys(options))
    const hint = nearest === undefined ? '' : ` Did you mean '--${nearest}'?`
    throw new UsageError(`There is no option '--${name}'.${hint}`)
  }
  try {
    const parsed = parseArgs({
      args: [...words],
      options,
      strict: true,
      allowPositionals: maxPositionals > 0,
    })
    if (parsed.positionals.length > maxPositionals) {
      throw new UsageError(`'${parsed.positionals[maxPositionals]}' is one word too many.`)
    }
    return parsed
  } catch (error) {
    if (error instanceof UsageError) throw error
    throw new UsageError(error instanceof Error ? error.message : String(error))
  }
}
