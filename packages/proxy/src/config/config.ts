/**
 * The configuration as the rest of the proxy sees it: checked, complete, frozen, with units in its names. Only
 * `load.ts` makes one; what the operator writes is described in `schema.ts`.
 */
export interface Config {
  /** The file it came from; undefined without one. */
  readonly file: string | undefined
  readonly listen: ListenConfig
  /** Who may send PROXY headers, and whose Forwarded and X-Forwarded-* fields are believed: CIDR blocks. */
  readonly trustedProxies: readonly string[]
  readonly workers: number
  readonly user: string | undefined
  readonly group: string | undefined
  readonly watch: boolean
  readonly memory: MemoryConfig
  readonly redis: RedisConfig | undefined
  readonly disk: DiskConfig | undefined
  readonly admin: AdminConfig
  readonly purge: PurgeConfig
  /** What is fetched at the start; undefined = nothing. */
  readonly warm: WarmConfig | undefined
  readonly limits: LimitsConfig
  readonly timeouts: TimeoutsConfig
  readonly tls: TlsConfig
  readonly certificates: CertificatesConfig
  /** HTTP/2 without TLS by prior knowledge (RFC 9113 §3.3) on the plain listeners. */
  readonly http2PriorKnowledge: boolean
  readonly logging: LoggingConfig
  readonly tenants: readonly TenantConfig[]
}

export interface ListenConfig {
  readonly http: readonly ListenerConfig[]
  readonly https: readonly ListenerConfig[]
  readonly http3: readonly ListenerConfig[]
  readonly admin: readonly ListenerConfig[]
}

export interface ListenerConfig {
  /** `host:port` in canonical form, IPv6 in brackets; the name of the listener everywhere. */
  readonly address: string
  /** An IP address, `localhost`, or '' for every address of the machine. */
  readonly host: string
  readonly port: number
  readonly proxyProtocol: boolean
}

export interface MemoryConfig {
  /** Of one worker. */
  readonly maxSizeBytes: number
  readonly maxObjectBytes: number
}

export interface RedisConfig {
  readonly url: string | undefined
  readonly cluster: readonly string[]
  readonly sentinels: readonly string[]
  readonly sentinelName: string | undefined
  readonly username: string | undefined
  readonly password: string | undefined
  /** Authority of `rediss:` servers; undefined = those of the system. */
  readonly caPem: string | undefined
  readonly deadlineMs: number
  /** How long the machines of the PoP wait for each other's fetch of a key; undefined = not at all. */
  readonly collapseMs: number | undefined
  readonly maxObjectBytes: number
  readonly prefix: string
}

export interface DiskConfig {
  readonly path: string
  readonly maxSizeBytes: number
  /** The file system keeps this free. */
  readonly minFreeBytes: number
}

export interface WarmConfig {
  readonly source:
    | { readonly kind: 'file'; readonly path: string }
    | { readonly kind: 'sitemap'; readonly url: string }
    | { readonly kind: 'sibling'; readonly admin: string; readonly token: string | undefined }
  readonly ratePerSecond: number
  /** The proxy is ready after this, whatever is left. */
  readonly atMostMs: number
}

export interface AdminConfig {
  readonly tokens: readonly AdminTokenConfig[]
}

export type AdminRole = 'admin' | 'purge' | 'read'

export interface AdminTokenConfig {
  readonly name: string
  /** SHA-256 of the secret, hexadecimal: the secret itself is forgotten once it is read. */
  readonly secretSha256: string
  readonly role: AdminRole
  /** Reaches this tenant alone; undefined = all. */
  readonly tenant: string | undefined
}

export interface PurgeConfig {
  readonly whenCutOff: 'serve' | 'revalidate'
  /** CIDR blocks whose PURGE requests on the data listeners are obeyed; empty = none. */
  readonly purgeFrom: readonly string[]
  /** Purges that wait here for Redis; what is beyond becomes a dead letter. */
  readonly maxPending: number
  readonly maxPendingAgeMs: number
}

export interface LimitsConfig {
  readonly maxHeaderBytes: number
  readonly maxHeaderCount: number
  readonly maxTargetBytes: number
  readonly maxRequestsPerConnection: number
  readonly maxConcurrentStreams: number
  readonly maxStreamResets: number
  readonly maxConnections: number
  readonly maxConnectionsPerAddress: number
  /** undefined = unlimited: bodies stream. */
  readonly maxRequestBodyBytes: number | undefined
  readonly minBodyBytesPerSecond: number
}

export interface TimeoutsConfig {
  readonly headerMs: number
  readonly idleMs: number
  readonly tlsHandshakeMs: number
  readonly bodyMs: number
  readonly bodyRateWindowMs: number
  readonly streamResetWindowMs: number
  readonly writeMs: number
  readonly drainMs: number
}

export interface CertificatesConfig {
  /** Keys that encrypt keys in Redis, hexadecimal; the first encrypts, each decrypts. Empty = none are there. */
  readonly sealKeys: readonly string[]
}

export type TlsPolicyName = 'modern' | 'intermediate'

export interface TlsConfig {
  readonly policy: TlsPolicyName
  /** How long one key seals session tickets. */
  readonly ticketRotationMs: number
  readonly unknownServerName: 'refuse' | 'default'
}

export type LogLevel = 'fatal' | 'error' | 'warn' | 'info' | 'debug' | 'trace'

export interface LoggingConfig {
  readonly level: LogLevel
  readonly access: AccessLogConfig
}

export interface AccessLogConfig {
  /** 'stdout', 'off', or the absolute path of a file that is appended to. */
  readonly output: string
  readonly truncateAddresses: boolean
  /** true = the whole query; a list = the values of these parameters; false = nothing is hidden. */
  readonly redactQuery: boolean | readonly string[]
}

export interface TenantConfig {
  readonly id: string
  /** Canonical host names, `*.name` for one more label in front, `*` for every host that no one else has. */
  readonly hosts: readonly string[]
  /** At least one. Those with `backup` are asked when none of the others can be. */
  readonly origins: readonly OriginConfig[]
  readonly originTimeouts: OriginTimeoutsConfig
  readonly originTls: OriginTlsConfig
  /** Connections of one worker to one origin. */
  readonly originMaxConnections: number
  /** The Host field that the origin sees: the client's, the origin's own authority, or this name. */
  readonly hostHeader: HostHeaderConfig
  readonly certificate: CertificateConfig | undefined
  /** undefined = clients are not asked for one. */
  readonly clientCertificate: ClientCertificateConfig | undefined
  /** undefined = the field is the origin's business. */
  readonly hsts: HstsConfig | undefined
  /** undefined = plain HTTP is served. */
  readonly redirectToHttps: RedirectConfig | undefined
  readonly tags: TagsConfig
  /** First match wins; when none matches, what the origin says about caching is followed. */
  readonly rules: readonly RuleConfig[]
}

/** Of responses, for purges (`caching/response-tags.ts`). */
export interface TagsConfig {
  readonly maxBytes: number
  readonly maxCount: number
  /** Clients see the fields that they come in. */
  readonly show: boolean
}

export type HostHeaderConfig =
  | { readonly mode: 'client' }
  | { readonly mode: 'origin' }
  | { readonly mode: 'name'; readonly name: string }

export interface OriginConfig {
  /** Its `name` option, or `host:port`; for logs and metrics. */
  readonly name: string
  /** `scheme://host[:port]`, without a path. */
  readonly url: string
  readonly backup: boolean
}

export interface OriginTimeoutsConfig {
  readonly connectMs: number
  readonly firstByteMs: number
  /** Between two chunks of the response body. */
  readonly idleMs: number
}

/** For origins whose url begins with https. */
export interface OriginTlsConfig {
  /** Certificates of the authorities that are trusted; undefined = the usual ones of the Web. */
  readonly caPem: string | undefined
  /** Sent as SNI, and looked for in the certificate; undefined = the host of the url. */
  readonly serverName: string | undefined
  readonly minVersion: 'TLSv1.2' | 'TLSv1.3'
  /** What we show to origins that ask who we are; undefined = nothing. */
  readonly client: OriginClientConfig | undefined
}

export interface OriginClientConfig {
  readonly certFile: string
  readonly keyFile: string
  readonly certPem: string
  readonly keyPem: string
}

export interface ClientCertificateConfig {
  /** Of tenant, mode and authorities: what was verified under another one counts for nothing. */
  readonly id: string
  readonly mode: 'request' | 'require'
  readonly caPem: string
  /** Lower case: the field in which the origin gets the subject; undefined = it does not. */
  readonly header: string | undefined
}

/** Strict-Transport-Security (RFC 6797 §6.1). */
export interface HstsConfig {
  readonly maxAgeSeconds: number
  readonly includeSubDomains: boolean
  readonly preload: boolean
}

export interface RedirectConfig {
  /** undefined = 301 for GET and HEAD, 308 for what has content. */
  readonly status: number | undefined
  /** Path patterns that stay on plain HTTP. */
  readonly except: readonly string[]
  /** Of the URLs that clients are sent to; undefined = that of the first https listener. */
  readonly port: number | undefined
}

/** The primary reads the files and issues what is self-signed, so that workers without its rights need neither. */
export interface CertificateConfig {
  readonly source: 'files' | 'self-signed'
  readonly certFile: string | undefined
  readonly keyFile: string | undefined
  /** Leaf first, then its chain. Empty for 'self-signed' until the primary has issued it. */
  readonly certPem: string
  readonly keyPem: string
}

export interface RuleConfig {
  /** See `pipeline/path-matcher.ts`. */
  readonly path: string
  /** undefined = every method. */
  readonly methods: readonly string[] | undefined
  readonly cache: CacheRuleConfig
}

export type CacheRuleConfig = BypassRuleConfig | StoreRuleConfig

export interface BypassRuleConfig {
  readonly mode: 'bypass'
}

/** Durations in ms; undefined = the option was not given. */
export interface StoreRuleConfig {
  readonly mode: 'store'
  /** Takes the place of the freshness lifetime that the origin gave. */
  readonly ttlMs: number | undefined
  /** For responses without an explicit freshness lifetime. */
  readonly defaultTtlMs: number | undefined
  readonly minTtlMs: number | undefined
  readonly maxTtlMs: number | undefined
  /** RFC 5861 §3, for responses that do not say. */
  readonly staleWhileRevalidateMs: number | undefined
  /** RFC 5861 §4, for responses that do not say. */
  readonly staleIfErrorMs: number | undefined
  /** Bytes of one slice; undefined = 4 MiB for what is larger than 32 MiB. */
  readonly slice: number | 'off' | undefined
  readonly query: QueryRuleConfig
  readonly keyHeaders: readonly string[]
  readonly keyCookies: readonly string[]
  readonly requestDirectives: 'honour' | 'ignore'
  readonly originDirectives: 'honour' | 'ignore'
  readonly storeSetCookie: boolean
}

export type QueryRuleConfig =
  | { readonly mode: 'keep' }
  | { readonly mode: 'ignore' }
  | { readonly mode: 'sort' }
  | { readonly mode: 'keep-only'; readonly names: readonly string[] }
  | { readonly mode: 'drop'; readonly names: readonly string[] }
