import { type TOptional, type TString, type TUnsafe, Type } from 'typebox'

interface Words {
  readonly description?: string
  readonly restart?: boolean
}

/** A time with its unit. The published schema shows the pattern; `walk.ts` gives the better message. */
export function duration(
  standard: string | undefined,
  options: Words & { readonly min?: string; readonly max?: string },
): TOptional<TString> {
  return Type.Optional(
    Type.String({
      kind: 'duration',
      pattern: '^[0-9]+(\\.[0-9]+)?(ms|s|m|h|d|w)$',
      ...(standard === undefined ? {} : { default: standard }),
      ...options,
    }),
  )
}

/** An amount of bytes with its unit. */
export function size(
  standard: string,
  options: Words & { readonly min?: string; readonly max?: string },
): TOptional<TString> {
  return Type.Optional(
    Type.String({
      kind: 'size',
      pattern: '^[0-9]+(\\.[0-9]+)?(B|[KMGT]i?B)$',
      default: standard,
      ...options,
    }),
  )
}

export function count(
  standard: number,
  options: Words & { readonly minimum: number; readonly maximum: number },
) {
  return Type.Optional(Type.Integer({ default: standard, ...options }))
}

/** A word out of a list; a plain `enum` in the published schema. */
export function oneOf<const Word extends string>(
  words: readonly Word[],
  options: Words & { readonly default?: Word } = {},
): TUnsafe<Word> {
  return Type.Unsafe<Word>({ type: 'string', enum: [...words], ...options })
}
