import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { DevelopmentAuthority } from '@larder/certs'
import { Ajv } from 'ajv'
import fc from 'fast-check'
import t from 'tap'
import { parseDocument } from 'yaml'
import { loadConfigFile, loadConfigText } from './load.ts'
import { formatProblem } from './problems.ts'
import { configSchema } from './schema.ts'

const EXAMPLE = `listen:
  http:  ['0.0.0.0:80', '[::]:80']
  https: ['0.0.0.0:443', '[::]:443']    # HTTP/1.1 and HTTP/2 by ALPN; the same UDP ports carry HTTP/3
  http3: true                           # or its own list of addresses, or false
  admin: ['127.0.0.1:9090']
workers: auto                           # one per core, pinned; or a number
user: larder                            # drop root after binding
memory: { maxSize: 256MiB }             # per worker
redis:  { url: 'redis://127.0.0.1:6379', prefix: 'larder:' }   # or cluster: [..] or sentinels; absent = embedded
disk:   { path: /var/cache/larder, maxSize: 200GiB }
admin:  { tokens: [{ name: ops, secretFile: ops.token, role: admin }, { name: acme-ci, secretFile: acme.token, role: purge, tenant: acme }] }
tenants:
  - id: acme
    hosts: [www.acme.test, '*.img.acme.test']
    origins: [{ url: 'http://10.0.0.5:8080' }, { url: 'https://backup.acme.test', backup: true }]
    certificate: { certFile: acme.crt, keyFile: acme.key }       # or self-signed, or acme
    rules:                               # first match wins
      - { path: '/tiles/*', cache: { ttl: 24h, query: ignore } }
      - { path: '/api/*', cache: bypass }
      - { path: '*', cache: { defaultTtl: 1h, staleWhileRevalidate: 30s, staleIfError: 1d } }
`

const SMALL = `listen: { http: [':8080'] }
tenants:
  - id: a
    hosts: [a.test]
    origins: [{ url: 'http://127.0.0.1:1' }]
`

const ACME = 'acme: { termsAgreed: true }\n'

function problemsOf(text: string): string[] {
  const result = loadConfigText(text, 'larder.yaml', { environment: {} })
  return result.ok ? [] : result.problems.map(formatProblem)
}

/** The small configuration with a rule's cache options in its last line, line 6, from column 35 on. */
function withCache(cache: string): string {
  return `${SMALL}    rules: [{ path: '/x', cache: ${cache} }]\n`
}

t.test('the example of the documentation loads as printed', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'larder-config-'))
  t.teardown(() => rmSync(folder, { recursive: true }))
  const hosts = ['www.acme.test', '*.img.acme.test']
  const pair = await new DevelopmentAuthority(folder).certificateFor('acme', hosts)
  writeFileSync(join(folder, 'larder.yaml'), EXAMPLE)
  writeFileSync(join(folder, 'ops.token'), 'a-secret-of-thirty-characters\n')
  writeFileSync(join(folder, 'acme.token'), 'another-secret-of-that-length\n')
  const result = loadConfigFile(join(folder, 'larder.yaml'))
  if (!result.ok) throw new Error(result.problems.map(formatProblem).join('\n'))
  const { config } = result
  t.match(config, {
    listen: {
      http: [
        { address: '0.0.0.0:80', port: 80 },
        { address: '[::]:80', host: '::' },
      ],
      http3: [{ address: '0.0.0.0:443' }, { address: '[::]:443' }],
      admin: [{ host: '127.0.0.1', port: 9090 }],
    },
    memory: { maxSizeBytes: 268_435_456, maxObjectBytes: 1_048_576 },
    disk: { maxSizeBytes: 200 * 1024 ** 3 },
    admin: { tokens: [{ name: 'ops', role: 'admin' }, { tenant: 'acme' }] },
    timeouts: { headerMs: 10_000, drainMs: 30_000 },
    tenants: [
      {
        id: 'acme',
        origins: [
          { name: '10.0.0.5:8080', url: 'http://10.0.0.5:8080', backup: false },
          { url: 'https://backup.acme.test', backup: true },
        ],
        certificate: { source: 'files', keyPem: pair.keyPem },
        rules: [
          {
            path: '/tiles/*',
            cache: { mode: 'store', ttlMs: 86_400_000, query: { mode: 'ignore' } },
          },
          { cache: { mode: 'bypass' } },
          {
            cache: {
              defaultTtlMs: 3_600_000,
              staleWhileRevalidateMs: 30_000,
              query: { mode: 'keep' },
            },
          },
        ],
      },
    ],
  })
  t.same(result.warnings, [])
  t.ok(Object.isFrozen(config.tenants[0].rules[0].cache), 'the result is frozen, all the way down')
  t.notMatch(JSON.stringify(config), 'a-secret-of-thirty', 'secrets are kept as their hash only')
  const validate = new Ajv({ strict: false }).compile(configSchema)
  t.ok(validate(parseDocument(EXAMPLE).toJS()), 'the published schema accepts it, too')
})

t.test('JSON is read like YAML', async (t) => {
  const json = JSON.stringify(parseDocument(SMALL).toJS(), null, '\t')
  const result = loadConfigText(json, 'larder.json')
  t.match(result, { ok: true, config: { tenants: [{ id: 'a' }] } })
})

const BAD: [name: string, text: string, problem: RegExp][] = [
  [
    'a bare number as a duration, with the cure',
    withCache('{ ttl: 30 }'),
    /^larder.yaml:6:\d+ {2}tenants\[0\].rules\[0\].cache.ttl: .*bare number 30.*for example 30s/,
  ],
  ['a bare number in quotes', withCache("{ ttl: '30' }"), /Write its unit, for example 30s/],
  ['an unknown unit', withCache('{ ttl: 3y }'), /Expected a duration .* got "3y"/],
  [
    'an unknown key, with the nearest',
    withCache('{ staleIfErorr: 1d }'),
    /Did you mean 'staleIfError'\?/,
  ],
  [
    'an unknown key in another case',
    withCache('{ stale_if_error: 1d }'),
    /Did you mean 'staleIfError'\?/,
  ],
  ['an unknown word, with the nearest', withCache('{ query: ignroe }'), /Did you mean 'ignore'\?/],
  ['bypass misspelt', withCache('bypas'), /Did you mean 'bypass'\?/],
  ['a prototype key', withCache('{ __proto__: {} }'), /There is no option '__proto__'/],
  ['a constructor key', 'constructor: 1', /There is no option 'constructor'/],
  [
    'slice without unit',
    withCache("{ slice: '4' }"),
    /size with its unit such as '4MiB', or 'off'/,
  ],
  ['slice too small', withCache('{ slice: 255KiB }'), /at least 256KiB/],
  ['slice too large', withCache('{ slice: 65MiB }'), /at most 64MiB/],
  ['minTtl above maxTtl', withCache('{ minTtl: 2h, maxTtl: 1h }'), /minTtl \(2h\) is greater/],
  ['ttl outside of its bounds', withCache('{ ttl: 2h, maxTtl: 1h }'), /is not between/],
  [
    'keep and drop together',
    withCache('{ query: { keep: [a], drop: [b] } }'),
    /exactly one of keep/,
  ],
  ['a field name with a space', withCache("{ key: { headers: ['a b'] } }"), /RFC 9110/],
  ['a path pattern with a query', `${SMALL}    rules: [{ path: '/x?y' }]`, /about the path alone/],
  ['a relative path pattern', `${SMALL}    rules: [{ path: 'x' }]`, /write '\/x'/],
  ['an origin with a path', SMALL.replace(':1', ':1/x'), /write 'http:\/\/127.0.0.1:1'/],
  ['an origin with a password', SMALL.replace('127', 'u:p@127'), /no user name or password/],
  ['an origin of another scheme', SMALL.replace('http:/', 'ftp:/'), /http:\/\/ or https:\/\//],
  ['only backup origins', SMALL.replace(":1'", ":1', backup: true"), /Every origin is a backup/],
  [
    'a host with a port',
    SMALL.replace('[a.test]', "['a.test:80']"),
    /no port here; write 'a.test'/,
  ],
  ['a host in Unicode', SMALL.replace('a.test', 'bücher.test'), /xn--bcher-kva.test/],
  ['a wildcard in the middle', SMALL.replace('[a.test]', "['a.*.test']"), /stands alone or/],
  ['a host twice', SMALL.replace('[a.test]', '[a.test, A.TEST]'), /already stands in tenants\[0\]/],
  [
    'a tenant twice',
    SMALL + SMALL.slice(SMALL.indexOf('  - id')).replace('a.test', 'b'),
    /already the id/,
  ],
  ['no tenant', "listen: { http: [':1'] }", /421/],
  ['no listener', SMALL.replace(/^.*\n/, ''), /no address to listen on/],
  ['a bad address', SMALL.replace(':8080', 'example.test:80'), /Expected 'host:port'/],
  ['a port too large', SMALL.replace(':8080', ':65536'), /Expected 'host:port'/],
  [
    'an address twice',
    SMALL.replace("':8080'", "':8080', ':8080'"),
    /already taken by listen.http\[0\]/,
  ],
  [
    'HTTP/3 without HTTPS',
    SMALL.replace('] }', '], http3: true }'),
    /listen.https, which is empty/,
  ],
  ['a bad block', `trustedProxies: ['10.0.0.0/33']\n${SMALL}`, /10.0.0.0\/8/],
  ['half an address', `trustedProxies: ['10.1']\n${SMALL}`, /Expected an address or block/],
  [
    'proxyProtocol from anyone',
    SMALL.replace("':8080'", "{ address: ':1', proxyProtocol: true }"),
    /List who may send/,
  ],
  ['zero workers', `workers: 0\n${SMALL}`, /whole number from 1 to 1024, got 0/],
  [
    'workers by a word',
    `workers: all\n${SMALL}`,
    /Expected 'auto', or a whole number|Expected 'auto'/,
  ],
  ['a size above its greatest', `limits: { maxHeaderSize: 2GiB }\n${SMALL}`, /at most 1MiB/],
  ['a time below its least', `timeouts: { header: 1ms }\n${SMALL}`, /at least 100ms/],
  [
    'objects larger than the tier',
    `memory: { maxSize: 1MiB, maxObjectSize: 2MiB }\n${SMALL}`,
    /is greater than/,
  ],
  ['a certificate by ACME from nobody', `${SMALL}    certificate: acme`, /write acme: \{ email/],
  [
    'terms that are not agreed to',
    `acme: {}\n${SMALL}    certificate: acme`,
    /write termsAgreed: true/,
  ],
  [
    'a wildcard by ACME',
    `${ACME}${SMALL.replace('[a.test]', "['*.a.test']")}    certificate: acme`,
    /hosts\[0\]: '\*\.a\.test' cannot have a certificate by ACME/,
  ],
  [
    'an address by ACME',
    `${ACME}${SMALL.replace('[a.test]', '[192.0.2.1]')}    certificate: acme`,
    /'192\.0\.2\.1' is an address/,
  ],
  [
    'challenges that no listener answers',
    `acme: { termsAgreed: true, challenges: [tls-alpn-01] }\n${SMALL}    certificate: acme`,
    /tls-alpn-01 needs listen\.https/,
  ],
  ['a challenge that is none', `acme: { challenges: [dns-01] }\n${SMALL}`, /acme\.challenges\[0\]/],
  [
    'an authority in clear',
    `acme: { directory: 'http://ca.test/' }\n${SMALL}`,
    /acme\.directory: Expected the https URL/,
  ],
  [
    'an external account without key',
    `acme: { eab: { kid: k } }\n${SMALL}`,
    /exactly one of hmacFile/,
  ],
  ['an e-mail address that is none', `acme: { email: nobody }\n${SMALL}`, /acme\.email/],
  [
    'a certificate without key',
    `${SMALL}    certificate: { certFile: x }`,
    /both certFile and keyFile/,
  ],
  [
    'a certificate that is not there',
    `${SMALL}    certificate: { certFile: x, keyFile: y }`,
    /certFile: '.*x': There is no such file/,
  ],
  [
    'a token without secret',
    `admin: { tokens: [{ name: a, role: read }] }\n${SMALL}`,
    /exactly one of/,
  ],
  [
    'a secret that is not in the environment',
    `admin: { tokens: [{ name: a, role: read, secretEnv: NO }] }\n${SMALL}`,
    /no environment variable 'NO'/,
  ],
  ['a missing key', 'tenants: [{ id: a }]', /'hosts' is missing/],
  ['nothing where something belongs', `timeouts: { header: }\n${SMALL}`, /got nothing/],
  ['a list where an object belongs', `timeouts: []\n${SMALL}`, /Expected an object .* got a list/],
  [
    'a key twice',
    `watch: true\nwatch: true\n${SMALL}`,
    /larder.yaml:2:1 {2}This is not well-formed/,
  ],
  ['broken YAML', 'listen: [', /not well-formed/],
  ['no options at all', '- a', /Expected options such as listen/],
  [
    'a password in a URL that is none of Redis',
    `redis: { url: 'http://u:sesame@h' }\n${SMALL}`,
    /'http:\/\/…@h' is no Redis URL/,
  ],
  [
    'braces in a prefix',
    `redis: { url: 'redis://h', prefix: '{x}' }\n${SMALL}`,
    /A prefix has no braces/,
  ],
  ['Redis nowhere', `redis: {}\n${SMALL}`, /exactly one of url, cluster and sentinels/],
  [
    'an alias of itself',
    `tenants: &x [*x]\n${SMALL.split('\n')[0]}`,
    /Expected an object|Too deep/,
  ],
]

t.test('what is wrong is refused, and the message has the cure', async (t) => {
  t.same(problemsOf(SMALL), [], 'the configuration that the cases start from is good')
  for (const [name, text, expected] of BAD) {
    const problems = problemsOf(text)
    t.ok(
      problems.some((problem) => expected.test(problem)),
      name,
      { expected: String(expected), problems },
    )
  }
})

t.test('all problems are reported at once, in the order of the file', async (t) => {
  const text = `lissten: 1\n${withCache('{ ttl: 30, qury: keep }')}timeouts: { drain: 5 }\n`
  const lines = problemsOf(text).map((problem) => problem.split(':')[1])
  t.same(lines, ['1', '7', '7', '8'])
})

t.test('aliases that multiply are refused in bounded time', async (t) => {
  let text = 'a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n'
  for (let level = 1; level < 12; level++) {
    const items = Array(10)
      .fill(`*a${level - 1}`)
      .join(', ')
    text += `a${level}: &a${level} [${items}]\n`
  }
  const started = performance.now()
  const result = loadConfigText(`${text}trustedProxies: *a11\n`, 'bomb.yaml')
  t.equal(result.ok, false)
  t.ok(performance.now() - started < 20_000)
})

t.test('nesting beyond reason is refused, not a crash', async (t) => {
  t.equal(loadConfigText('['.repeat(100_000), 'deep.yaml').ok, false)
  t.equal(loadConfigText(`tenants: ${'['.repeat(500)}${']'.repeat(500)}`, 'deep.yaml').ok, false)
})

t.test('the command line takes the place of what the file says', async (t) => {
  const overrides = { http: ['127.0.0.1:0'], workers: 3 }
  const result = loadConfigText(SMALL, 'a.yaml', { overrides })
  t.match(result, { ok: true, config: { workers: 3, listen: { http: [{ port: 0 }] } } })
  const bad = loadConfigText(SMALL, 'a.yaml', { overrides: { http: ['nowhere'] } })
  t.match(bad, { ok: false, problems: [{ path: '--http' }] })
})

t.test('a file that is not there is a problem, not an exception', async (t) => {
  t.match(loadConfigFile('/nonexistent.yaml'), {
    ok: false,
    problems: [{ message: /no such file/ }],
  })
})

t.test('any text gives a result, and a refusal always says why', async (t) => {
  const fragment = fc.constantFrom(
    ...[
      'listen',
      'tenants',
      ': ',
      '\n',
      '  ',
      '- ',
      '[',
      ']',
      '{',
      '}',
      '"',
      "'",
      '&a ',
      '*a',
      '30',
    ],
    ...['ttl', '!!binary', '|', '>', '#', '__proto__', 'null', '~', '\u0000', '%YAML', '---', '? '],
  )
  fc.assert(
    fc.property(fc.array(fragment, { maxLength: 60 }), (parts) => {
      const result = loadConfigText(parts.join(''), 'random.yaml', { environment: {} })
      return result.ok || result.problems.length > 0
    }),
    { numRuns: 1000, seed: 7 },
  )
  t.pass('a thousand random texts')
})

t.test('originTls names an authority and a host, and says what is wrong with either', async (t) => {
  const folder = t.testdir({ 'larder.yaml': '', 'broken.crt': 'no certificate' })
  const authority = new DevelopmentAuthority(folder)
  await authority.certificateFor('origin', ['origin.test'])
  const load = (originTls: string) =>
    loadConfigText(`${SMALL}    originTls: ${originTls}\n`, join(folder, 'larder.yaml'))
  const good = load(`{ caFile: '${authority.certificateFile}', serverName: Origin.test }`)
  t.ok(good.ok)
  if (good.ok) {
    const { caPem, serverName } = good.config.tenants[0].originTls
    t.match(caPem, /BEGIN CERTIFICATE/)
    t.equal(serverName, 'origin.test')
  }
  for (const [originTls, expected] of [
    ['{ caFile: missing.crt }', /missing\.crt.*no such file/],
    ['{ caFile: broken.crt }', /broken\.crt.*no certificate/],
    ["{ serverName: '*.test' }", /one host name/],
    ['{ serverName: origin.test:443 }', /no port/],
  ] as const) {
    const bad = load(originTls)
    t.notOk(bad.ok, originTls)
    if (!bad.ok) t.match(bad.problems.map(({ message }) => message).join('\n'), expected)
  }
})

t.test('a slice that fits into no tier is said, and used as soon as there is a disk', async (t) => {
  const sliced = withCache('{ slice: 2MiB }')
  const without = loadConfigText(sliced, 'larder.yaml', { environment: {} })
  t.ok(without.ok)
  t.match(without.warnings.map(formatProblem), [/slice.*fit into no tier/])
  const disk = 'disk: { path: /var/cache/larder }\n'
  const withDisk = loadConfigText(disk + sliced, 'larder.yaml', { environment: {} })
  t.same(withDisk.warnings, [])
  const cache = withDisk.ok ? withDisk.config.tenants[0].rules[0].cache : undefined
  t.match(cache, { slice: 2 * 1024 ** 2 })
})
