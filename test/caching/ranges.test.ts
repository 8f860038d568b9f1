import { createHash } from 'node:crypto'
import fc from 'fast-check'
import { parseByteranges } from '../support/byteranges.ts'
import { onBoth } from '../support/edge.ts'

const MODIFIED = 'Mon, 01 Jun 2026 10:00:00 GMT'
const BODY = Buffer.from('0123456789abcdefghij')
const FIELDS = {
  'Cache-Control': 'max-age=600',
  'Content-Type': 'text/plain',
  ETag: '"a"',
  'Last-Modified': MODIFIED,
}

onBoth(
  'single ranges are cut from a complete response (RFC 9110 §14.1.2)',
  async (t, { get, origin }) => {
    origin.answers('/', { fields: FIELDS, body: BODY })
    await get('/')
    const rows: [string, number, number][] = [
      ['bytes=0-0', 0, 0],
      ['bytes=0-4', 0, 4],
      ['bytes=5-9', 5, 9],
      ['bytes=19-19', 19, 19],
      ['bytes=10-', 10, 19],
      ['bytes=0-', 0, 19],
      ['bytes=-1', 19, 19],
      ['bytes=-5', 15, 19],
      ['bytes=-20', 0, 19],
      ['bytes=-100', 0, 19],
      ['bytes=15-100', 15, 19],
      ['bytes=0-99999999999999999999', 0, 19],
      ['bytes=-99999999999999999999', 0, 19],
      ['BYTES=0-4', 0, 4],
      ['bytes= 0-4', 0, 4],
      ['bytes=,0-4,,', 0, 4],
      ['bytes=00-04', 0, 4],
    ]
    for (const [range, first, last] of rows) {
      const answer = await get('/', { Range: range })
      t.equal(answer.status, 206, range)
      t.equal(answer.fields.get('content-range'), `bytes ${first}-${last}/20`, range)
      t.same(answer.fields.values('content-length'), [String(last - first + 1)], range)
      t.equal(answer.text, BODY.toString('latin1', first, last + 1), range)
      t.match(answer.cacheStatus, /^Larder; hit/)
      t.equal(answer.fields.get('etag'), '"a"')
      t.equal(answer.age, 0)
    }
    t.equal(origin.asked(), 1)
  },
)

onBoth(
  'what cannot be satisfied is 416 with the length (RFC 9110 §15.5.17)',
  async (t, { get, origin }) => {
    origin.answers('/', { fields: FIELDS, body: BODY })
    await get('/')
    for (const range of [
      'bytes=20-',
      'bytes=20-30',
      'bytes=-0',
      'bytes=99999999999999999999-',
      'bytes=20-,30-',
    ]) {
      const answer = await get('/', { Range: range })
      t.equal(answer.status, 416, range)
      t.equal(answer.fields.get('content-range'), 'bytes */20', range)
      t.equal(answer.body.length, 0, range)
    }
    t.equal((await get('/')).status, 200)
    t.equal(origin.asked(), 1)
  },
)

onBoth('a Range that is not understood is ignored (RFC 9110 §14.2)', async (t, { get, origin }) => {
  origin.answers('/', { fields: FIELDS, body: BODY })
  await get('/')
  for (const range of [
    'bytes=5-4',
    'bytes=a-b',
    'bytes=-',
    'bytes=',
    'bytes',
    'bytes 0-4',
    'lines=0-4',
    'bytes=0-4,x',
    'bytes=0-4;5-6',
    'bytes=+1-2',
    'bytes=0x0-4',
    'bytes=0--4',
    '',
  ]) {
    const answer = await get('/', { Range: range })
    t.equal(answer.status, 200, range)
    t.ok(answer.body.equals(BODY), range)
  }
})

onBoth('HEAD has no ranges (RFC 9110 §14.2)', async (t, { get, head, origin }) => {
  origin.answers('/', { fields: FIELDS, body: BODY })
  await get('/')
  const answer = await head('/', { Range: 'bytes=0-4' })
  t.equal(answer.status, 200)
  t.equal(answer.fields.get('content-length'), '20')
  t.notOk(answer.fields.has('content-range'))
})

onBoth(
  'several ranges come as multipart/byteranges, byte for byte (RFC 9110 §14.6)',
  async (t, { get, origin }) => {
    origin.answers('/', { fields: FIELDS, body: BODY })
    await get('/')
    const rows: [string, string[]][] = [
      ['bytes=0-1,4-5', ['0-1', '4-5']],
      ['bytes=15-19, 0-4', ['15-19', '0-4']],
      ['bytes=0-0,-1', ['0-0', '19-19']],
      ['bytes=0-0, 2-2, 4-4, 30-40', ['0-0', '2-2', '4-4']],
    ]
    for (const [range, expected] of rows) {
      const answer = await get('/', { Range: range })
      t.equal(answer.status, 206, range)
      t.notOk(answer.fields.has('content-range'), range)
      t.equal(answer.fields.get('content-length'), String(answer.body.length), range)
      const parts = parseByteranges(answer.fields.get('content-type') ?? '', answer.body)
      t.same(
        parts.map(({ contentRange }) => contentRange),
        expected.map((text) => `bytes ${text}/20`),
      )
      for (const [index, { contentType, body }] of parts.entries()) {
        const [first, last] = expected[index].split('-').map(Number)
        t.equal(contentType, 'text/plain')
        t.equal(body.toString(), BODY.toString('latin1', first, last + 1))
      }
    }
    t.equal(origin.asked(), 1)
  },
)

onBoth(
  'of several ranges only one that can be satisfied comes by itself (RFC 9110 §15.3.7.2)',
  async (t, { get, origin }) => {
    origin.answers('/', { fields: FIELDS, body: BODY })
    await get('/')
    for (const range of ['bytes=0-4,30-40', 'bytes=0-2,1-4', 'bytes=0-4,0-4']) {
      const answer = await get('/', { Range: range })
      t.equal(answer.fields.get('content-range'), 'bytes 0-4/20', range)
      t.equal(answer.text, '01234', range)
    }
  },
)

onBoth(
  'overlapping and too many ranges never cost more than twice the whole (RFC 9110 §17.15)',
  async (t, { get, origin }) => {
    const body = Buffer.alloc(100_000, 'x')
    origin.answers('/', { fields: FIELDS, body })
    await get('/')
    const many = (count: number, range: string) => `bytes=${Array(count).fill(range).join(',')}`
    for (const range of [
      many(2, '0-'),
      many(10, '0-'),
      many(1000, '0-'),
      'bytes=0-60000,50000-99999,1-2',
      `bytes=${Array.from({ length: 1000 }, (_, i) => `${i * 2}-${i * 2}`).join(',')}`,
      `bytes=${Array.from({ length: 30 }, (_, i) => `${i * 2}-${i * 2}`).join(',')}`,
    ]) {
      const answer = await get('/', { Range: range })
      t.ok(answer.complete)
      t.ok(
        answer.status === 200 || answer.status === 206 || answer.status === 431,
        range.slice(0, 40),
      )
      t.ok(answer.body.length <= 2 * body.length, range.slice(0, 40))
    }
  },
)

onBoth(
  'If-Range holds for the same strong validator alone (RFC 9110 §13.1.5)',
  async (t, { get, origin, clock }) => {
    origin.answers('/', { fields: FIELDS, body: BODY })
    origin.answers('/weak', { fields: { ...FIELDS, ETag: 'W/"a"' }, body: BODY })
    const recent = { 'Cache-Control': 'max-age=600', 'Last-Modified': clock.date() }
    origin.answers('/recent', { fields: recent, body: BODY })
    const rows: [string, string, number][] = [
      ['/', '"a"', 206],
      ['/', 'W/"a"', 200],
      ['/', '"b"', 200],
      ['/', MODIFIED, 206],
      ['/', 'Mon, 01 Jun 2026 10:00:01 GMT', 200],
      ['/', 'Mon, 01 Jun 2026 09:59:59 GMT', 200],
      ['/', 'a', 200],
      ['/', '"a", "b"', 200],
      ['/weak', 'W/"a"', 200],
      ['/weak', '"a"', 200],
      ['/recent', clock.date(), 200],
    ]
    for (const path of ['/', '/weak', '/recent']) await get(path)
    for (const [path, ifRange, status] of rows) {
      const answer = await get(path, { Range: 'bytes=0-4', 'If-Range': ifRange })
      t.equal(answer.status, status, `${path} ${ifRange}`)
      t.equal(answer.text, status === 206 ? '01234' : BODY.toString(), `${path} ${ifRange}`)
    }
    t.equal(origin.asked(), 3)
  },
)

onBoth('ranges are for what is a 200 (RFC 9110 §14.2)', async (t, { get, origin }) => {
  origin.answers('/', { status: 404, fields: FIELDS, body: BODY })
  await get('/')
  const answer = await get('/', { Range: 'bytes=0-4' })
  t.equal(answer.status, 404)
  t.ok(answer.body.equals(BODY))
})

onBoth(
  'an empty representation satisfies no range (RFC 9110 §14.1.2)',
  async (t, { get, origin }) => {
    origin.answers('/', { fields: FIELDS, body: '' })
    await get('/')
    for (const range of ['bytes=0-', 'bytes=0-0', 'bytes=-1']) {
      const answer = await get('/', { Range: range })
      t.equal(answer.status, 416, range)
      t.equal(answer.fields.get('content-range'), 'bytes */0', range)
    }
  },
)

const RUNS = 5000

onBoth(
  `${RUNS} random single ranges are byte-exact (RFC 9110 §14.1.2)`,
  async (t, { get, origin }) => {
    const body = pseudoRandom(200_000)
    origin.answers('/', { fields: FIELDS, body })
    await get('/')
    const position = fc.nat({ max: body.length + 100 })
    await fc.assert(
      fc.asyncProperty(position, fc.option(position), async (first, last) => {
        const suffix = last !== null && last < first
        const range = suffix ? `bytes=-${last}` : `bytes=${first}-${last ?? ''}`
        const answer = await get('/', { Range: range })
        const expected = suffix
          ? body.subarray(Math.max(0, body.length - last))
          : body.subarray(first, last === null ? undefined : last + 1)
        const status = expected.length === 0 || (suffix && last === 0) ? 416 : 206
        if (answer.status !== status) return false
        return status === 416 ? answer.body.length === 0 : answer.body.equals(expected)
      }),
      { numRuns: RUNS, seed: 42 },
    )
    t.equal(origin.asked(), 1)
  },
)

/** Bytes of which no two stretches are alike. */
function pseudoRandom(length: number): Buffer {
  const blocks: Buffer[] = []
  for (let i = 0; i * 32 < length; i++) blocks.push(createHash('sha256').update(`${i}`).digest())
  return Buffer.concat(blocks).subarray(0, length)
}
