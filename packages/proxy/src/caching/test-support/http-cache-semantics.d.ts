/** The library has no types of its own; what the differential test uses of it. */
declare module 'http-cache-semantics' {
  interface Message {
    readonly method?: string
    readonly status?: number
    readonly headers: Readonly<Record<string, string>>
  }
  export default class CachePolicy {
    constructor(
      request: Message,
      response: Message,
      options: { readonly shared: boolean; readonly immutableMinTimeToLive: number },
    )
    storable(): boolean
    /** Seconds. */
    maxAge(): number
    satisfiesWithoutRevalidation(request: Message): boolean
    /** Epoch ms; overridden to move time. */
    now(): number
  }
}
