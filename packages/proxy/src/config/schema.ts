import { type Static, Type } from 'typebox'
import { count, duration, oneOf, size } from './schema-parts.ts'
import { tenantSchema } from './schema-tenant.ts'

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
    username: Type.Optional(
      Type.String({ description: 'User of an access control list.', restart: true }),
    ),
    passwordFile: Type.Optional(
      Type.String({ description: 'File with the password.', restart: true }),
    ),
    passwordEnv: Type.Optional(
      Type.String({ description: 'Environment variable with the password.', restart: true }),
    ),
    caFile: Type.Optional(
      Type.String({
        description: "Authority of the server's certificate, for 'rediss:' URLs; PEM.",
        restart: true,
      }),
    ),
    deadline: duration('25ms', {
      description: 'The longest that a request waits for Redis; later is a miss.',
      min: '1ms',
      max: '10s',
      restart: true,
    }),
    collapse: duration(undefined, {
      description:
        'The machines of the PoP fetch a key one at a time, and wait for each other for so long at most. Without it each machine asks the origin itself.',
      min: '50ms',
      max: '30s',
      restart: true,
    }),
    maxObjectSize: size('1MiB', {
      description: 'Largest stored response of the Redis tier.',
      min: '1KiB',
      max: '64MiB',
      restart: true,
    }),
  },
  { ...closed, absentMeans: 'storage and purge bus are in process' },
)

const disk = Type.Object(
  {
    path: Type.String({ description: 'Folder of the disk tier.', restart: true }),
    maxSize: size('10GiB', {
      description: 'Space that the disk tier may use, index included.',
      min: '16MiB',
      max: '1024TiB',
      restart: true,
    }),
    minFree: size('0B', {
      description: 'Space that the file system keeps free, whoever else writes to it.',
      min: '0B',
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
    role: oneOf(['admin', 'certificates', 'purge', 'read'], {
      description:
        'admin: everything. certificates: replace certificates, and read. purge: purge and read. read: look only.',
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
    maxPending: count(100_000, {
      description:
        'Purges that wait for Redis to come back. What is beyond becomes a dead letter (`larder purge --dead-letters`).',
      minimum: 1,
      maximum: 10_000_000,
      restart: true,
    }),
    maxPendingAge: duration('24h', {
      description: 'How long a purge may wait for Redis until it becomes a dead letter.',
      restart: true,
    }),
  },
  closed,
)

const warm = Type.Object(
  {
    from: Type.String({
      minLength: 1,
      description:
        "Where the URLs are: a file (one per line, or a sitemap), the URL of a sitemap, or of a sibling's admin API ('http://10.0.0.8:9090/') for what it uses most.",
      restart: true,
    }),
    rate: Type.Optional(
      Type.String({
        kind: 'rate',
        default: '50/s',
        description: 'Requests begun at most, by second or minute.',
        restart: true,
      }),
    ),
    atMost: duration('5m', {
      description: 'The proxy says that it is ready after this, whatever is left.',
      min: '1s',
      max: '24h',
      restart: true,
    }),
    tokenFile: Type.Optional(
      Type.String({
        description: "File with the token for the sibling's admin API.",
        restart: true,
      }),
    ),
  },
  { ...closed, absentMeans: 'nothing is fetched at the start' },
)

const acme = Type.Object(
  {
    directory: Type.Optional(
      Type.String({
        default: 'https://acme-v02.api.letsencrypt.org/directory',
        description: "Where the authority's directory is (RFC 8555 §7.1.1).",
      }),
    ),
    email: Type.Optional(
      Type.String({
        pattern: '^[^@\\s,?]+@[^@\\s,?]+$',
        maxLength: 254,
        description: 'Whom the authority may write to about the account.',
      }),
    ),
    termsAgreed: Type.Optional(
      Type.Boolean({
        default: false,
        description: "You have read the authority's terms of service and agree to them.",
      }),
    ),
    eab: Type.Optional(
      Type.Object(
        {
          kid: Type.String({
            minLength: 1,
            maxLength: 1024,
            description: 'Key identifier that the authority has issued.',
          }),
          hmacFile: Type.Optional(
            Type.String({ description: 'File with the HMAC key that came with it, base64url.' }),
          ),
          hmacEnv: Type.Optional(
            Type.String({ description: 'Environment variable with it, instead of hmacFile.' }),
          ),
        },
        { ...closed, absentMeans: 'accounts are made without an external one' },
      ),
    ),
    caFile: Type.Optional(
      Type.String({
        description:
          "Authorities that the directory's own certificate may come from, in place of the usual ones of the Web; PEM.",
      }),
    ),
    challenges: Type.Optional(
      Type.Array(oneOf(['http-01', 'tls-alpn-01']), {
        minItems: 1,
        maxItems: 2,
        default: ['http-01', 'tls-alpn-01'],
        description:
          'How names are shown to be ours, best first; after a failure the other one has its turn. http-01 is asked on port 80, tls-alpn-01 on port 443.',
      }),
    ),
    keyType: Type.Optional(
      oneOf(['p256', 'p384', 'rsa2048', 'rsa4096'], {
        default: 'p256',
        description: 'Keys of the certificates: on a curve of NIST, or RSA for very old clients.',
      }),
    ),
  },
  { ...closed, absentMeans: 'no tenant has a certificate by ACME' },
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
    policy: Type.Optional(
      oneOf(['modern', 'intermediate'], {
        default: 'intermediate',
        description:
          'Versions, suites and key exchanges, as Mozilla names them. modern: TLS 1.3 alone. intermediate: TLS 1.2 too.',
      }),
    ),
    ticketRotation: duration('8h', {
      description:
        'How long one key seals session tickets. It opens them for twice as long after that, and is then forgotten.',
      min: '1s',
      max: '24h',
    }),
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

const certificates = Type.Object(
  {
    folder: Type.Optional(
      Type.String({
        description:
          "Folder whose pairs are served by the names they are for: 'www.acme.test.crt' with '.key' ('_.acme.test' for the wildcard), or folders with fullchain.pem and privkey.pem. Changes are seen by themselves.",
        restart: true,
      }),
    ),
    keyFile: Type.Optional(
      Type.String({
        description:
          'File with the key that encrypts private keys and ticket keys in Redis: 32 octets in hexadecimal or base64. Further lines are keys that still decrypt.',
        restart: true,
      }),
    ),
    keyEnv: Type.Optional(
      Type.String({
        description: 'Environment variable with that key, instead of keyFile.',
        restart: true,
      }),
    ),
    maxContexts: count(5_000, {
      description:
        'Certificates that one worker holds ready; the one unused for longest makes room. The primary keeps twice as many.',
      minimum: 16,
      maximum: 1_000_000,
      restart: true,
    }),
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
    warm: Type.Optional(warm),
    acme: Type.Optional(acme),
    limits: Type.Optional(limits),
    timeouts: Type.Optional(timeouts),
    tls: Type.Optional(tls),
    certificates: Type.Optional(certificates),
    http2PriorKnowledge: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'HTTP/2 without TLS on the http listeners, by prior knowledge.',
      }),
    ),
    logging: Type.Optional(logging),
    tenants: Type.Optional(
      Type.Array(tenantSchema, {
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
