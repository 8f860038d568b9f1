import { type Static, Type } from 'typebox'
import { count, duration, oneOf, size } from './schema-parts.ts'

const closed = { additionalProperties: false }

/** The part of the schema that is about one tenant: origins, certificate, rules. */

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
    certFile: Type.Optional(
      Type.String({
        description: 'PEM: the certificate, then its chain, that is shown to origins that ask.',
      }),
    ),
    keyFile: Type.Optional(Type.String({ description: 'PEM: the private key of certFile.' })),
    minVersion: Type.Optional(
      oneOf(['TLSv1.2', 'TLSv1.3'], {
        default: 'TLSv1.2',
        description: 'The oldest version of TLS that is spoken with origins.',
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
        also: Type.Optional(
          Type.Array(
            Type.Object(
              {
                certFile: Type.String({ description: 'PEM: the certificate, then its chain.' }),
                keyFile: Type.String({ description: 'PEM: its private key.' }),
              },
              closed,
            ),
            {
              maxItems: 1,
              default: [],
              description:
                'A certificate for the same names with a key of the other kind: clients get ECDSA if they can verify it, else RSA.',
            },
          ),
        ),
        selfSigned: Type.Optional(
          Type.Boolean({ description: 'Issue a certificate from the development authority.' }),
        ),
      },
      closed,
    ),
  ],
  {
    description:
      "{ certFile, keyFile }, 'self-signed', or 'acme': ordered and renewed by itself, self-signed until it is there. Without it the tenant is served over TLS by what the folder of certificates or the admin API has for its hosts.",
  },
)

const clientCertificate = Type.Object(
  {
    mode: Type.Optional(
      oneOf(['request', 'require'], {
        default: 'require',
        description:
          'require: who shows no certificate that verifies is not served. request: is served as nobody in particular.',
      }),
    ),
    caFile: Type.String({
      description: 'PEM: the authorities whose certificates are accepted.',
    }),
    header: Type.Optional(
      Type.String({
        kind: 'token',
        description:
          "Request field in which the origin gets the verified subject; a client's own is taken out.",
      }),
    ),
  },
  { ...closed, absentMeans: 'clients are not asked for a certificate' },
)

const hsts = Type.Object(
  {
    maxAge: duration('365d', {
      description: 'How long browsers remember to come by HTTPS alone.',
      min: '0s',
      max: '3650d',
    }),
    includeSubDomains: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Also to the hosts below the one that says so.',
      }),
    ),
    preload: Type.Optional(
      Type.Boolean({
        default: false,
        description:
          'Browsers may have it in their lists; these want a year and includeSubDomains.',
      }),
    ),
  },
  { ...closed, absentMeans: "Strict-Transport-Security is the origin's business" },
)

const redirectToHttps = Type.Union(
  [
    Type.Boolean(),
    Type.Object(
      {
        status: Type.Optional(
          Type.Integer({
            minimum: 301,
            maximum: 308,
            description:
              '301, 302, 307 or 308 for every method; without it 301 for GET and HEAD, 308 for the others.',
          }),
        ),
        except: Type.Optional(
          Type.Array(Type.String({ kind: 'path-pattern' }), {
            maxItems: 1000,
            default: [],
            description: 'Paths that stay on plain HTTP.',
          }),
        ),
        port: Type.Optional(
          Type.Integer({
            minimum: 1,
            maximum: 65_535,
            description:
              'Where clients find HTTPS; the port of the first https listener without it.',
          }),
        ),
      },
      closed,
    ),
  ],
  {
    default: false,
    description:
      'Requests by plain HTTP are sent to the same URL by HTTPS, but for those below /.well-known/acme-challenge/.',
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
    slice: Type.Optional(
      Type.String({
        kind: 'slice-size',
        description:
          "Ranges of what is not stored as a whole are fetched and stored in slices of this size, 256KiB to 64MiB; 'off' = as the client asks for them. Without it: slices of 4MiB for what is larger than 32MiB.",
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

const tags = Type.Object(
  {
    maxSize: size('16KiB', {
      description: 'All tags of a response together. With more it is passed on, not stored.',
      max: '1MiB',
    }),
    maxCount: count(1_000, {
      description: 'Tags of a response. With more it is passed on, not stored.',
      minimum: 1,
      maximum: 100_000,
    }),
    show: Type.Optional(
      Type.Boolean({
        default: false,
        description: 'Clients see Surrogate-Key, Cache-Tag and Cache-Groups.',
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

export const tenantSchema = Type.Object(
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
    clientCertificate: Type.Optional(clientCertificate),
    hsts: Type.Optional(hsts),
    redirectToHttps: Type.Optional(redirectToHttps),
    tags: Type.Optional(tags),
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

export type WrittenTenant = Static<typeof tenantSchema>
export type WrittenCacheRule = Static<typeof cacheRule>
