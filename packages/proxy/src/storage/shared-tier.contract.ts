import type { Test } from 'tap'
import type { SharedTier, StoredHandle } from './shared-tier.ts'
import type { Insertion } from './storage-tier.ts'
import { type MetadataSketch, metadata, NOW } from './test-support/stored.ts'

/** A tier under test, empty. */
export interface TierUnderTest {
  readonly tier: SharedTier
  /** The longest body that it takes. */
  readonly maxObjectBytes: number
  /** Settles when all that was committed can be found. */
  settled(): Promise<void>
}

type Make = (t: Test) => Promise<TierUnderTest>

/** What every tier behind memory promises (`shared-tier.ts`), run against one of them. */
export function sharedTierContract(t: Test, make: Make): void {
  whatIsStored(t, make)
  whatIsRead(t, make)
  whatIsReplaced(t, make)
  whatIsRemoved(t, make)
}

function whatIsStored(t: Test, make: Make): void {
  t.test('a response becomes visible on commit, whole, with all its metadata', async (t) => {
    const subject = await make(t)
    const { tier } = subject
    const fields = [
      ['etag', '"a"'],
      ['x-note', 'é "quoted"'],
      ['set-cookie', 'a'],
      ['set-cookie', 'b'],
    ] as const
    const sketch = metadata({ keyExtra: '\nh:x=1', vary: 'x-a', request: [['x-a', '1']], fields })
    const insertion = tier.insert(sketch, undefined)
    t.ok(insertion?.write(Buffer.from('hel')))
    t.ok(insertion?.write(Buffer.from('lo')))
    await subject.settled()
    t.same(await tier.lookUp('k'), [])
    insertion?.commit()
    await subject.settled()
    const [stored] = await tier.lookUp('k')
    t.equal(stored.bodyLength, 5)
    t.equal((await bodyOf(stored)).toString(), 'hello')
    sketch.fields.set('content-length', '5')
    t.same({ ...stored.metadata }, { ...sketch })
  })

  t.test('what is abandoned, or never committed, leaves no trace', async (t) => {
    const subject = await make(t)
    const { tier } = subject
    const insertion = tier.insert(metadata(), 5)
    insertion?.write(Buffer.from('hel'))
    insertion?.abandon()
    t.notOk(insertion?.write(Buffer.from('lo')))
    insertion?.commit()
    tier.insert(metadata(), undefined)?.write(Buffer.from('hello'))
    await subject.settled()
    t.same(await tier.lookUp('k'), [])
  })

  t.test('abandon after commit is harmless', async (t) => {
    const subject = await make(t)
    const insertion = subject.tier.insert(metadata(), undefined)
    insertion?.write(Buffer.from('hello'))
    insertion?.commit()
    insertion?.abandon()
    insertion?.commit()
    await subject.settled()
    t.same(await bodies(subject.tier, 'k'), ['hello'])
  })

  t.test('of another number of bytes than was expected nothing is stored', async (t) => {
    const subject = await make(t)
    for (const body of ['', 'hell', 'hello!']) {
      const insertion = subject.tier.insert(metadata(), 5)
      insertion?.write(Buffer.from(body))
      insertion?.commit()
      await subject.settled()
      t.same(await subject.tier.lookUp('k'), [], body)
    }
  })

  t.test('what is too large is declined at once, or as soon as it shows', async (t) => {
    const subject = await make(t)
    const { tier, maxObjectBytes } = subject
    t.equal(tier.insert(metadata(), maxObjectBytes + 1), null)
    const insertion = tier.insert(metadata(), undefined)
    t.notOk(writeAll(insertion, Buffer.alloc(maxObjectBytes + 1)))
    insertion?.commit()
    await subject.settled()
    t.same(await tier.lookUp('k'), [])
  })

  t.test('several at once do not disturb each other', async (t) => {
    const subject = await make(t)
    const { tier } = subject
    const keys = Array.from({ length: 50 }, (_, i) => `key ${i}`)
    const insertions = keys.map((key) => tier.insert(metadata({ key }), undefined))
    for (let turn = 0; turn < 3; turn++) {
      for (const [i, insertion] of insertions.entries()) {
        insertion?.write(Buffer.from(`${i}.${turn} `))
      }
    }
    insertions.forEach((insertion, i) => {
      if (i % 5 === 0) insertion?.abandon()
      else insertion?.commit()
    })
    await subject.settled()
    const found = await Promise.all(keys.map((key) => bodies(tier, key)))
    t.same(
      found,
      keys.map((_, i) => (i % 5 === 0 ? [] : [`${i}.0 ${i}.1 ${i}.2 `])),
    )
  })
}

function whatIsRead(t: Test, make: Make): void {
  t.test('bodies of every length come back byte for byte', async (t) => {
    const subject = await make(t)
    const lengths = [0, 1, 4095, 4096, 65_535, 65_536, 65_537, 300_000, 1024 * 1024]
    for (const bytes of [...lengths, subject.maxObjectBytes]) {
      const body = patterned(bytes)
      await store(subject, { key: `${bytes}` }, body)
      const [stored] = await subject.tier.lookUp(`${bytes}`)
      t.ok((await bodyOf(stored)).equals(body), `${bytes} bytes`)
      t.equal(stored.metadata.fields.get('content-length'), `${bytes}`)
    }
  })

  t.test('a range is exactly its bytes, in pieces of at most 256 KiB', async (t) => {
    const subject = await make(t)
    const body = patterned(700_000)
    await store(subject, {}, body)
    const [stored] = await subject.tier.lookUp('k')
    for (const [first, end] of [
      [0, 1],
      [699_999, 700_000],
      [65_535, 65_537],
      [65_536, 131_072],
      [100, 699_000],
      [5, 5],
      [0, 700_000],
    ]) {
      const pieces = await piecesOf(stored, first, end)
      t.ok(Buffer.concat(pieces).equals(body.subarray(first, end)), `${first} to ${end}`)
      t.ok(pieces.every((piece) => piece.length > 0 && piece.length <= 256 * 1024))
    }
  })

  t.test('a read that is closed early ends, and others go on', async (t) => {
    const subject = await make(t)
    const body = patterned(700_000)
    await store(subject, {}, body)
    const [stored] = await subject.tier.lookUp('k')
    const read = stored.read(0, body.length)
    await read.next()
    read.close()
    read.close()
    t.equal(await read.next(), null)
    t.ok((await bodyOf(stored)).equals(body))
  })
}

function whatIsReplaced(t: Test, make: Make): void {
  t.test(
    'a response takes the place of the one with its key, extra, variant and part',
    async (t) => {
      const subject = await make(t)
      for (const body of ['old', 'new']) {
        for (const [i, sketch] of SIDE_BY_SIDE.entries())
          await store(subject, sketch, `${body}${i}`)
      }
      const expected = SIDE_BY_SIDE.map((_, i) => `new${i}`)
      t.same((await bodies(subject.tier, 'k')).sort(), expected)
    },
  )

  t.test('the newest response of a key comes first', async (t) => {
    const subject = await make(t)
    for (const value of ['1', '2', '3']) {
      await store(subject, { vary: 'x-a', request: [['x-a', value]] }, value)
    }
    t.same(await bodies(subject.tier, 'k'), ['3', '2', '1'])
  })

  t.test('a part keeps its place in the representation (RFC 9111 §3.3)', async (t) => {
    const subject = await make(t)
    await store(subject, { part: { first: 10, completeLength: 99 } }, 'part')
    const [stored] = await subject.tier.lookUp('k')
    t.same(stored.metadata.part, { first: 10, completeLength: 99 })
    t.equal(stored.metadata.status, 206)
  })

  t.test(
    'a head in front of slices stands beside the whole and keeps what leads to them',
    async (t) => {
      const subject = await make(t)
      const slices = { bytes: 1000, generation: 'g1' }
      const part = { first: 0, completeLength: 12_345, slices }
      await store(subject, {}, 'whole')
      await store(subject, { part: { first: 10, completeLength: 99 } }, 'part')
      await store(subject, { part }, '')
      const [head, ...others] = await subject.tier.lookUp('k')
      t.same(head.metadata.part, part)
      t.equal(head.metadata.fields.get('content-length'), '12345')
      t.equal(head.bodyLength, 0)
      t.equal(others.length, 2)
      const newer = { ...part, slices: { ...slices, generation: 'g2' } }
      await store(subject, { part: newer, responseAt: NOW + 1000 }, '')
      const handles = await subject.tier.lookUp('k')
      t.same(handles[0].metadata.part, newer, 'a newer one takes its place')
      t.equal(handles.length, 3)
      const fields = [['content-length', '12345']] as const
      const fresh = metadata({ part: newer, responseAt: NOW + 2000, fields })
      await subject.tier.freshen(handles[0], fresh)
      await subject.settled()
      const [freshened] = await subject.tier.lookUp('k')
      t.same(freshened.metadata.part, newer)
      t.equal(freshened.metadata.fields.get('content-length'), '12345')
      t.equal((await bodyOf(freshened)).length, 0)
    },
  )

  t.test('whether several keys are all there is one question', async (t) => {
    const subject = await make(t)
    const keys = Array.from({ length: 40 }, (_, i) => `k${i}`)
    for (const key of keys) await store(subject, { key }, key)
    t.equal(await subject.tier.holdsAll(keys), true)
    t.equal(await subject.tier.holdsAll([...keys, 'k40']), false)
    t.equal(await subject.tier.holdsAll([]), true)
    await subject.tier.removeKey('k7')
    await subject.settled()
    t.equal(await subject.tier.holdsAll(keys), false)
  })

  t.test('a freshened response has new metadata and its body (RFC 9111 §4.3.4)', async (t) => {
    const subject = await make(t)
    const { tier } = subject
    for (const bytes of [5, 100_000, Math.min(2_000_000, subject.maxObjectBytes)]) {
      const body = patterned(bytes)
      const key = `${bytes}`
      await store(subject, { key }, body)
      for (const responseAt of [1000, 2000]) {
        const [old] = await tier.lookUp(key)
        await tier.freshen(old, metadata({ key, fields: [['x-new', `${responseAt}`]], responseAt }))
      }
      await subject.settled()
      const found = await tier.lookUp(key)
      t.equal(found.length, 1)
      t.equal(found[0].metadata.fields.get('x-new'), '2000')
      t.equal(found[0].metadata.responseAt, 2000)
      t.ok((await bodyOf(found[0])).equals(body), `${bytes} bytes`)
    }
  })

  t.test(
    'what was replaced gives its own bytes or fails, never those of its successor',
    async (t) => {
      const subject = await make(t)
      for (const bytes of [100_000, Math.min(2_000_000, subject.maxObjectBytes)]) {
        const key = `${bytes}`
        await store(subject, { key }, Buffer.alloc(bytes, 'old'))
        const [old] = await subject.tier.lookUp(key)
        await store(subject, { key }, Buffer.alloc(bytes, 'new'))
        const read = await bodyOf(old).catch(() => null)
        t.ok(read === null || read.equals(Buffer.alloc(bytes, 'old')))
        t.ok((await bodyOf((await subject.tier.lookUp(key))[0])).equals(Buffer.alloc(bytes, 'new')))
      }
    },
  )
}

function whatIsRemoved(t: Test, make: Make): void {
  t.test('removing one response leaves the others of its key', async (t) => {
    const subject = await make(t)
    const { tier } = subject
    for (const [i, sketch] of SIDE_BY_SIDE.entries()) await store(subject, sketch, `${i}`)
    const handles = await tier.lookUp('k')
    const texts = await bodies(tier, 'k')
    await tier.remove(handles[1])
    await tier.remove(handles[1])
    t.same(await bodies(tier, 'k'), texts.toSpliced(1, 1))
  })

  t.test('removing what was replaced leaves its successor', async (t) => {
    const subject = await make(t)
    await store(subject, {}, 'old')
    const [old] = await subject.tier.lookUp('k')
    await store(subject, {}, 'new')
    await subject.tier.remove(old)
    t.same(await bodies(subject.tier, 'k'), ['new'])
  })

  t.test('removing a key removes all of it and nothing else', async (t) => {
    const subject = await make(t)
    for (const sketch of SIDE_BY_SIDE) await store(subject, sketch, 'x')
    await store(subject, { key: 'kk' }, 'other')
    await subject.tier.removeKey('k')
    await subject.tier.removeKey('k')
    t.same(await subject.tier.lookUp('k'), [])
    t.same(await bodies(subject.tier, 'kk'), ['other'])
  })

  t.test('a response can be stored again after its key was removed', async (t) => {
    const subject = await make(t)
    for (const body of ['1', '2']) {
      await store(subject, {}, body)
      t.same(await bodies(subject.tier, 'k'), [body])
      await subject.tier.removeKey('k')
    }
  })

  t.test('closed, it holds nothing and declines, and nothing throws', async (t) => {
    const subject = await make(t)
    const { tier } = subject
    await store(subject, {}, 'hello')
    const [stored] = await tier.lookUp('k')
    const underWay = tier.insert(metadata({ key: 'under way' }), undefined)
    await tier.close()
    underWay?.write(Buffer.from('x'))
    underWay?.commit()
    t.same(await tier.lookUp('k'), [])
    t.equal(tier.insert(metadata(), undefined), null)
    await tier.freshen(stored, metadata())
    await tier.remove(stored)
    await tier.removeKey('k')
    await tier.close()
  })
}

const SIDE_BY_SIDE: readonly MetadataSketch[] = [
  {},
  { keyExtra: '\nh:x=1' },
  { vary: 'x-a', request: [['x-a', '1']] },
  { vary: 'x-a', request: [['x-a', '2']] },
  { vary: 'x-a' },
  { part: { first: 0, completeLength: 9 } },
]

/** Stores and waits until it can be found. */
export async function store(
  subject: Pick<TierUnderTest, 'tier' | 'settled'>,
  sketch: MetadataSketch,
  body: string | Buffer,
): Promise<void> {
  const insertion = subject.tier.insert(metadata(sketch), undefined)
  writeAll(insertion, Buffer.from(body))
  insertion?.commit()
  await subject.settled()
}

/** In pieces, as an origin's come; false when the tier gave up. */
function writeAll(insertion: Insertion | null, body: Buffer): boolean {
  for (let at = 0; at < body.length; at += 50_000) {
    if (!insertion?.write(body.subarray(at, at + 50_000))) return false
  }
  return true
}

/** No two places of it are alike, so that bytes from elsewhere show. */
export function patterned(bytes: number, seed = 0): Buffer {
  const body = Buffer.alloc(bytes)
  let state = (bytes * 31 + seed * 7919 + 1) >>> 0
  for (let i = 0; i < bytes; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    body[i] = state >>> 24
  }
  return body
}

async function piecesOf(stored: StoredHandle, first: number, end: number): Promise<Buffer[]> {
  const pieces: Buffer[] = []
  const read = stored.read(first, end)
  for (let piece = await read.next(); piece !== null; piece = await read.next()) pieces.push(piece)
  return pieces
}

export async function bodyOf(stored: StoredHandle): Promise<Buffer> {
  return Buffer.concat(await piecesOf(stored, 0, stored.bodyLength))
}

async function bodies(tier: SharedTier, key: string): Promise<string[]> {
  const handles = await tier.lookUp(key)
  return Promise.all(handles.map(async (handle) => (await bodyOf(handle)).toString()))
}
