import type { Test } from 'tap'
import { freshPath } from '../support/asserts.ts'
import { parseByteranges } from '../support/byteranges.ts'
import { type Edge, type EdgeOptions, onBoth } from '../support/edge.ts'
import type { FieldValues } from '../support/message-reader.ts'
import type { Script } from '../support/scripted-origin.ts'
import { contentAt } from '../support/synthetic-content.ts'

const SLICE = 256 * 1024
/** Four slices, and a last one of 1000 bytes. */
const LENGTH = 4 * SLICE + 1000
const SLICED: EdgeOptions = { rules: [{ path: '*', cache: { slice: '256KiB' } }] }
const FIELDS = { 'Cache-Control': 'max-age=600', 'Content-Type': 'video/mp4', ETag: '"1"' }

/** Octets that are in no representation. */
const FILLING = Buffer.from('surplus')

interface Content {
  readonly fields?: FieldValues
  readonly version?: number
  readonly length?: number
}

/** An origin as it should be: preconditions, then If-Range, then one range (RFC 9110 §13.2.2). */
function content({ fields = FIELDS, version = 1, length = LENGTH }: Content = {}): Script {
  return (wire, request) => {
    const validator = fields.ETag ?? fields['Last-Modified']
    const ifNoneMatch = request.fields.get('if-none-match')
    if (ifNoneMatch !== undefined && ifNoneMatch === fields.ETag) {
      return wire.answer({ status: 304, fields })
    }
    const ifRange = request.fields.get('if-range')
    const range = /^bytes=(\d*)-(\d*)$/.exec(request.fields.get('range') ?? '')
    if (range === null || (ifRange !== undefined && ifRange !== validator)) {
      return wire.answer({ fields, body: contentAt(0, length, version) })
    }
    const suffix = range[1] === ''
    const first = suffix ? length - Number(range[2]) : Number(range[1])
    const last = suffix || range[2] === '' ? length - 1 : Math.min(Number(range[2]), length - 1)
    if (first >= length) {
      return wire.answer({ status: 416, fields: { 'Content-Range': `bytes */${length}` } })
    }
    return wire.answer({
      status: 206,
      fields: { ...fields, 'Content-Range': `bytes ${first}-${last}/${length}` },
      body: contentAt(first, last - first + 1, version),
    })
  }
}

const sliceText = (index: number) =>
  `bytes=${index * SLICE}-${(index + 1) * SLICE - 1}`.replace(`${5 * SLICE - 1}`, `${LENGTH - 1}`)

function rangesAsked({ origin }: Edge, path?: string): (string | undefined)[] {
  return origin.requestsFor(path).map(({ fields }) => fields.get('range'))
}

async function assertRange(
  t: Test,
  { get }: Edge,
  path: string,
  [range, first, last]: readonly [string, number, number],
  cacheStatus: RegExp,
  version = 1,
): Promise<void> {
  const answer = await get(path, { Range: range })
  t.equal(answer.status, 206, range)
  t.equal(answer.fields.get('content-range'), `bytes ${first}-${last}/${LENGTH}`, range)
  t.same(answer.fields.values('content-length'), [String(last - first + 1)], range)
  t.ok(answer.body.equals(contentAt(first, last - first + 1, version)), `${range}: its bytes`)
  t.ok(answer.complete, range)
  t.match(answer.cacheStatus, cacheStatus, range)
}

onBoth(
  'a range of something cold is fetched and stored in the slices that it needs',
  SLICED,
  async (t, edge) => {
    edge.origin.answers('/', content())
    await assertRange(t, edge, '/', ['bytes=300000-300099', 300_000, 300_099], /fwd=uri-miss/)
    t.same(rangesAsked(edge), [sliceText(1)])
    await assertRange(t, edge, '/', ['bytes=262144-524287', 262_144, 524_287], /^Larder; hit/)
    t.equal(edge.origin.asked(), 1)
    await assertRange(
      t,
      edge,
      '/',
      ['bytes=500000-600000', 500_000, 600_000],
      /^Larder; fwd=partial/,
    )
    t.same(rangesAsked(edge), [sliceText(1), sliceText(2)])
    t.equal(edge.origin.lastRequest.fields.get('if-range'), '"1"')
    await assertRange(t, edge, '/', ['bytes=0-', 0, LENGTH - 1], /fwd=partial/)
    t.same(
      rangesAsked(edge).slice(2).toSorted(),
      [sliceText(0), sliceText(3), sliceText(4)].toSorted(),
    )
    await assertRange(t, edge, '/', ['bytes=0-', 0, LENGTH - 1], /^Larder; hit/)
    t.equal(edge.origin.asked(), 5)
  },
)

onBoth('every kind of range is cut from slices (RFC 9110 §14.1.2)', SLICED, async (t, edge) => {
  const rows: [string, number, number][] = [
    ['bytes=0-0', 0, 0],
    [`bytes=${SLICE - 1}-${SLICE}`, SLICE - 1, SLICE],
    [`bytes=${SLICE}-${2 * SLICE - 1}`, SLICE, 2 * SLICE - 1],
    [`bytes=${LENGTH - 1}-`, LENGTH - 1, LENGTH - 1],
    [`bytes=${4 * SLICE}-99999999`, 4 * SLICE, LENGTH - 1],
    ['bytes=-1', LENGTH - 1, LENGTH - 1],
    ['bytes=-1001', LENGTH - 1001, LENGTH - 1],
    ['bytes=-99999999', 0, LENGTH - 1],
    ['bytes=100-700000', 100, 700_000],
  ]
  for (const row of rows) {
    const path = freshPath()
    edge.origin.answers(path, content())
    await assertRange(t, edge, path, row, /fwd=uri-miss; fwd-status=206/)
    await assertRange(t, edge, path, row, /^Larder; hit/)
    t.ok(
      rangesAsked(edge, path).every((range) => /^bytes=\d+-\d+$/.test(range ?? '')),
      `${row[0]}: never more than a slice at a time`,
    )
  }
})

onBoth(
  'a range beyond the end is 416 with the length (RFC 9110 §15.5.17)',
  SLICED,
  async (t, edge) => {
    edge.origin.answers('/', content())
    const beyond = await edge.get('/', { Range: 'bytes=99999999-' })
    t.equal(beyond.status, 416)
    t.equal(beyond.fields.get('content-range'), `bytes */${LENGTH}`)
    await edge.get('/', { Range: 'bytes=0-0' })
    const asked = edge.origin.asked()
    const known = await edge.get('/', { Range: `bytes=${LENGTH}-` })
    t.equal(known.status, 416)
    t.equal(known.fields.get('content-range'), `bytes */${LENGTH}`)
    t.equal(edge.origin.asked(), asked)
  },
)

onBoth('several ranges come as multipart/byteranges from slices', SLICED, async (t, edge) => {
  edge.origin.answers('/', content())
  for (const cacheStatus of [/fwd=uri-miss/, /^Larder; hit/]) {
    const answer = await edge.get('/', { Range: 'bytes=10-19,600000-600009,-5' })
    t.equal(answer.status, 206)
    t.match(answer.cacheStatus, cacheStatus)
    t.equal(answer.fields.get('content-length'), String(answer.body.length))
    const parts = parseByteranges(answer.fields.get('content-type') ?? '', answer.body)
    t.same(
      parts.map(({ contentRange }) => contentRange),
      [
        `bytes 10-19/${LENGTH}`,
        `bytes 600000-600009/${LENGTH}`,
        `bytes ${LENGTH - 5}-${LENGTH - 1}/${LENGTH}`,
      ],
    )
    t.ok(parts[0].body.equals(contentAt(10, 10)))
    t.ok(parts[1].body.equals(contentAt(600_000, 10)))
    t.ok(parts[2].body.equals(contentAt(LENGTH - 5, 5)))
  }
  t.same(rangesAsked(edge), [sliceText(0), sliceText(2), sliceText(4)])
})

onBoth('what is no larger than a slice is stored as a whole', SLICED, async (t, edge) => {
  const { get, origin } = edge
  origin.answers('/', content({ length: 1000 }))
  const miss = await get('/', { Range: 'bytes=10-19' })
  t.equal(miss.status, 206)
  t.equal(miss.fields.get('content-range'), 'bytes 10-19/1000')
  t.ok(miss.body.equals(contentAt(10, 10)))
  t.match(miss.cacheStatus, /fwd=uri-miss; fwd-status=206; stored/)
  const whole = await get('/')
  t.match(whole.cacheStatus, /^Larder; hit/)
  t.equal(whole.status, 200)
  t.ok(whole.body.equals(contentAt(0, 1000)))
  t.equal(origin.asked(), 1)
})

onBoth(
  'with slice: off a range goes to the origin as it came',
  { rules: [{ path: '*', cache: { slice: 'off' } }] },
  async (t, edge) => {
    edge.origin.answers('/', content())
    await assertRange(t, edge, '/', ['bytes=300000-', 300_000, LENGTH - 1], /fwd=uri-miss/)
    t.same(rangesAsked(edge), ['bytes=300000-'])
  },
)

onBoth(
  'HEAD and preconditions are answered from the head alone (RFC 9110 §13.2.2)',
  SLICED,
  async (t, edge) => {
    const { get, head, origin } = edge
    origin.answers('/', content())
    await get('/', { Range: 'bytes=0-9' })
    const answer = await head('/')
    t.equal(answer.status, 200)
    t.equal(answer.fields.get('content-length'), String(LENGTH))
    t.notOk(answer.fields.has('content-range'))
    const unchanged = await get('/', { Range: 'bytes=0-9', 'If-None-Match': '"1"' })
    t.equal(unchanged.status, 304)
    t.equal((await get('/', { Range: 'bytes=0-9', 'If-None-Match': '"2"' })).status, 206)
    t.equal(origin.requestsFor('/').filter(({ method }) => method === 'GET').length, 1)
  },
)

onBoth(
  'If-Range that holds gets the slice, one that does not the whole (RFC 9110 §13.1.5)',
  SLICED,
  async (t, edge) => {
    const { get, origin } = edge
    origin.answers('/', content())
    const cold = await get('/', { Range: 'bytes=0-9', 'If-Range': '"1"' })
    t.equal(cold.status, 206)
    t.equal((await get('/', { Range: 'bytes=0-9', 'If-Range': '"1"' })).status, 206)
    t.equal(origin.asked(), 1)
    const other = await get('/', { Range: 'bytes=0-9', 'If-Range': '"2"' })
    t.equal(other.status, 200)
    t.ok(other.body.equals(contentAt(0, LENGTH)))
  },
)

onBoth(
  'a request for the whole is fetched as a whole, which then answers',
  { ...SLICED, memory: { maxSize: '64MiB', maxObjectSize: '4MiB' } },
  async (t, edge) => {
    const { get, origin } = edge
    origin.answers('/', content())
    await get('/', { Range: 'bytes=0-9' })
    const whole = await get('/')
    t.equal(whole.status, 200)
    t.ok(whole.body.equals(contentAt(0, LENGTH)))
    t.notOk(origin.lastRequest.fields.has('range'))
    await assertRange(t, edge, '/', ['bytes=700000-', 700_000, LENGTH - 1], /^Larder; hit/)
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'a strong Last-Modified binds slices as well (RFC 9110 §8.8.2.2)',
  SLICED,
  async (t, edge) => {
    const fields = {
      'Cache-Control': 'max-age=600',
      'Last-Modified': 'Mon, 01 Jun 2026 10:00:00 GMT',
    }
    edge.origin.answers('/', content({ fields }))
    await assertRange(t, edge, '/', ['bytes=0-300000', 0, 300_000], /fwd=uri-miss/)
    t.same(rangesAsked(edge), [sliceText(0), sliceText(1)])
    t.equal(edge.origin.lastRequest.fields.get('if-range'), fields['Last-Modified'])
  },
)

onBoth(
  'without a strong validator there are no slices (RFC 9111 §3.4)',
  SLICED,
  async (t, edge) => {
    const weak: FieldValues[] = [{}, { ETag: 'W/"1"' }, { 'Last-Modified': edge.clock.date() }]
    for (const validator of weak) {
      const path = freshPath()
      edge.origin.answers(
        path,
        content({ fields: { 'Cache-Control': 'max-age=600', ...validator } }),
      )
      for (const [first, last] of [
        [0, 300_000],
        [300_001, 600_000],
      ]) {
        const answer = await edge.get(path, { Range: `bytes=${first}-${last}` })
        t.equal(answer.status, 206)
        t.ok(answer.body.equals(contentAt(first, last - first + 1)), JSON.stringify(validator))
      }
      t.same(rangesAsked(edge, path).slice(1), ['bytes=0-300000', 'bytes=300001-600000'])
    }
  },
)

onBoth(
  'an origin without ranges is asked once, and its whole is stored',
  { ...SLICED, memory: { maxSize: '64MiB', maxObjectSize: '4MiB' } },
  async (t, edge) => {
    edge.origin.answers('/', { fields: FIELDS, body: contentAt(0, LENGTH) })
    await assertRange(
      t,
      edge,
      '/',
      ['bytes=300000-300099', 300_000, 300_099],
      /fwd=uri-miss; fwd-status=200; stored/,
    )
    await assertRange(t, edge, '/', ['bytes=900000-', 900_000, LENGTH - 1], /^Larder; /)
    t.equal(edge.origin.asked(), 1)
  },
)

onBoth('what may not be stored is not sliced, and reaches its client', SLICED, async (t, edge) => {
  edge.origin.answers('/', content({ fields: { ...FIELDS, 'Cache-Control': 'no-store' } }))
  for (let i = 0; i < 2; i++) {
    const answer = await edge.get('/', { Range: 'bytes=300000-300099' })
    t.equal(answer.status, 206)
    t.ok(answer.body.equals(contentAt(300_000, 100)))
    t.match(answer.cacheStatus, /fwd=uri-miss; fwd-status=206; detail=no-store/)
  }
})

onBoth(
  'a wrong Content-Range is not taken for the slice that was asked for (RFC 9110 §14.4)',
  SLICED,
  async (t, edge) => {
    const { get, origin } = edge
    for (const contentRange of [
      `bytes 0-99/${LENGTH}`,
      `bytes 1-${SLICE}/${LENGTH}`,
      `bytes 0-${SLICE - 1}/*`,
      `bytes */${LENGTH}`,
      'bytes x',
    ]) {
      const path = freshPath()
      origin.answers(
        path,
        {
          status: 206,
          fields: { ...FIELDS, 'Content-Range': contentRange },
          body: contentAt(0, 100, 9),
        },
        content(),
      )
      const answer = await get(path, { Range: 'bytes=0-99' })
      t.equal(answer.status, 206, contentRange)
      t.ok(answer.body.equals(contentAt(0, 100)), contentRange)
      t.same(rangesAsked(edge, path), [sliceText(0), 'bytes=0-99'], contentRange)
    }
  },
)

onBoth(
  'slices are validated with their head, and used again (RFC 9111 §4.3.4)',
  SLICED,
  async (t, edge) => {
    const { origin, clock } = edge
    origin.answers('/', content())
    await assertRange(t, edge, '/', ['bytes=0-300000', 0, 300_000], /fwd=uri-miss/)
    clock.advanceSeconds(601)
    await assertRange(t, edge, '/', ['bytes=0-300000', 0, 300_000], /fwd=.*fwd-status=304/)
    t.equal(origin.lastRequest.fields.get('if-none-match'), '"1"')
    t.equal(origin.asked(), 3)
    await assertRange(t, edge, '/', ['bytes=0-300000', 0, 300_000], /^Larder; hit/)
    t.equal(origin.asked(), 3)
  },
)

onBoth(
  'a stale representation that has changed costs one slice of the new one',
  SLICED,
  async (t, edge) => {
    const { origin, clock } = edge
    origin.answers('/', content())
    await assertRange(t, edge, '/', ['bytes=0-300000', 0, 300_000], /fwd=uri-miss/)
    clock.advanceSeconds(601)
    origin.answers('/', content({ fields: { ...FIELDS, ETag: '"2"' }, version: 2 }))
    await assertRange(t, edge, '/', ['bytes=0-9', 0, 9], /fwd=.*fwd-status=206/, 2)
    t.equal(origin.asked(), 3)
    t.match(origin.lastRequest.fields.get('range'), sliceText(0))
    await assertRange(t, edge, '/', ['bytes=0-300000', 0, 300_000], /fwd=partial/, 2)
    t.equal(origin.asked(), 4)
  },
)

onBoth('a slice that comes makes its head newer (RFC 9110 §15.3.7.3)', SLICED, async (t, edge) => {
  const { get, origin, clock } = edge
  origin.answers('/', content())
  await get('/', { Range: 'bytes=0-9' })
  clock.advanceSeconds(400)
  t.equal((await get('/', { Range: 'bytes=0-9' })).age, 400)
  await get('/', { Range: `bytes=${SLICE}-${SLICE + 9}` })
  const hit = await get('/', { Range: 'bytes=0-9' })
  t.equal(hit.age, 0)
  t.match(hit.cacheStatus, /^Larder; hit; ttl=600/)
})

onBoth(
  'a representation that changes between slices is begun anew, never mixed (RFC 9111 §3.4)',
  SLICED,
  async (t, edge) => {
    const { origin } = edge
    for (const [name, change] of [
      ['another tag', { fields: { ...FIELDS, ETag: '"2"' } }],
      ['a tag grown weak', { fields: { ...FIELDS, ETag: 'W/"1"' } }],
      ['another length', { length: LENGTH + 1 }],
      ['another coding', { fields: { ...FIELDS, 'Content-Encoding': 'gzip' } }],
      ['another Vary', { fields: { ...FIELDS, Vary: 'Accept' } }],
    ] as const) {
      const path = freshPath()
      origin.answers(path, content())
      await assertRange(t, edge, path, ['bytes=0-9', 0, 9], /fwd=uri-miss/)
      const length = LENGTH
      origin.answers(path, content({ length, ...change, version: 2 }))
      // The first slice that this one needs is of the new representation, before anything has gone out.
      const answer = await edge.get(path, { Range: `bytes=${SLICE}-${SLICE + 9}` })
      t.equal(answer.status, 206, name)
      t.ok(answer.body.equals(contentAt(SLICE, 10, 2)), name)
      const again = await edge.get(path, { Range: 'bytes=0-9' })
      t.ok(again.body.equals(contentAt(0, 10, 2)), `${name}: nothing of the old one is left`)
    }
  },
)

onBoth(
  'a change in the middle of an answer cuts it, and the next one is new (RFC 9111 §3.4)',
  SLICED,
  async (t, edge) => {
    const { get, origin } = edge
    for (const [name, second] of [
      ['another representation', content({ fields: { ...FIELDS, ETag: '"2"' }, version: 2 })],
      ['the whole', { fields: { ...FIELDS, ETag: '"2"' }, body: contentAt(0, LENGTH, 2) }],
      ['the whole of the same', { fields: FIELDS, body: contentAt(0, LENGTH) }],
      ['a 416', { status: 416, fields: { 'Content-Range': 'bytes */10' } }],
      ['a 404', { status: 404, fields: FIELDS, body: 'gone' }],
      ['a 304', { status: 304, fields: FIELDS }],
    ] as const) {
      const path = freshPath()
      origin.answers(path, content(), second)
      const answer = await get(path, { Range: 'bytes=0-' })
      t.equal(answer.status, 206, name)
      t.ok(answer.cut, `${name}: the client sees it`)
      t.notOk(answer.complete, name)
      t.ok(
        answer.body.equals(contentAt(0, answer.body.length)),
        `${name}: what came is of the old one`,
      )
      t.ok(answer.body.length <= SLICE, name)
      origin.answers(path, content({ fields: { ...FIELDS, ETag: '"2"' }, version: 2 }))
      await assertRange(t, edge, path, ['bytes=0-', 0, LENGTH - 1], /fwd=/, 2)
    }
  },
)

onBoth(
  'an origin in trouble: 5xx before the first byte, a cut after it, and the slices stay',
  SLICED,
  async (t, edge) => {
    const { get, origin } = edge
    origin.answers('/', content(), { status: 503, body: 'busy' })
    const answer = await get('/', { Range: 'bytes=0-' })
    t.ok(answer.cut)
    t.ok(answer.body.equals(contentAt(0, answer.body.length)))
    const refused = await get('/', { Range: `bytes=${SLICE}-` })
    t.equal(refused.status, 503)
    t.equal(refused.text, 'busy')
    const asked = origin.asked()
    await assertRange(t, edge, '/', ['bytes=0-9', 0, 9], /^Larder; hit/)
    t.equal(origin.asked(), asked)
  },
)

onBoth('a slice that is cut goes on where it stopped, once', SLICED, async (t, edge) => {
  const { get, origin } = edge
  const fields = { ...FIELDS, 'Content-Range': `bytes 0-${SLICE - 1}/${LENGTH}` }
  const cut: Script = (wire) =>
    wire
      .head(206, { ...fields, 'Content-Length': String(SLICE) })
      .write(contentAt(0, 1000))
      .end()
  origin.answers('/once', cut, content())
  await assertRange(t, edge, '/once', ['bytes=0-99999', 0, 99_999], /fwd=/)
  t.same(rangesAsked(edge, '/once'), [sliceText(0), sliceText(0)])
  await assertRange(t, edge, '/once', ['bytes=0-99999', 0, 99_999], /^Larder; hit/)
  origin.answers('/always', cut)
  const answer = await get('/always', { Range: 'bytes=0-99999' })
  t.ok(answer.cut)
  t.ok(answer.body.equals(contentAt(0, answer.body.length)))
  t.ok(origin.asked('/always') <= 4, `asked ${origin.asked('/always')} times`)
  origin.answers('/always', content())
  await assertRange(t, edge, '/always', ['bytes=0-99999', 0, 99_999], /fwd=/)
})

onBoth(
  'a chunked slice of another size is not stored (RFC 9110 §15.3.7.1)',
  SLICED,
  async (t, edge) => {
    const { get, origin } = edge
    const fields = {
      ...FIELDS,
      'Content-Range': `bytes 0-${SLICE - 1}/${LENGTH}`,
      'Transfer-Encoding': 'chunked',
    }
    for (const body of [contentAt(0, SLICE - 1), Buffer.concat([contentAt(0, SLICE), FILLING])]) {
      const path = freshPath()
      origin.answers(path, (wire) => wire.head(206, fields).chunk(body).lastChunk(), content())
      const answer = await get(path, { Range: `bytes=0-${SLICE - 1}` })
      if (answer.complete) t.ok(answer.body.equals(contentAt(0, SLICE)))
      await assertRange(t, edge, path, [`bytes=0-${SLICE - 1}`, 0, SLICE - 1], /^Larder/)
      t.equal(origin.asked(path), 2)
    }
  },
)

onBoth(
  'stale slices may answer while they are validated behind (RFC 5861 §3)',
  SLICED,
  async (t, edge) => {
    const { get, origin, clock } = edge
    const fields = { ...FIELDS, 'Cache-Control': 'max-age=600, stale-while-revalidate=60' }
    origin.answers('/', content({ fields }))
    await get('/', { Range: 'bytes=0-9' })
    clock.advanceSeconds(601)
    await assertRange(t, edge, '/', ['bytes=100-199', 100, 199], /^Larder; hit|fwd-status=304/)
    await origin.untilAsked(2)
    t.equal(origin.lastRequest.fields.get('if-none-match'), '"1"')
    t.ok(origin.lastRequest.fields.has('range'), 'a change would cost one slice')
    await assertRange(t, edge, '/', ['bytes=0-9', 0, 9], /^Larder; (hit|fwd=)/)
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'no-cache has the head validated, and the slices used (RFC 9111 §5.2.1.4)',
  SLICED,
  async (t, edge) => {
    const { get, origin } = edge
    origin.answers('/', content())
    await get('/', { Range: 'bytes=0-9' })
    const answer = await get('/', { Range: 'bytes=0-9', 'Cache-Control': 'no-cache' })
    t.equal(answer.status, 206)
    t.ok(answer.body.equals(contentAt(0, 10)))
    t.equal(origin.asked(), 2)
    t.notOk(/^bytes=0-$/.test(origin.lastRequest.fields.get('range') ?? 'bytes=0-'))
  },
)

onBoth(
  'a request with Authorization leaves no slice behind for others (RFC 9111 §3.5)',
  SLICED,
  async (t, edge) => {
    const { get, origin } = edge
    origin.answers('/', content())
    const own = { Authorization: 'Basic eDp5', Range: 'bytes=0-300000' }
    t.ok((await get('/', own)).body.equals(contentAt(0, 300_001)))
    const asked = origin.asked()
    await assertRange(t, edge, '/', ['bytes=0-300000', 0, 300_000], /fwd=/)
    t.equal(origin.asked(), asked + 2)
  },
)

onBoth(
  'with a dead origin stale slices are served where stale is allowed (RFC 5861 §4)',
  SLICED,
  async (t, edge) => {
    const { get, origin, clock } = edge
    origin.answers(
      '/',
      content({ fields: { ...FIELDS, 'Cache-Control': 'max-age=600, stale-if-error=600' } }),
    )
    await get('/', { Range: 'bytes=0-9' })
    clock.advanceSeconds(700)
    await origin.close()
    await assertRange(t, edge, '/', ['bytes=100-199', 100, 199], /detail=stale-if-error/)
  },
)

onBoth('an unsafe method invalidates head and slices (RFC 9111 §4.4)', SLICED, async (t, edge) => {
  const { get, request, origin } = edge
  origin.answers('/', content())
  await get('/', { Range: 'bytes=0-9' })
  origin.answers('/', { status: 204 })
  await request({ method: 'PUT', path: '/', body: 'x' })
  origin.answers('/', content({ version: 2 }))
  // The very same validator: what was stored must not come back all the same.
  await assertRange(t, edge, '/', ['bytes=0-300000', 0, 300_000], /fwd=/, 2)
})

onBoth(
  'a HEAD that disagrees with the head in front of slices ends them (RFC 9111 §4.3.5)',
  SLICED,
  async (t, edge) => {
    const { get, head, origin } = edge
    origin.answers('/', content())
    await get('/', { Range: 'bytes=0-9' })
    origin.answers('/', content({ fields: { ...FIELDS, ETag: '"2"' }, version: 2 }))
    await head('/', { 'Cache-Control': 'no-cache' })
    // HEAD goes to the origin from the worker that has it, which need not be the one with the head in front of slices.
    if (Number(process.env.LARDER_TEST_WORKERS ?? 1) > 1) return
    await assertRange(t, edge, '/', ['bytes=0-9', 0, 9], /fwd=/, 2)
  },
)

onBoth('variants have slices of their own (RFC 9111 §4.1)', SLICED, async (t, edge) => {
  const { get, origin } = edge
  const script: Script = (wire, request) => {
    const version = request.fields.get('x-a') === '2' ? 2 : 1
    return content({ fields: { ...FIELDS, Vary: 'X-A', ETag: `"v${version}"` }, version })(
      wire,
      request,
    )
  }
  origin.answers('/', script)
  for (const version of [1, 2]) {
    const fields = { Range: 'bytes=0-300000', 'X-A': String(version) }
    for (const cacheStatus of [/fwd=/, /^Larder; hit/]) {
      const answer = await get('/', fields)
      t.ok(answer.body.equals(contentAt(0, 300_001, version)))
      t.match(answer.cacheStatus, cacheStatus)
    }
  }
  t.equal(origin.asked(), 4)
})

onBoth(
  'only-if-cached is for what is stored to the last slice (RFC 9111 §5.2.1.7)',
  SLICED,
  async (t, edge) => {
    const { get, origin } = edge
    origin.answers('/', content())
    await get('/', { Range: 'bytes=0-9' })
    const fields = { 'Cache-Control': 'only-if-cached' }
    t.equal((await get('/', { ...fields, Range: 'bytes=0-9' })).status, 206)
    t.equal((await get('/', { ...fields, Range: 'bytes=0-300000' })).status, 504)
    t.equal((await get('/', { ...fields, Range: 'bytes=300000-' })).status, 504)
    t.equal(origin.asked(), 1)
  },
)

onBoth('many clients of one slice are one request to the origin', SLICED, async (t, edge) => {
  const { origin } = edge
  origin.answers('/', content())
  const opened = Array.from({ length: 50 }, (_, i) =>
    edge.get('/', { Range: `bytes=${1000 * i}-${100_000 + i}` }),
  )
  for (const [i, answer] of (await Promise.all(opened)).entries()) {
    t.equal(answer.status, 206)
    t.ok(answer.body.equals(contentAt(1000 * i, 100_000 + i - 1000 * i + 1)))
  }
  t.equal(origin.asked(), 1)
})

onBoth(
  'clients that begin at different places of something cold share one head, and each slice is asked for once',
  SLICED,
  async (t, edge) => {
    const { get, origin } = edge
    const gates = [0, 1, 2].map(() => Promise.withResolvers<void>())
    origin.answers('/', async (wire, request) => {
      const index = Number(/=(\d+)-/.exec(request.fields.get('range') ?? '')?.[1]) / SLICE
      await gates[index]?.promise
      content()(wire, request)
    })
    const at = (index: number) => get('/', { Range: `bytes=${index * SLICE}-${index * SLICE + 9}` })
    const cold = [at(0), at(1), at(2)]
    await origin.untilAsked(3)
    gates[1].resolve()
    await cold[1]
    // The head is there; slices 0 and 2 are under way for those who did not know it.
    const others = [at(0), at(2), at(0)]
    const across = get('/', { Range: `bytes=${SLICE - 5}-${SLICE + 4}` })
    gates[0].resolve()
    gates[2].resolve()
    for (const [i, answer] of (await Promise.all([...cold, ...others])).entries()) {
      t.ok(answer.body.equals(contentAt([0, 1, 2, 0, 2, 0][i] * SLICE, 10)))
    }
    t.ok((await across).body.equals(contentAt(SLICE - 5, 10)))
    t.equal(origin.asked(), 3)
    await assertRange(t, edge, '/', ['bytes=0-600000', 0, 600_000], /^Larder; hit/)
  },
)

onBoth('a client that leaves stops the slices behind the next one', SLICED, async (t, edge) => {
  const { get, origin } = edge
  const length = 256 * SLICE
  origin.answers('/', content({ length }))
  origin.answersElse({ fields: { 'Cache-Control': 'no-store' } })
  const reader = edge.open({ path: '/', fields: { Range: 'bytes=0-' } })
  await reader.bodyCame(1)
  reader.leave()
  // By the time that others have been served so often, nothing is asked for any more.
  let asked = -1
  for (let tries = 0; asked !== origin.asked('/') && tries < 100; tries++) {
    asked = origin.asked('/')
    for (let i = 0; i < 10; i++) await get('/other')
  }
  t.equal(origin.asked('/'), asked)
  t.ok(asked < 128, `${asked} of 256 slices`)
})

onBoth(
  'an origin that ignores Range is asked once by all who want ranges while its answer comes',
  { ...SLICED, memory: { maxSize: '64MiB', maxObjectSize: '4MiB' } },
  async (t, { open, get, origin }) => {
    const body = contentAt(0, LENGTH)
    const gate = Promise.withResolvers<void>()
    origin.answers('/', async (wire) => {
      wire.head(200, { ...FIELDS, 'Content-Length': String(LENGTH) }).write(body.subarray(0, SLICE))
      await gate.promise
      wire.write(body.subarray(SLICE))
    })
    const ranges = [0, 300_000, 600_000, 900_000]
    const first = open({ path: '/', fields: { Range: 'bytes=0-9' } })
    await first.done()
    const others = ranges.map((at) => get('/', { Range: `bytes=${at}-${at + 9}` }))
    t.ok((await others[0]).body.equals(contentAt(0, 10)))
    gate.resolve()
    for (const [i, answer] of (await Promise.all(others)).entries()) {
      t.ok(answer.body.equals(contentAt(ranges[i], 10)))
    }
    t.equal(origin.asked(), 1)
  },
)
