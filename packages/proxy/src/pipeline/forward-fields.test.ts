import t from 'tap'
import { Fields } from '../http/fields.ts'
import type { ClientFacts, RequestHead } from '../transport/exchange.ts'
import { forwardFields, hasLooped } from './forward-fields.ts'

const CLIENT: ClientFacts = {
  address: '192.0.2.7',
  port: 1234,
  peerAddress: '192.0.2.7',
  localPort: 80,
  secure: false,
  serverName: undefined,
  tlsVersion: undefined,
  certificate: null,
}
const OPTIONS = { host: 'www.test', pseudonym: 'larder-1', trustedPeer: false, forCache: true }

function forwarded(
  lines: readonly (readonly [string, string])[],
  options: Partial<typeof OPTIONS> = {},
  client: Partial<ClientFacts> = {},
): Fields {
  const request: RequestHead = {
    method: 'GET',
    scheme: 'https',
    authority: 'www.test:8443',
    target: '/',
    httpVersion: '2',
    fields: Fields.from(lines),
  }
  return forwardFields(request, { ...CLIENT, ...client }, { ...OPTIONS, ...options })
}

t.test('no input that is not part of the key reaches the origin', async (t) => {
  const names = ['X-Original-URL', 'X-Rewrite-URL', 'X-Host', 'X-HTTP-Method-Override', 'X-Real-IP']
  const spellings = ['X_Forwarded_Host', 'x_original-url', 'X-Forwarded_Proto']
  const lines = [...names, ...spellings].map((name) => [name, 'evil'] as const)
  const fields = forwarded([...lines, ['X-Kept', '1']])
  t.notOk([...fields].some(([, value]) => value.includes('evil')))
  t.equal(fields.get('x-kept'), '1')
})

t.test(
  "a stranger's forwarding fields are replaced, a trusted peer's continued (RFC 7239)",
  async (t) => {
    const lines = [
      ['X-Forwarded-For', '203.0.113.9'],
      ['X-Forwarded-Proto', 'http'],
      ['X-Forwarded-Host', 'evil.test'],
      ['Forwarded', 'for=203.0.113.9'],
    ] as const
    const strange = forwarded(lines)
    t.same(strange.values('x-forwarded-for'), ['192.0.2.7'])
    t.same(strange.values('x-forwarded-proto'), ['https'])
    t.same(strange.values('x-forwarded-host'), ['www.test:8443'])
    t.same(strange.values('forwarded'), ['for=192.0.2.7;host="www.test:8443";proto=https'])
    const trusted = forwarded(lines, { trustedPeer: true })
    t.same(trusted.values('x-forwarded-for'), ['203.0.113.9, 192.0.2.7'])
    t.match(trusted.get('forwarded'), /^for=203\.0\.113\.9, for=192\.0\.2\.7;/)
    const six = forwarded([], {}, { address: '2001:db8::1' })
    t.match(six.get('forwarded'), /^for="\[2001:db8::1\]";/)
  },
)

t.test(
  'conditions and ranges stay with the cache, and go along when it does not look',
  async (t) => {
    const names = ['if-none-match', 'if-modified-since', 'if-range', 'range']
    const lines = names.map((name) => [name, 'x'] as const)
    for (const name of names) t.notOk(forwarded(lines).has(name), name)
    for (const name of names) t.ok(forwarded(lines, { forCache: false }).has(name), name)
  },
)

t.test(
  'Via names this proxy, and a request that has passed it is known (RFC 9110 §7.6.3)',
  async (t) => {
    const fields = forwarded([['Via', '1.1 other']])
    t.equal(fields.get('via'), '1.1 other, 2.0 larder-1')
    t.ok(hasLooped(fields, 'larder-1'))
    t.notOk(hasLooped(fields, 'larder-2'))
    t.notOk(hasLooped(Fields.from([['via', '1.1 larder-10, 1.1 x (larder-1)']]), 'larder-1'))
  },
)

t.test('Host is what the tenant wants it to be, once, first', async (t) => {
  t.same(forwarded([['Host', 'evil.test']]).list.slice(0, 2), ['host', 'www.test'])
  t.same(forwarded([['Host', 'evil.test']]).values('host'), ['www.test'])
  t.notOk(forwarded([], { host: '' }).has('host'))
})
