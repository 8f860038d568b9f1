import t from 'tap'
import { onBoth, startEdge } from '../support/edge.ts'

/** By these a client chooses another host, path, method, address or scheme at some origins. */
const UNKEYED = [
  'X-Forwarded-Host',
  'X-Host',
  'X-Forwarded-Server',
  'X-Original-Host',
  'X-HTTP-Host-Override',
  'Forwarded',
  'Forwarded-Host',
  'X-Original-URL',
  'X-Rewrite-URL',
  'X-Forwarded-URI',
  'X-Forwarded-Path',
  'X-Forwarded-Prefix',
  'X-Forwarded-Proto',
  'X-Forwarded-Scheme',
  'X-Forwarded-Protocol',
  'X-Forwarded-SSL',
  'X-URL-Scheme',
  'X-Scheme',
  'Front-End-HTTPS',
  'X-Forwarded-Port',
  'X-HTTP-Method-Override',
  'X-HTTP-Method',
  'X-Method-Override',
  'X-Forwarded-For',
  'X-Real-IP',
  'X-Client-IP',
  'Client-IP',
  'True-Client-IP',
  'CF-Connecting-IP',
  'Fastly-Client-IP',
  'X-Cluster-Client-IP',
  'X-Originating-IP',
  'X-Remote-IP',
  'X-Remote-Addr',
  'X-HTTP-DestinationURL',
  'X-Proxy-URL',
  'X-WAP-Profile',
  'Proxy',
  'Max-Forwards',
]

onBoth('no input that is not in the key reaches the origin, in any spelling', async (t, edge) => {
  for (const name of UNKEYED) {
    for (const spelling of [name, name.toLowerCase(), name.replaceAll('-', '_')]) {
      const path = `/${spelling}`
      edge.origin.answers(path, { fields: { 'Cache-Control': 'max-age=60' } })
      const answer = await edge.get(path, { [spelling]: 'evil.test' })
      t.equal(answer.status, 200, spelling)
      t.notMatch(edge.origin.lastRequest.head, /evil/i, spelling)
    }
  }
})

onBoth(
  'an If-None-Match or Accept-Encoding of one client does not shape what is stored',
  async (t, edge) => {
    edge.origin.answers('/a', {
      fields: { 'Cache-Control': 'max-age=60', ETag: '"a"' },
      body: 'whole',
    })
    await edge.get('/a', {
      'If-None-Match': '"a"',
      'If-Modified-Since': edge.clock.date(),
      'Accept-Encoding': 'evil, gzip',
    })
    const { fields } = edge.origin.lastRequest
    for (const name of ['if-none-match', 'if-modified-since']) {
      t.notOk(fields.has(name), name)
    }
    t.notMatch(fields.get('accept-encoding'), /evil/)
    t.match(await edge.get('/a'), { status: 200, text: 'whole' })
  },
)

t.test(
  'the origin is told by whom and for what it is asked (RFC 7239 §4, RFC 9110 §7.6.3)',
  async (t) => {
    const edge = await startEdge(t, 'h1')
    edge.origin.answers('/a', { fields: { 'Cache-Control': 'no-store' } })
    await edge.get('/a')
    const { fields } = edge.origin.lastRequest
    const host = `127.0.0.1:${edge.ports.http}`
    t.equal(fields.get('host'), host)
    t.equal(fields.get('x-forwarded-for'), '127.0.0.1')
    t.equal(fields.get('x-forwarded-host'), host)
    t.equal(fields.get('x-forwarded-proto'), 'http')
    t.equal(fields.get('forwarded'), `for=127.0.0.1;host="${host}";proto=http`)
    t.match(fields.get('via'), /^1\.1 [!#$%&'*+\-.^_`|~0-9A-Za-z]+$/)
  },
)

t.test('over HTTP/2 and TLS it is told so', async (t) => {
  const edge = await startEdge(t, 'h2')
  edge.origin.answers('/a', { fields: { 'Cache-Control': 'no-store' } })
  await edge.get('/a')
  const { fields } = edge.origin.lastRequest
  t.equal(fields.get('x-forwarded-proto'), 'https')
  t.match(fields.get('forwarded'), /;proto=https$/)
  t.match(fields.get('via'), /^2\.0 /)
})

t.test(
  'what a trusted proxy said is continued, of anyone else it is replaced (RFC 7239 §7.4)',
  async (t) => {
    const said = { 'X-Forwarded-For': '192.0.2.7', Forwarded: 'for=192.0.2.7', Via: '1.1 front' }
    for (const trusted of [true, false]) {
      const edge = await startEdge(t, 'h1', { trustedProxies: trusted ? ['127.0.0.0/8'] : [] })
      edge.origin.answers('/a', { fields: { 'Cache-Control': 'no-store' } })
      await edge.get('/a', said)
      const { fields } = edge.origin.lastRequest
      const before = trusted ? '192.0.2.7, ' : ''
      t.equal(fields.get('x-forwarded-for'), `${before}127.0.0.1`)
      t.match(fields.get('forwarded'), trusted ? /^for=192\.0\.2\.7, for=127/ : /^for=127/)
      t.match(
        fields.get('via'),
        /^1\.1 front, 1\.1 larder-/,
        'Via is a trace: it is always continued',
      )
    }
  },
)

onBoth(
  'an answer that depends on who asks, by a field that this proxy sets, is not stored (RFC 9111 §4.1)',
  async (t, edge) => {
    for (const name of ['X-Forwarded-For', 'Forwarded', 'Via']) {
      const path = `/${name}`
      const fields = { 'Cache-Control': 'max-age=60', Vary: `Accept-Encoding, ${name}` }
      edge.origin.answers(path, { fields, body: 'for one' }, { fields, body: 'for another' })
      t.equal((await edge.get(path)).text, 'for one')
      t.equal((await edge.get(path)).text, 'for another', name)
    }
  },
)
