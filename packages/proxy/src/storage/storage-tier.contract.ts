import type { Test } from 'tap'
import type { StorageTier } from './storage-tier.ts'
import type { StoredResponse } from './stored-response.ts'
import { type MetadataSketch, metadata } from './test-support/stored.ts'

/** What every tier promises (`storage-tier.ts`), run against one of them. `make` gives an empty tier. */
export function storageTierContract(
  t: Test,
  make: (t: Test, maxObjectBytes: number) => StorageTier,
): void {
  t.test('a response becomes visible on commit, whole', async (t) => {
    const tier = make(t, 1000)
    const insertion = tier.insert(metadata(), undefined)
    t.ok(insertion?.write(Buffer.from('hel')))
    t.ok(insertion?.write(Buffer.from('lo')))
    t.equal(tier.lookUp('k'), null)
    insertion?.commit()
    const [stored] = all(tier, 'k')
    t.equal(stored.body.toString(), 'hello')
    t.equal(stored.fields.get('content-length'), '5')
    t.equal(stored.status, 200)
  })

  t.test('what is abandoned leaves no trace', async (t) => {
    const tier = make(t, 1000)
    const insertion = tier.insert(metadata(), 5)
    insertion?.write(Buffer.from('hel'))
    insertion?.abandon()
    t.notOk(insertion?.write(Buffer.from('lo')))
    insertion?.commit()
    t.equal(tier.lookUp('k'), null)
  })

  t.test('abandon after commit is harmless', async (t) => {
    const tier = make(t, 1000)
    const insertion = tier.insert(metadata(), undefined)
    insertion?.write(Buffer.from('hello'))
    insertion?.commit()
    insertion?.abandon()
    insertion?.commit()
    t.same(bodies(tier, 'k'), ['hello'])
  })

  t.test('of another number of bytes than was expected nothing is stored', async (t) => {
    const tier = make(t, 1000)
    for (const body of ['', 'hell', 'hello!']) {
      const insertion = tier.insert(metadata(), 5)
      insertion?.write(Buffer.from(body))
      insertion?.commit()
      t.equal(tier.lookUp('k'), null, body)
    }
  })

  t.test('an empty body is stored as any other', async (t) => {
    const tier = make(t, 1000)
    tier.insert(metadata(), 0)?.commit()
    t.same(bodies(tier, 'k'), [''])
  })

  t.test('what is too large is declined at once, or as soon as it shows', async (t) => {
    const tier = make(t, 10)
    t.equal(tier.insert(metadata(), 11), null)
    const insertion = tier.insert(metadata(), undefined)
    t.ok(insertion?.write(Buffer.alloc(10)))
    t.notOk(insertion?.write(Buffer.alloc(1)))
    insertion?.commit()
    t.equal(tier.lookUp('k'), null)
  })

  t.test('a response takes the place of the one with its key, extra and variant', async (t) => {
    const tier = make(t, 1000)
    const sketches: MetadataSketch[] = [
      {},
      { keyExtra: '\nh:x=1' },
      { vary: 'x-a', request: [['x-a', '1']] },
      { vary: 'x-a', request: [['x-a', '2']] },
    ]
    for (const body of ['old', 'new']) {
      for (const [index, sketch] of sketches.entries()) put(tier, sketch, `${body}${index}`)
    }
    t.same(bodies(tier, 'k').sort(), ['new0', 'new1', 'new2', 'new3'])
  })

  t.test('the newest response of a key comes first', async (t) => {
    const tier = make(t, 1000)
    for (const value of ['1', '2', '3']) {
      put(tier, { vary: 'x-a', request: [['x-a', value]] }, value)
    }
    t.same(bodies(tier, 'k'), ['3', '2', '1'])
  })

  t.test('a freshened response keeps its body and its place', async (t) => {
    const tier = make(t, 1000)
    const old = put(tier, {}, 'hello')
    put(tier, { key: 'other' }, 'other')
    const fresh = tier.freshen(old, metadata({ fields: [['x-new', '1']], responseAt: 1 }))
    t.equal(fresh.body.toString(), 'hello')
    const [stored] = all(tier, 'k')
    t.equal(stored.fields.get('x-new'), '1')
    t.equal(stored.responseAt, 1)
    t.equal(all(tier, 'k').length, 1)
  })

  t.test('removing one response leaves the others of its key', async (t) => {
    for (const position of [0, 1, 2]) {
      const tier = make(t, 1000)
      const stored = ['1', '2', '3'].map((value) =>
        put(tier, { vary: 'x-a', request: [['x-a', value]] }, value),
      )
      tier.remove(stored[position])
      tier.remove(stored[position])
      t.same(bodies(tier, 'k').sort(), ['1', '2', '3'].toSpliced(position, 1))
    }
  })

  t.test('removing a key removes all of it and nothing else', async (t) => {
    const tier = make(t, 1000)
    put(tier, { vary: 'x-a', request: [['x-a', '1']] }, '1')
    put(tier, { vary: 'x-a' }, '2')
    put(tier, { part: { first: 0, completeLength: 9 }, keyExtra: 'x' }, 'part')
    put(tier, { key: 'kk' }, 'other')
    t.equal(tier.removeKey('k'), true)
    t.equal(tier.removeKey('k'), false)
    t.equal(tier.lookUp('k'), null)
    t.same(bodies(tier, 'kk'), ['other'])
  })

  t.test('parts with one strong validator become one, and the whole (RFC 9111 §3.4)', async (t) => {
    const tier = make(t, 1000)
    const fields = [['etag', '"a"']] as const
    put(tier, { fields, part: { first: 0, completeLength: 9 } }, 'abc')
    put(tier, { fields, part: { first: 2, completeLength: 9 } }, 'cdef')
    const [part] = all(tier, 'k')
    t.equal(part.body.toString(), 'abcdef')
    t.same(part.part, { first: 0, completeLength: 9 })
    put(tier, { fields, part: { first: 6, completeLength: 9 } }, 'ghi')
    const [whole] = all(tier, 'k')
    t.equal(whole.body.toString(), 'abcdefghi')
    t.equal(whole.status, 200)
    t.equal(whole.part, undefined)
  })

  t.test('a head in front of slices stands beside a part until the whole is there', async (t) => {
    const tier = make(t, 1000)
    const fields = [['etag', '"a"']] as const
    const head = (generation: string) => {
      const part = { first: 0, completeLength: 9, slices: { bytes: 4, generation } }
      put(tier, { fields, part }, '')
    }
    put(tier, { fields, part: { first: 0, completeLength: 9 } }, 'abc')
    head('g1')
    head('g2')
    put(tier, { fields, part: { first: 3, completeLength: 9 } }, 'def')
    t.same(bodies(tier, 'k').toSorted(), ['', 'abcdef'])
    const sliced = all(tier, 'k').find(({ part }) => part?.slices !== undefined)
    t.equal(sliced?.part?.slices?.generation, 'g2')
    t.equal(sliced?.fields.get('content-length'), '9')
    put(tier, { fields }, 'abcdefghi')
    t.same(bodies(tier, 'k'), ['abcdefghi'])
  })

  t.test('a part never takes the place of a whole response', async (t) => {
    const tier = make(t, 1000)
    put(tier, {}, 'whole')
    put(tier, { part: { first: 0, completeLength: 9 } }, 'part')
    t.same(bodies(tier, 'k').sort(), ['part', 'whole'])
    put(tier, {}, 'newer')
    t.ok(bodies(tier, 'k').includes('newer'))
    t.notOk(bodies(tier, 'k').includes('whole'))
  })
}

export function put(tier: StorageTier, sketch: MetadataSketch, body: string): StoredResponse {
  const insertion = tier.insert(metadata(sketch), undefined)
  insertion?.write(Buffer.from(body))
  insertion?.commit()
  const stored = all(tier, sketch.key ?? 'k').find((one) => one.body.toString() === body)
  // A part may have been combined with another: then the newest is it.
  return stored ?? all(tier, sketch.key ?? 'k')[0]
}

function all(tier: StorageTier, key: string): StoredResponse[] {
  const found: StoredResponse[] = []
  for (let stored = tier.lookUp(key); stored !== null; stored = stored.next) found.push(stored)
  return found
}

function bodies(tier: StorageTier, key: string): string[] {
  return all(tier, key).map(({ body }) => body.toString())
}
