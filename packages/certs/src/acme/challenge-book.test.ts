import { X509Certificate } from 'node:crypto'
import t from 'tap'
import { ChallengeBook } from './challenge-book.ts'
import { type ChallengeAnswers, ChallengeRegistry } from './challenge-registry.ts'

const http = (token: string) =>
  ({ kind: 'http-01', name: 'a.test', token, keyAuthorization: `${token}.t` }) as const
const tls = (name: string) =>
  ({ kind: 'tls-alpn-01', name, token: 'x', keyAuthorization: 'x.t' }) as const

t.test('workers are told everything there is, in order', async (t) => {
  const told: ChallengeAnswers[] = []
  const book = new ChallengeBook({ tell: async (answers) => void told.push(answers) })
  await Promise.all([book.publish([http('one'), tls('a.test')]), book.publish([http('two')])])
  const tokens = told.map((answers) => answers.http.map(({ token }) => token))
  t.same(tokens, [
    ['one', 'two'],
    ['one', 'two'],
  ])
  t.equal(told[1].tls[0].pair, told[0].tls[0].pair, 'a certificate is made once')
  await book.withdraw([http('one'), tls('a.test')])
  t.same(book.answers, { http: [{ token: 'two', keyAuthorization: 'two.t' }], tls: [] })
  await book.replaceAll([])
  t.same(told.at(-1), { http: [], tls: [] })
})

t.test('workers that cannot be told do not stop those after them', async (t) => {
  let isBroken = true
  const told: ChallengeAnswers[] = []
  const book = new ChallengeBook({
    async tell(answers) {
      if (isBroken) throw new Error('no worker')
      told.push(answers)
    },
  })
  await t.rejects(book.publish([http('one')]), /no worker/)
  isBroken = false
  await book.publish([http('two')])
  t.equal(told[0].http.length, 2)
})

t.test(
  'a challenge certificate is for one name and shows the key authorization (RFC 8737 §3)',
  async (t) => {
    const book = new ChallengeBook({ tell: async () => {} })
    await book.publish([tls('a.test')])
    const registry = new ChallengeRegistry()
    t.notOk(registry.hasChallenges())
    registry.replaceAll(book.answers)
    t.ok(registry.hasChallenges())
    t.equal(registry.challengeContextFor('b.test'), null)
    const context = registry.challengeContextFor('A.test')
    t.ok(context)
    t.equal(registry.challengeContextFor('a.test'), context, 'made once')
    const leaf = new X509Certificate(book.answers.tls[0].pair.certPem)
    t.equal(leaf.subjectAltName, 'DNS:a.test')
    // id-pe-acmeIdentifier, critical, then an octet string within an octet string.
    t.ok(leaf.raw.toString('hex').includes('06082b0601050507011f0101ff04220420'))
    registry.replaceAll({ http: [], tls: [] })
    t.equal(registry.challengeContextFor('a.test'), null)
  },
)

t.test('only the exact path of a token is answered (RFC 8555 §8.3)', async (t) => {
  const registry = new ChallengeRegistry()
  t.notOk(registry.hasTokens)
  registry.replaceAll({ http: [{ token: 'tok', keyAuthorization: 'tok.t' }], tls: [] })
  t.equal(registry.answerTo('/.well-known/acme-challenge/tok'), 'tok.t')
  for (const target of [
    '/.well-known/acme-challenge/',
    '/.well-known/acme-challenge/other',
    '/.well-known/acme-challenge/tok/..',
    '/.well-known/acme-challenge/tok?a=b',
    '/.well-known/acme-challenge/__proto__',
    '/x/.well-known/acme-challenge/tok',
    '*',
  ]) {
    t.equal(registry.answerTo(target), null, target)
  }
})
