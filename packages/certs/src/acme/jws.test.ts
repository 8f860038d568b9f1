import { createHash, createHmac, generateKeyPairSync, verify } from 'node:crypto'
import t from 'tap'
import { readProblem } from './acme-error.ts'
import { retryAfterMs } from './acme-http.ts'
import { externalAccountBinding, publicJwk, signJws, thumbprint } from './jws.ts'

const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
const HEADER = { url: 'https://ca.test/order', nonce: 'n0nce' }

function decoded(text: string): unknown {
  return JSON.parse(Buffer.from(text, 'base64url').toString())
}

t.test(
  'a signature is ES256 over head and payload, r and s as they are (RFC 7518 §3.4)',
  async (t) => {
    const jws = JSON.parse(signJws(privateKey, { kid: 'https://ca.test/acct/1' }, HEADER, { a: 1 }))
    t.same(decoded(jws.protected), { alg: 'ES256', kid: 'https://ca.test/acct/1', ...HEADER })
    t.same(decoded(jws.payload), { a: 1 })
    const signature = Buffer.from(jws.signature, 'base64url')
    t.equal(signature.length, 64)
    const signed = Buffer.from(`${jws.protected}.${jws.payload}`)
    const key = { key: publicKey, dsaEncoding: 'ieee-p1363' } as const
    t.ok(verify('sha256', signed, key, signature))
    t.notOk(verify('sha256', Buffer.concat([signed, Buffer.from('x')]), key, signature))
  },
)

t.test('POST-as-GET has an empty payload, not an empty object (RFC 8555 §6.3)', async (t) => {
  const read = JSON.parse(signJws(privateKey, { jwk: publicJwk(privateKey) }, HEADER, undefined))
  t.equal(read.payload, '')
  const change = JSON.parse(signJws(privateKey, { jwk: publicJwk(privateKey) }, HEADER, {}))
  t.same(decoded(change.payload), {})
})

t.test('only the public half of a key is shown', async (t) => {
  const jwk = publicJwk(privateKey)
  t.same(Object.keys(jwk), ['crv', 'kty', 'x', 'y'])
  const text = `{"crv":"P-256","kty":"EC","x":"${jwk.x}","y":"${jwk.y}"}`
  t.equal(thumbprint(jwk), createHash('sha256').update(text).digest('base64url'), 'RFC 7638 §3')
})

t.test('an external account signs our key (RFC 8555 §7.3.4)', async (t) => {
  const jwk = publicJwk(privateKey)
  const hmacKey = Buffer.alloc(32, 1).toString('base64url')
  const binding = externalAccountBinding({ kid: 'k', hmacKey }, 'https://ca.test/new', jwk)
  // The shape is what is under test.
  const parts = binding as Record<'protected' | 'payload' | 'signature', string>
  t.same(decoded(parts.protected), { alg: 'HS256', kid: 'k', url: 'https://ca.test/new' })
  t.same(decoded(parts.payload), jwk)
  const mac = createHmac('sha256', Buffer.alloc(32, 1))
  const expected = mac.update(`${parts.protected}.${parts.payload}`).digest('base64url')
  t.equal(parts.signature, expected)
})

t.test('Retry-After is seconds or a date (RFC 9110 §10.2.3)', async (t) => {
  const now = Date.UTC(2026, 0, 1)
  const cases: [text: string | undefined, ms: number | undefined][] = [
    ['120', 120_000],
    ['0', 0],
    ['Thu, 01 Jan 2026 00:01:00 GMT', 60_000],
    ['Thu, 01 Jan 2025 00:00:00 GMT', 0],
    ['soon', undefined],
    ['-5', undefined],
    [undefined, undefined],
  ]
  for (const [text, ms] of cases) t.equal(retryAfterMs(text, now), ms, String(text))
})

t.test('what an authority says is one bounded line', async (t) => {
  const problem = readProblem(403, {
    type: 'urn:ietf:params:acme:error:unauthorized',
    detail: `a\nb\u001b[31m${'x'.repeat(10_000)}`,
    subproblems: [{ detail: 'no', identifier: { type: 'dns', value: 'a.test' } }, 7, null],
  })
  t.equal(problem.type, 'unauthorized')
  t.match(problem.detail, /^a b \[31mx+$/)
  t.ok(problem.detail.length <= 500)
  for (const value of [null, 7, [], 'text', { type: 7, detail: {} }]) {
    t.same(readProblem(500, value), { type: '', detail: '', status: 500 })
  }
})
