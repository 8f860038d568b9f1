/** What a purge covers. URLs and prefixes are absolute http(s) URLs, as they were written, without a fragment. */
export type PurgeScope =
  | {
      readonly type: 'url'
      readonly urls: readonly string[]
      /** When given, URLs of other tenants are left alone. */
      readonly tenant?: string
    }
  | { readonly type: 'prefix'; readonly prefixes: readonly string[]; readonly tenant?: string }
  | { readonly type: 'tag'; readonly tenant: string; readonly tags: readonly string[] }
  | { readonly type: 'tenant'; readonly tenant: string }
  | { readonly type: 'all' }

/** A purge that has been understood: the same from every door, plain data. */
export type PurgeMessage = PurgeScope & {
  /** True: what it covers is stale. False: what it covers is never served again. */
  readonly soft: boolean
  /** Epoch ms before which it has no number, and no effect. */
  readonly at?: number
  /** The same reference within 24 h is the same purge. */
  readonly reference?: string
}

/** A purge and its place in the sequence. A number with a fraction holds on this machine only (see `PurgeBus`). */
export interface NumberedPurge {
  readonly number: number
  readonly message: PurgeMessage
}
