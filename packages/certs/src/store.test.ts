import { once } from 'node:events'
import { type AddressInfo, createServer } from 'node:net'
import { connect, createSecureContext, TLSSocket } from 'node:tls'
import t, { type Test } from 'tap'
import { NameFilter } from './name-filter.ts'
import { createAuthority, issueCertificate, type NewKeyKind } from './self-signed.ts'
import { CertificateStore, type CertificateStoreOptions } from './store.ts'
import type { CertificateSet } from './vault.ts'

const NOW = Date.now()
const authority = await createAuthority(NOW)

async function setFor(
  id: string,
  names: readonly string[],
  version = 1,
  keys: readonly NewKeyKind[] = ['p256'],
): Promise<CertificateSet> {
  const hosts = names.filter((name) => name !== '*')
  const pairs = await Promise.all(
    keys.map((key) => issueCertificate(authority, [...hosts, `${id}.id.test`], NOW, { key })),
  )
  return { id, names, version, pairs }
}

/** What a primary would know. */
class Sets {
  readonly byPattern = new Map<string, CertificateSet>()
  readonly asked: string[] = []

  constructor(sets: readonly CertificateSet[]) {
    for (const set of sets) this.put(set)
  }

  put(set: CertificateSet): void {
    for (const name of set.names) this.byPattern.set(name, set)
  }

  get names() {
    const filter = NameFilter.forNames(this.byPattern.size)
    for (const name of this.byPattern.keys()) filter.add(name)
    return { filter: filter.image, hasFallback: this.byPattern.has('*') }
  }

  store(options: Partial<CertificateStoreOptions> = {}): CertificateStore {
    const ask = async (pattern: string) => {
      this.asked.push(pattern)
      return this.byPattern.get(pattern) ?? null
    }
    return new CertificateStore({ ask, names: this.names, maxContexts: 100, ...options })
  }
}

t.test('names are found exact first, then by wildcard of one label, then by *', async (t) => {
  const [exact, wild, rest] = await Promise.all([
    setFor('exact', ['www.a.test']),
    setFor('wild', ['*.a.test']),
    setFor('rest', ['*']),
  ])
  const sets = new Sets([exact, wild])
  const store = sets.store()
  const idFor = async (name: string | undefined) => (await store.pairsFor(name))?.id ?? null
  t.equal(await idFor('www.a.test'), 'exact')
  t.equal(await idFor('img.a.test'), 'wild')
  const context = await store.contextFor('www.a.test')
  t.ok(context)
  t.equal(store.contextFor('WWW.A.test.'), context, 'case and final dot do not matter')
  for (const name of ['x.y.a.test', 'a.test', '.a.test', '', '*', '__proto__', undefined]) {
    t.equal(await store.contextFor(name), null, `${name} is refused`)
  }
  sets.put(rest)
  store.learn(sets.names)
  t.equal(await idFor('unheard.of'), 'rest')
  t.equal(await idFor(undefined), 'rest')
  t.ok(store.contextFor(undefined) !== null && !(store.contextFor(undefined) instanceof Promise))
})

t.test('questions for one name at once are one question, and none for what is held', async (t) => {
  const sets = new Sets([await setFor('a', ['a.test'])])
  const store = sets.store()
  const many = await Promise.all(Array.from({ length: 50 }, () => store.contextFor('a.test')))
  t.equal(new Set(many).size, 1)
  store.contextFor('a.test')
  t.same(sets.asked, ['a.test'])
  t.equal(store.counts.hits, 1)
})

t.test('names that nobody has cost no question and no memory', async (t) => {
  const sets = new Sets([await setFor('a', ['a.test'])])
  const store = sets.store()
  let refused = 0
  for (let i = 0; i < 20_000; i++) {
    if ((await store.contextFor(`${i}.random.test`)) === null) refused++
  }
  t.equal(refused, 20_000)
  t.ok(sets.asked.length < 200, `${sets.asked.length} questions`)
  t.equal(store.size, 0)
})

t.test('what is held is bounded, and the one unused for longest makes room', async (t) => {
  const all = await Promise.all(
    Array.from({ length: 6 }, (_, i) => setFor(`s${i}`, [`s${i}.test`])),
  )
  const sets = new Sets(all)
  const store = sets.store({ maxContexts: 3 })
  for (const { id } of all.slice(0, 3)) await store.contextFor(`${id}.test`)
  await store.contextFor('s0.test')
  await store.contextFor('s3.test')
  t.equal(store.size, 3)
  t.equal(store.counts.evictions, 1)
  t.ok(!(store.contextFor('s0.test') instanceof Promise), 'used a moment ago')
  t.ok(store.contextFor('s1.test') instanceof Promise, 'made room')
})

t.test('what has changed is asked for again, and an older version is never taken', async (t) => {
  const names = ['a.test', 'b.test']
  const [first, second] = [await setFor('a', names, 1), await setFor('a', names, 2)]
  const sets = new Sets([first])
  const store = sets.store()
  const before = await store.contextFor('a.test')
  sets.put(second)
  t.equal(store.contextFor('a.test'), before, 'nobody has told yet')
  store.changed(names, false)
  const after = await store.contextFor('a.test')
  t.not(after, before)
  sets.put(first)
  store.changed(names, false)
  t.equal(await store.contextFor('a.test'), after)
  t.equal(await store.contextFor('b.test'), after, 'by its other name neither')
})

t.test('an answer that was on its way when a newer one became known is not kept', async (t) => {
  const [first, second] = [await setFor('a', ['a.test'], 1), await setFor('a', ['a.test'], 2)]
  const sets = new Sets([first])
  const answers = [Promise.withResolvers<CertificateSet>(), Promise.withResolvers<CertificateSet>()]
  let asked = 0
  const store = sets.store({ ask: () => answers[asked++].promise })
  const waiting = store.pairsFor('a.test')
  store.changed(['a.test'], false)
  answers[0].resolve(first)
  answers[1].resolve(second)
  t.equal((await waiting)?.version, 2)
})

t.test('without an answer the old one serves; a name that has none is refused', async (t) => {
  const sets = new Sets([await setFor('a', ['a.test'])])
  const errors: string[] = []
  let isDown = false
  const store = sets.store({
    ask: async (pattern) => {
      if (isDown) throw new Error('nobody is there')
      return sets.byPattern.get(pattern) ?? null
    },
    onError: (_error, pattern) => errors.push(pattern),
  })
  const before = await store.contextFor('a.test')
  isDown = true
  store.changed(['a.test', 'new.test'], false)
  t.equal(await store.contextFor('a.test'), before)
  t.equal(await store.contextFor('new.test'), null)
  t.same(errors, ['a.test', 'new.test'])
  isDown = false
  sets.put(await setFor('b', ['new.test']))
  t.ok(await store.contextFor('new.test'), 'a failure is not remembered')
})

t.test('a set that is taken away is refused from then on', async (t) => {
  const sets = new Sets([await setFor('a', ['a.test'])])
  const store = sets.store()
  t.ok(await store.contextFor('a.test'))
  sets.byPattern.clear()
  store.changed(['a.test'], false)
  t.equal(await store.contextFor('a.test'), null)
  t.equal(store.size, 0, 'nothing of it is kept')
  sets.put(await setFor('a', ['a.test'], 2))
  store.changed(['a.test'], false)
  t.ok(await store.contextFor('a.test'), 'and served at once when it is back')
})

t.test('a pair that OpenSSL refuses is told and never throws', async (t) => {
  const errors: string[] = []
  const pairs = [{ certPem: 'no', keyPem: 'no' }]
  const sets = new Sets([{ id: 'a', names: ['a.test'], version: 1, pairs }])
  const store = sets.store({ onError: (_error, name) => errors.push(name) })
  t.equal(await store.contextFor('a.test'), null)
  t.equal(store.contextFor('a.test'), null)
  t.same(errors, ['a.test'])
})

t.test('of an ECDSA and an RSA certificate a client gets the one that it can verify', async (t) => {
  const sets = new Sets([await setFor('two', ['two.test'], 1, ['p256', 'rsa2048'])])
  // As in the policies: the server's order counts, and ECDSA is first because it costs less.
  const ciphers = 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256'
  const options = { honorCipherOrder: true, ciphers }
  const store = sets.store({ secureContext: () => options })
  const port = await serve(t, store, 'two.test')
  const kindFor = async (sigalgs: string, maxVersion: 'TLSv1.2' | 'TLSv1.3') => {
    const target = { port, host: '127.0.0.1', servername: 'two.test', ca: authority.certPem }
    const socket = connect({ ...target, sigalgs, maxVersion })
    try {
      await once(socket, 'secureConnect')
      return socket.getPeerX509Certificate()?.publicKey.asymmetricKeyType
    } finally {
      socket.destroy()
    }
  }
  // The authority's own signature is ECDSA with SHA-256: TLS 1.2 looks at that, too.
  for (const [sigalgs, version, kind] of [
    ['ecdsa_secp256r1_sha256:rsa_pss_rsae_sha256', 'TLSv1.3', 'ec'],
    ['rsa_pss_rsae_sha256:ecdsa_secp256r1_sha256', 'TLSv1.2', 'ec'],
    ['ecdsa_secp256r1_sha256', 'TLSv1.2', 'ec'],
    ['rsa_pss_rsae_sha256:ecdsa_secp384r1_sha384', 'TLSv1.3', 'rsa'],
    ['rsa_pss_rsae_sha256:rsa_pkcs1_sha256', 'TLSv1.2', 'rsa'],
  ] as const) {
    t.equal(await kindFor(sigalgs, version), kind, `${sigalgs}, ${version}`)
  }
})

/** Begins in the context of `name`; without one, the context is the SNI callback's, which takes one certificate only. */
async function serve(t: Test, store: CertificateStore, name?: string): Promise<number> {
  const known = name === undefined ? null : await store.contextFor(name)
  const base = known ?? createSecureContext()
  const server = createServer((socket) => {
    const secured: TLSSocket = new TLSSocket(socket, {
      isServer: true,
      secureContext: base,
      SNICallback: async (asked, done) => {
        const context = await store.contextFor(asked)
        if (context === null) socket.destroy()
        else done(null, known === null ? context : undefined)
      },
    })
    secured.on('error', () => socket.destroy())
    secured.on('_tlsError', () => socket.destroy())
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  // A server that listens on TCP has an address with a port.
  return (server.address() as AddressInfo).port
}

t.test('a client that trusts the authority accepts a leaf for its names', async (t) => {
  const leaf = await issueCertificate(authority, ['localhost', '127.0.0.1', '*.a.test'], NOW)
  const sets = new Sets([{ id: 'a', names: ['*.a.test', 'localhost'], version: 1, pairs: [leaf] }])
  const port = await serve(t, sets.store())
  const handshake = (servername: string) =>
    new Promise<boolean>((resolve) => {
      const socket = connect({ port, host: '127.0.0.1', servername, ca: authority.certPem }, () => {
        resolve(socket.authorized)
        socket.destroy()
      })
      socket.on('error', () => resolve(false))
    })
  t.equal(await handshake('localhost'), true)
  t.equal(await handshake('www.a.test'), true)
  t.equal(await handshake('a.test'), false, 'a wildcard is not for the bare name')
  t.equal(await handshake('other.test'), false, 'an unknown name is refused')
})
