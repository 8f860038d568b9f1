import { type Static, Type } from 'typebox'
import { count, duration, oneOf, size } from './schema-parts.ts'

/**
 * What the operator writes. Validation, defaults, `docs/options.md` and `docs/options.schema.json` follow from this
 * one table. `restart: true` marks what a reload cannot change.
 */

export type * from './config.ts'

const closed = { additionalProperties: false }

const addressText = Type.String({
  kind: 'address',
  description: "'host:port', '[::]:80', 'localhost:8080' or ':8080' for every address.",
})

const listener = Type.Union([
  addressText,
  Type.Object(
    {
      address: addressText,
      proxyProtocol: Type.Optional(
        Type.Boolean({
          default: false,
          description:
            'Every connection starts with a PROXY header (v1 or v2), and comes from trustedProxies.',
        }),
      ),
    },
    closed,
  ),
])

const cidr = Type.String({
  kind: 'cidr',
  description: "An address or a block such as '10.0.0.0/8' or '2001:db8::/32'.",
})

const listen = Type.Object(
  {
    http: Type.Optional(
      Type.Array(listener, {
        maxItems: 256,
        default: [],
        description: 'Addresses for HTTP without TLS.',
      }),
    ),
    https: Type.Optional(
      Type.Array(listener, {
        maxItems: 256,
        default: [],
        description: 'Addresses for HTTP/1.1 and HTTP/2 over TLS, chosen by ALPN.',
      }),
    ),
    http3: Type.Optional(
      Type.Union([Type.Boolean(), Type.Array(addressText, { maxItems: 256 })], {
        default: false,
        description: 'HTTP/3 on the UDP ports of https, or on addresses of its own.',
      }),
    ),
    admin: Type.Optional(
      Type.Array(addressText, {
        maxItems: 16,
        default: [],
        description: 'Addresses of the admin API, health checks and metrics.',
        restart: true,
      }),
    ),
  },
  closed,
)

const memory = Type.Object(
  {
    maxSize: size('256MiB', {
      description: 'Memory tier of one worker: bodies, fields and keys.',
      min: '1MiB',
      max: '1TiB',
      restart: true,
    }),
    maxObjectSize: size('1MiB', {
      description: 'Largest stored response of the memory tier.',
      min: '1KiB',
      max: '64MiB',
      restart: true,
    }),
  },
  closed,
)

const redis = Type.Object(
  {
    url: Type.Optional(
      Type.String({ description: "One server: 'redis://host:port/0'.", restart: true }),
    ),
    cluster: Type.Optional(
      Type.Array(Type.String(), {
        maxItems: 256,
        description: 'Nodes of a Redis Cluster, by URL.',
        restart: true,
      }),
    ),
    sentinels: Type.Optional(
      Type.Array(Type.String(), {
        maxItems: 64,
        description: 'Sentinels, by URL.',
        restart: true,
      }),
    ),
    sentinelName: Type.Optional(
      Type.String({ description: 'Name of the master that the sentinels watch.', restart: true }),
    ),
    prefix: Type.Optional(
      Type.String({
        default: 'larder:',
        maxLength: 64,
        description: 'In front of every key and channel.',
        restart: true,
      }),
    ),
  },
  { ...closed, absentMeans: 'storage and purge bus are in process' },
)

const disk = Type.Object(
  {
    path: Type.String({ description: 'Folder of the disk tier.', restart: true }),
    maxSize: size('10GiB', {
      description: 'Space that the disk tier may use.',
      min: '16MiB',
      max: '1024TiB',
      restart: true,
    }),
  },
  closed,
)

const adminToken = Type.Object(
  {
    name: Type.String({
      minLength: 1,
      maxLength: 64,
      pattern: '^[A-Za-z0-9._-]+$',
      description: 'Who this is, in the audit log.',
    }),
    secretFile: Type.Optional(
      Type.String({
        description: 'File with the secret, at least 16 characters; surrounding space is dropped.',
      }),
    ),
    secretEnv: Type.Optional(
      Type.String({ description: 'Environment variable with the secret, instead of secretFile.' }),
    ),
    role: oneOf(['admin', 'purge', 'read'], {
      description: 'admin: everything. purge: purge and read. read: look only.',
    }),
    tenant: Type.Optional(
      Type.String({ description: 'Reaches this tenant alone; without it, all of them.' }),
    ),
  },
  closed,
)

const admin = Type.Object(
  {
    tokens: Type.Optional(
      Type.Array(adminToken, {
        maxItems: 1000,
        default: [],
        description: 'Bearer tokens. Without any, only loopback is let in.',
      }),
    ),
  },
  closed,
)

const purge = Type.Object(
  {
    whenCutOff: Type.Optional(
      oneOf(['serve', 'revalidate'], {
        default: 'serve',
        description:
          'What happens to stored responses while the purge bus is out of reach: go on serving them, or validate each with its origin first.',
      }),
    ),
    purgeFrom: Type.Optional(
      Type.Array(cidr, {
        maxItems: 1000,
        default: [],
        description: 'Addresses whose PURGE requests are obeyed.',
      }),
    ),
  },
  closed,
)

const limits = Type.Object(
  {
    maxHeaderSize: size('32KiB', {
      description: 'Field section of a request, decoded, with its request line.',
      min: '1KiB',
      max: '1MiB',
    }),
    maxHeaderCount: count(128, {
      description: 'Field lines of a request.',
      minimum: 8,
      maximum: 10_000,
    }),
    maxTargetSize: size('8KiB', {
      description: 'Request target; 414 above.',
      min: '256B',
      max: '256KiB',
    }),
    maxRequestsPerConnection: count(100_000, {
      description: 'Requests before a connection is closed in an orderly way.',
      minimum: 1,
      maximum: 1_000_000_000,
    }),
    maxConcurrentStreams: count(128, {
      description: 'Streams of one HTTP/2 or HTTP/3 connection at a time.',
      minimum: 1,
      maximum: 10_000,
    }),
    maxStreamResets: count(500, {
      description: 'Stream resets within timeouts.streamResetWindow that end a connection.',
      minimum: 1,
      maximum: 1_000_000,
    }),
    maxConnections: count(50_000, {
      description: 'Open client connections of one worker.',
      minimum: 1,
      maximum: 10_000_000,
    }),
    maxConnectionsPerAddress: count(20_000, {
      description: 'Open connections of one client address in one worker.',
      minimum: 1,
      maximum: 10_000_000,
    }),
    maxRequestBodySize: Type.Optional(
      Type.Union([Type.Literal('unlimited'), Type.String({ kind: 'size' })], {
        default: 'unlimited',
        description: 'Largest request body; 413 above.',
      }),
    ),
    minBodyRate: size('240B', {
      description:
        'A request body brings at least this much per second, over timeouts.bodyRateWindow.',
      min: '0B',
      max: '1GiB',
    }),
  },
  closed,
)

const timeouts = Type.Object(
  {
    header: duration('10s', {
      description: 'From the first byte of a request (or the accept) to the end of its head.',
      min: '100ms',
      max: '10m',
    }),
    idle: duration('60s', {
      description: 'A connection without a request under way.',
      min: '100ms',
      max: '1h',
    }),
    tlsHandshake: duration('10s', {
      description: 'The TLS handshake, in total.',
      min: '100ms',
      max: '10m',
    }),
    body: duration('300s', {
      description: 'A request body, in total.',
      min: '100ms',
      max: '24h',
    }),
    bodyRateWindow: duration('30s', {
      description: 'The window over which limits.minBodyRate is measured.',
      min: '100ms',
      max: '1h',
    }),
    streamResetWindow: duration('30s', {
      description: 'The window over which limits.maxStreamResets is counted.',
      min: '100ms',
      max: '1h',
    }),
    write: duration('30s', {
      description: 'A client that takes no byte of what we send.',
      min: '100ms',
      max: '1h',
    }),
    drain: duration('30s', {
      description: 'Exchanges under way when the proxy stops or a worker is replaced.',
      min: '0s',
      max: '1h',
    }),
  },
  closed,
)

const tls = Type.Object(
  {
    unknownServerName: Type.Optional(
      oneOf(['refuse', 'default'], {
        default: 'refuse',
        description:
          "A TLS client that asks for a name no tenant has: refuse it, or answer with the first tenant's certificate.",
      }),
    ),
  },
  closed,
)

const access = Type.Object(
  {
    output: Type.Optional(
      Type.String({
        default: 'stdout',
        description: "'stdout', 'off', or a file that is appended to.",
      }),
    ),
    truncateAddresses: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Log client addresses as /24 (IPv4) and /48 (IPv6) only.',
      }),
    ),
    redactQuery: Type.Optional(
      Type.Union([Type.Boolean(), Type.Array(Type.String(), { maxItems: 1000 })], {
        default: false,
        description: 'Hide the query, or the values of the named parameters.',
      }),
    ),
  },
  closed,
)

const logging = Type.Object(
  {
    level: Type.Optional(
      oneOf(['fatal', 'error', 'warn', 'info', 'debug', 'trace'], {
        default: 'info',
        description: 'Least severe message that is written to stderr.',
        restart: true,
      }),
    ),
    access: Type.Optional(access),
  },
  closed,
)

const origin = Type.Object(
  {
    url: Type.String({
      kind: 'origin-url',
      description: "'http://host:port' or 'https://host', without a path.",
    }),
    backup: Type.Optional(
      Type.Boolean({ default: false, description: 'Asked only when the others cannot be.' }),
    ),
    name: Type.Optional(
      Type.String({
        minLength: 1,
        maxLength: 64,
        pattern: '^[A-Za-z0-9._:-]+$',
        description: 'Name in logs and metrics; host:port without it.',
      }),
    ),
  },
  closed,
)

const originTimeouts = Type.Object(
  {
    connect: duration('2s', {
      description: 'Name look-up, TCP and TLS of a connection to the origin.',
      min: '10ms',
      max: '10m',
    }),
    firstByte: duration('30s', {
      description: 'From the end of the request to the head of the response.',
      min: '10ms',
      max: '1h',
    }),
    idle: duration('30s', {
      description: 'Between two pieces of a response body.',
      min: '10ms',
      max: '1h',
    }),
  },
  closed,
)

const originTls = Type.Object(
  {
    caFile: Type.Optional(
      Type.String({
        description:
          'PEM: the authorities whose certificates are accepted, in place of the usual ones of the Web.',
      }),
    ),
    serverName: Type.Optional(
      Type.String({
        kind: 'host',
        description:
          'Name that is asked for (SNI) and that the certificate must be for, in place of the host in the url.',
      }),
    ),
  },
  closed,
)

const certificate = Type.Union(
  [
    oneOf(['self-signed', 'acme']),
    Type.Object(
      {
        certFile: Type.Optional(
          Type.String({ description: 'PEM: the certificate, then its chain.' }),
        ),
        keyFile: Type.Optional(Type.String({ description: 'PEM: the private key of certFile.' })),
        selfSigned: Type.Optional(
          Type.Boolean({ description: 'Issue a certificate from the development authority.' }),
        ),
      },
      closed,
    ),
  ],
  {
    description:
      "{ certFile, keyFile }, or 'self-signed'. Without it the tenant is not served over TLS.",
  },
)

const queryNames = (description: string) =>
  Type.Array(Type.String({ minLength: 1, maxLength: 256 }), { maxItems: 1000, description })

const cacheRule = Type.Object(
  {
    ttl: duration(undefined, {
      description: 'Freshness lifetime, in place of what the origin says.',
    }),
    defaultTtl: duration(undefined, {
      description: 'Freshness lifetime of responses whose origin says nothing.',
    }),
    minTtl: duration(undefined, { description: 'Least freshness lifetime.' }),
    maxTtl: duration(undefined, { description: 'Greatest freshness lifetime.' }),
    staleWhileRevalidate: duration(undefined, {
      description:
        'Serve stale this long while validating behind (RFC 5861), unless the origin says.',
    }),
    staleIfError: duration(undefined, {
      description:
        'Serve stale this long when the origin fails (RFC 5861), unless the origin says.',
    }),
    query: Type.Optional(
      Type.Union(
        [
          oneOf(['keep', 'ignore', 'sort']),
          Type.Object(
            {
              keep: Type.Optional(queryNames('Only these parameters are part of the cache key.')),
              drop: Type.Optional(
                queryNames('All parameters but these are part of the cache key.'),
              ),
            },
            closed,
          ),
        ],
        {
          default: 'keep',
          description:
            "The query in the cache key: whole, left out, sorted, only { keep: [names] } or all but { drop: [names] } ('utm_*' is a prefix).",
        },
      ),
    ),
    key: Type.Optional(
      Type.Object(
        {
          headers: Type.Optional(
            Type.Array(Type.String({ kind: 'token' }), {
              maxItems: 16,
              default: [],
              description: 'Request fields whose values are part of the cache key.',
            }),
          ),
          cookies: Type.Optional(
            Type.Array(Type.String({ kind: 'token' }), {
              maxItems: 16,
              default: [],
              description: 'Cookies whose values are part of the cache key.',
            }),
          ),
        },
        closed,
      ),
    ),
    requestDirectives: Type.Optional(
      oneOf(['honour', 'ignore'], {
        default: 'honour',
        description: "Cache-Control of the client's request (RFC 9111 §5.2.1).",
      }),
    ),
    originDirectives: Type.Optional(
      oneOf(['honour', 'ignore'], {
        default: 'honour',
        description:
          'Cache-Control of the response. With ignore, even private and no-store responses are stored: for origins whose content is known to be public.',
      }),
    ),
    storeSetCookie: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Store responses with Set-Cookie, without that field.',
      }),
    ),
  },
  closed,
)

const rule = Type.Object(
  {
    path: Type.String({
      kind: 'path-pattern',
      description: "Path of the request; '*' stands for any characters, '/' included.",
    }),
    methods: Type.Optional(
      Type.Array(Type.String({ kind: 'token' }), {
        minItems: 1,
        maxItems: 32,
        description: 'Only these methods.',
      }),
    ),
    cache: Type.Optional(
      Type.Union([Type.Literal('bypass'), cacheRule], {
        description: "'bypass' (never store, never look up), or how to store.",
      }),
    ),
  },
  closed,
)

const tenant = Type.Object(
  {
    id: Type.String({
      minLength: 1,
      maxLength: 64,
      pattern: '^[a-z0-9][a-z0-9._-]*$',
      description: 'Name in logs, metrics, purges and cache keys; never reuse it for someone else.',
    }),
    hosts: Type.Array(Type.String({ kind: 'host-pattern' }), {
      minItems: 1,
      maxItems: 10_000,
      description: "Host names; '*.name' for one label in front, '*' for every host that is left.",
    }),
    origins: Type.Array(origin, {
      minItems: 1,
      maxItems: 256,
      description: 'Where requests go.',
    }),
    originTimeouts: Type.Optional(originTimeouts),
    originTls: Type.Optional(originTls),
    originMaxConnections: count(256, {
      description: 'Connections of one worker to one origin.',
      minimum: 1,
      maximum: 65_535,
    }),
    hostHeader: Type.Optional(
      Type.String({
        kind: 'host-header',
        default: 'client',
        description: "Host field that the origin sees: 'client', 'origin', or a name.",
      }),
    ),
    certificate: Type.Optional(certificate),
    rules: Type.Optional(
      Type.Array(rule, {
        maxItems: 10_000,
        default: [],
        description: 'First match wins; without a match the origin decides.',
      }),
    ),
  },
  closed,
)

export const configSchema = Type.Object(
  {
    listen: Type.Optional(listen),
    trustedProxies: Type.Optional(
      Type.Array(cidr, {
        maxItems: 1000,
        default: [],
        description:
          'Who may send PROXY headers, and whose Forwarded and X-Forwarded-* fields are believed.',
      }),
    ),
    workers: Type.Optional(
      Type.Union([Type.Literal('auto'), Type.Integer({ minimum: 1, maximum: 1024 })], {
        default: 'auto',
        description: 'Worker processes; auto is one per core, pinned.',
        restart: true,
      }),
    ),
    user: Type.Optional(
      Type.String({ description: 'User that the workers become after the start.', restart: true }),
    ),
    group: Type.Optional(
      Type.String({ description: "Their group; the user's own without it.", restart: true }),
    ),
    watch: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Apply this file when it changes.',
        restart: true,
      }),
    ),
    memory: Type.Optional(memory),
    redis: Type.Optional(redis),
    disk: Type.Optional(disk),
    admin: Type.Optional(admin),
    purge: Type.Optional(purge),
    limits: Type.Optional(limits),
    timeouts: Type.Optional(timeouts),
    tls: Type.Optional(tls),
    http2PriorKnowledge: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'HTTP/2 without TLS on the http listeners, by prior knowledge.',
      }),
    ),
    logging: Type.Optional(logging),
    tenants: Type.Optional(
      Type.Array(tenant, {
        maxItems: 100_000,
        default: [],
        description: 'Whose hosts are served, from where, by which rules.',
      }),
    ),
  },
  { ...closed, title: 'Larder configuration' },
)

/** The configuration as written, once the schema has been checked. */
export type WrittenConfig = Static<typeof configSchema>
export type WrittenTenant = Static<typeof tenant>
export type WrittenRule = Static<typeof rule>
export type WrittenCacheRule = Static<typeof cacheRule>
