import { freshPath } from '../support/asserts.ts'
import { onBoth } from '../support/edge.ts'
import type { FieldValues } from '../support/message-reader.ts'

const MODIFIED = 'Mon, 01 Jun 2026 10:00:00 GMT'
const LATER = 'Mon, 01 Jun 2026 10:00:01 GMT'
const EARLIER = 'Mon, 01 Jun 2026 09:59:59 GMT'

onBoth(
  'If-None-Match is answered from the store by weak comparison (RFC 9110 §13.1.2)',
  async (t, { get, head, origin }) => {
    const stored: [string, string, number][] = [
      ['"a"', '"a"', 304],
      ['"a"', 'W/"a"', 304],
      ['W/"a"', '"a"', 304],
      ['W/"a"', 'W/"a"', 304],
      ['"a"', '"b", "a"', 304],
      ['"a"', '"b","c" ,W/"a"', 304],
      ['"a,b"', '"x", "a,b"', 304],
      ['"a,b"', '"a", "b"', 200],
      ['"a"', '*', 304],
      ['"a"', '"A"', 200],
      ['"a"', '"b"', 200],
      ['"a"', 'a', 200],
      ['"a"', '"*"', 200],
      ['"a"', '', 200],
      ['"a\u00fc"', '"a\u00fc"', 304],
    ]
    for (const [tag, ifNoneMatch, status] of stored) {
      const path = freshPath()
      const name = `${tag} against ${ifNoneMatch}`
      origin.answers(path, { fields: { 'Cache-Control': 'max-age=60', ETag: tag }, body: 'hello' })
      await get(path)
      for (const answer of [
        await get(path, { 'If-None-Match': ifNoneMatch }),
        await head(path, { 'If-None-Match': ifNoneMatch }),
      ]) {
        t.equal(answer.status, status, name)
        t.equal(answer.fields.get('etag'), tag, name)
        t.match(answer.cacheStatus, /^Larder; hit/, name)
        if (status === 304) t.equal(answer.body.length, 0, name)
      }
      t.equal(origin.asked(path), 1, name)
    }
  },
)

onBoth('If-None-Match on several lines is one list (RFC 9110 §5.3)', async (t, { get, origin }) => {
  origin.answers('/', { fields: { 'Cache-Control': 'max-age=60', ETag: '"a"' } })
  await get('/')
  t.equal((await get('/', { 'If-None-Match': ['"x"', '"a"'] })).status, 304)
})

onBoth(
  'If-Modified-Since is answered from the store by date (RFC 9110 §13.1.3)',
  async (t, { get, origin, clock }) => {
    const rows: [string, number][] = [
      [MODIFIED, 304],
      [LATER, 304],
      [EARLIER, 200],
      ['Monday, 01-Jun-26 10:00:00 GMT', 304],
      ['Mon Jun  1 10:00:00 2026', 304],
      ['2026-06-01T10:00:00Z', 200],
      ['0', 200],
      ['', 200],
    ]
    const fields = { 'Cache-Control': 'max-age=60', 'Last-Modified': MODIFIED }
    origin.answers('/', { fields, body: 'hello' })
    await get('/')
    for (const [since, status] of rows) {
      t.equal((await get('/', { 'If-Modified-Since': since })).status, status, since)
    }
    t.equal(origin.asked(), 1)
    const date = clock.date()
    origin.answers('/dated', { fields: { 'Cache-Control': 'max-age=60', Date: date } })
    await get('/dated')
    const answer = await get('/dated', { 'If-Modified-Since': date })
    t.equal(answer.status, 304, 'Date stands in for Last-Modified (RFC 9111 §4.3.2)')
  },
)

onBoth(
  'If-None-Match goes before If-Modified-Since (RFC 9110 §13.2.2)',
  async (t, { get, origin }) => {
    const fields = { 'Cache-Control': 'max-age=60', ETag: '"a"', 'Last-Modified': MODIFIED }
    origin.answers('/', { fields, body: 'hello' })
    await get('/')
    const changed = await get('/', { 'If-None-Match': '"b"', 'If-Modified-Since': LATER })
    t.equal(changed.status, 200)
    const same = await get('/', { 'If-None-Match': '"a"', 'If-Modified-Since': EARLIER })
    t.equal(same.status, 304)
  },
)

onBoth('If-None-Match goes before Range (RFC 9110 §13.2.2)', async (t, { get, origin }) => {
  const fields = { 'Cache-Control': 'max-age=60', ETag: '"a"' }
  origin.answers('/', { fields, body: 'hello' })
  await get('/')
  const same = await get('/', { 'If-None-Match': '"a"', Range: 'bytes=0-1' })
  t.equal(same.status, 304)
  const part = await get('/', { 'If-None-Match': '"b"', Range: 'bytes=0-1' })
  t.equal(part.status, 206)
  t.equal(part.text, 'he')
})

onBoth(
  'a 304 has the fields that a 200 would have had (RFC 9110 §15.4.5)',
  async (t, { get, origin, baseUrl }) => {
    const fields = {
      'Cache-Control': 'max-age=60',
      ETag: '"a"',
      Vary: 'X-A',
      'Content-Location': `${baseUrl}/a`,
      Expires: 'Thu, 01 Jan 2099 00:00:00 GMT',
      'Content-Type': 'text/plain',
      'Content-Encoding': 'x-test',
    }
    origin.answers('/', { fields, body: 'hello' })
    const miss = await get('/')
    const answer = await get('/', { 'If-None-Match': '"a"' })
    t.equal(answer.status, 304)
    for (const name of ['cache-control', 'etag', 'vary', 'content-location', 'expires', 'date']) {
      t.equal(answer.fields.get(name), miss.fields.get(name), name)
    }
    t.equal(answer.age, 0)
    t.notOk(answer.fields.has('content-encoding'))
  },
)

onBoth('conditions are for what would be a 2xx (RFC 9110 §13.2.1)', async (t, { get, origin }) => {
  const fields = { 'Cache-Control': 'max-age=60', ETag: '"a"' }
  origin.answers('/', { status: 404, fields, body: 'not here' })
  await get('/')
  const answer = await get('/', { 'If-None-Match': '"a"' })
  t.equal(answer.status, 404)
  t.equal(origin.asked(), 1)
})

onBoth(
  'a miss with conditions fetches the whole and answers 304 when they hold (RFC 9111 §4.3.2)',
  async (t, { get, origin }) => {
    const fields = { 'Cache-Control': 'max-age=60', ETag: '"a"' }
    origin.answers('/', { fields, body: 'hello' })
    const answer = await get('/', { 'If-None-Match': '"a"' })
    t.equal(answer.status, 304)
    t.notOk(origin.lastRequest.fields.has('if-none-match'), 'the condition stays here')
    t.equal((await get('/')).text, 'hello')
    t.equal(origin.asked(), 1)
  },
)

onBoth(
  'If-Match and If-Unmodified-Since are for the origin to evaluate (RFC 9111 §4.3.2)',
  async (t, { get, origin }) => {
    const fields = { 'Cache-Control': 'max-age=60', ETag: '"a"' }
    origin.answers('/', { fields, body: 'hello' }, { status: 412, fields })
    await get('/')
    const answer = await get('/', { 'If-Match': '"b"' })
    t.equal(answer.status, 412)
    t.equal(origin.lastRequest.fields.get('if-match'), '"b"')
    await get('/', { 'If-Unmodified-Since': EARLIER })
    t.equal(origin.lastRequest.fields.get('if-unmodified-since'), EARLIER)
    t.equal(origin.asked(), 3)
    t.equal((await get('/')).text, 'hello', 'the stored response is untouched')
  },
)

onBoth(
  'a stale response is validated with all its validators (RFC 9111 §4.3.1)',
  async (t, { get, origin, clock }) => {
    const fields = { 'Cache-Control': 'max-age=10', ETag: 'W/"a"', 'Last-Modified': MODIFIED }
    origin.answers('/', { fields, body: 'hello' }, { status: 304, fields })
    await get('/')
    clock.advanceSeconds(10)
    const answer = await get('/')
    const asked = origin.lastRequest.fields
    t.equal(asked.get('if-none-match'), 'W/"a"')
    t.equal(asked.get('if-modified-since'), MODIFIED)
    t.equal(answer.status, 200)
    t.equal(answer.text, 'hello')
    t.match(answer.cacheStatus, /^Larder; fwd=stale; fwd-status=304/)
    t.equal(answer.age, 0)
    t.match((await get('/')).cacheStatus, /^Larder; hit; ttl=10/)
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  "a client's own condition is evaluated after the validation (RFC 9111 §4.3.3)",
  async (t, { get, origin, clock }) => {
    const fields = { 'Cache-Control': 'max-age=10', ETag: '"a"' }
    origin.answers('/', { fields, body: 'hello' }, { status: 304, fields })
    await get('/')
    clock.advanceSeconds(11)
    const answer = await get('/', { 'If-None-Match': '"b"' })
    t.equal(origin.lastRequest.fields.get('if-none-match'), '"a"')
    t.equal(answer.status, 200)
    t.equal(answer.text, 'hello')
    clock.advanceSeconds(11)
    t.equal((await get('/', { 'If-None-Match': '"a"' })).status, 304)
  },
)

onBoth(
  'a changed representation replaces the stored one (RFC 9111 §4.3.3)',
  async (t, { get, origin, clock }) => {
    const cacheControl = { 'Cache-Control': 'max-age=10' }
    origin.answers(
      '/',
      { fields: { ...cacheControl, ETag: '"a"' }, body: 'old' },
      { fields: { ...cacheControl, ETag: '"b"' }, body: 'new' },
    )
    await get('/')
    clock.advanceSeconds(10)
    const answer = await get('/')
    t.equal(answer.text, 'new')
    t.match(answer.cacheStatus, /fwd=stale; fwd-status=200; stored/)
    t.equal((await get('/')).text, 'new')
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'a stale response without validator is asked for without conditions (RFC 9111 §4.3.1)',
  async (t, { get, origin, clock }) => {
    origin.answers('/', { fields: { 'Cache-Control': 'max-age=10' }, body: 'hello' })
    await get('/')
    clock.advanceSeconds(10)
    await get('/')
    t.notOk(origin.lastRequest.fields.has('if-none-match'))
    t.notOk(origin.lastRequest.fields.has('if-modified-since'))
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'a 304 updates the stored fields but those of the stored bytes (RFC 9111 §3.2)',
  async (t, { get, origin, clock }) => {
    origin.answers(
      '/',
      {
        fields: {
          'Cache-Control': 'max-age=10',
          ETag: '"a"',
          'Content-Type': 'text/plain',
          'X-Kept': '1',
          'X-Changed': ['1', '2'],
        },
        body: 'hello',
      },
      {
        status: 304,
        fields: {
          'Cache-Control': 'max-age=20',
          ETag: 'W/"a"',
          'Content-Type': 'text/html',
          'Content-Encoding': 'gzip',
          'Content-Length': '99',
          'Content-Range': 'bytes 0-1/2',
          'X-Changed': '3',
          'X-New': '4',
        },
      },
    )
    await get('/')
    clock.advanceSeconds(10)
    for (const answer of [await get('/'), await get('/')]) {
      t.equal(answer.status, 200)
      t.equal(answer.text, 'hello')
      const { fields } = answer
      t.same(fields.values('etag'), ['"a"'])
      t.same(fields.values('content-length'), ['5'])
      t.notOk(fields.has('content-encoding'))
      t.notOk(fields.has('content-range'))
      t.equal(fields.get('content-type'), 'text/html')
      t.equal(fields.get('x-kept'), '1')
      t.same(fields.values('x-changed'), ['3'])
      t.equal(fields.get('x-new'), '4')
      t.equal(fields.get('cache-control'), 'max-age=20')
    }
    clock.advanceSeconds(19)
    t.match((await get('/')).cacheStatus, /hit; ttl=1$/)
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'a 304 without Date begins a new age (RFC 9111 §4.3.4)',
  async (t, { get, origin, clock }) => {
    origin.answers(
      '/',
      { fields: { 'Cache-Control': 'max-age=10', ETag: '"a"' }, body: 'hello' },
      { status: 304, fields: { ETag: '"a"', Date: null } },
    )
    await get('/')
    clock.advanceSeconds(10)
    const date = clock.date()
    t.same((await get('/')).fields.values('date'), [date])
    clock.advanceSeconds(9)
    const hit = await get('/')
    t.equal(hit.age, 9)
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'a 304 for something that is not stored is asked again without conditions (RFC 9111 §4.3.3)',
  async (t, { get, origin, clock }) => {
    const cacheControl = { 'Cache-Control': 'max-age=10' }
    origin.answers(
      '/',
      { fields: { ...cacheControl, ETag: '"a"' }, body: 'old' },
      { status: 304, fields: { ...cacheControl, ETag: '"other"' } },
      { fields: { ...cacheControl, ETag: '"b"' }, body: 'new' },
    )
    await get('/')
    clock.advanceSeconds(10)
    const answer = await get('/')
    t.equal(answer.text, 'new')
    t.notOk(origin.lastRequest.fields.has('if-none-match'))
    t.equal((await get('/')).text, 'new')
    t.equal(origin.asked(), 3)
  },
)

onBoth(
  'a 304 or 206 that nobody asked for is no answer (RFC 9110 §15.3.7, §15.4.5)',
  async (t, { get, origin }) => {
    const fields = { 'Cache-Control': 'max-age=60', ETag: '"a"' }
    origin.answers('/304', { status: 304, fields })
    origin.answers('/206', {
      status: 206,
      fields: { ...fields, 'Content-Range': 'bytes 0-4/10' },
      body: 'hello',
    })
    for (const path of ['/304', '/206']) {
      const answer = await get(path)
      t.equal(answer.status, 502, path)
      t.match(answer.fields.get('proxy-status'), /^Larder; error=http_protocol_error/)
      await get(path)
      t.equal(origin.asked(path), 2, 'nothing stored')
    }
  },
)

onBoth(
  'a HEAD that agrees freshens the stored GET (RFC 9111 §4.3.5)',
  async (t, { get, head, origin, clock }) => {
    const fields = { 'Cache-Control': 'max-age=10', ETag: '"a"' }
    origin.answers(
      '/',
      { fields, body: 'hello' },
      { fields: { ...fields, 'X-New': '1' }, body: 'hello' },
    )
    await get('/')
    clock.advanceSeconds(10)
    const answer = await head('/')
    t.match(answer.cacheStatus, /fwd=stale; fwd-status=200/)
    t.equal(origin.lastRequest.method, 'HEAD')
    const hit = await get('/')
    t.match(hit.cacheStatus, /^Larder; hit; ttl=10/)
    t.equal(hit.text, 'hello')
    t.equal(hit.fields.get('x-new'), '1')
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'a HEAD that disagrees invalidates the stored GET (RFC 9111 §4.3.5)',
  async (t, { get, head, origin, clock }) => {
    const fields = { 'Cache-Control': 'max-age=10', ETag: '"a"', 'Last-Modified': MODIFIED }
    const changes: FieldValues[] = [
      { ETag: '"b"' },
      { 'Last-Modified': LATER },
      { 'Content-Length': '6' },
    ]
    for (const change of changes) {
      const path = freshPath()
      origin.answers(
        path,
        { fields, body: 'hello' },
        { fields: { ...fields, ...change } },
        { fields },
      )
      await get(path)
      clock.advanceSeconds(10)
      await head(path)
      await get(path)
      t.equal(origin.asked(path), 3, JSON.stringify(change))
      t.notOk(origin.lastRequest.fields.has('if-none-match'), 'the old one is gone')
    }
  },
)

onBoth(
  'an immutable response is validated when the request says no-cache (RFC 8246 §2)',
  async (t, { get, origin }) => {
    const fields = { 'Cache-Control': 'max-age=60, immutable', ETag: '"a"' }
    origin.answers('/', { fields }, { status: 304, fields })
    await get('/')
    t.match((await get('/')).cacheStatus, /^Larder; hit/)
    await get('/', { 'Cache-Control': 'no-cache' })
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'a 304 that forbids storing ends the life of the stored response (RFC 9111 §3.2, §5.2.2.5)',
  async (t, { get, origin, clock }) => {
    const changes: FieldValues[] = [
      { 'Cache-Control': 'no-store' },
      { 'Cache-Control': 'private, max-age=60' },
      { Vary: '*' },
    ]
    for (const change of changes) {
      const path = freshPath()
      const fields = { 'Cache-Control': 'max-age=10', ETag: '"a"', 'Last-Modified': MODIFIED }
      origin.answers(
        path,
        { fields, body: 'hello' },
        { status: 304, fields: { ...fields, ...change } },
        { fields: { 'Cache-Control': 'no-store' }, body: 'new' },
      )
      await get(path)
      clock.advanceSeconds(10)
      t.equal((await get(path)).text, 'hello', 'the validation itself is good')
      t.equal((await get(path)).text, 'new', JSON.stringify(change))
      t.notOk(origin.lastRequest.fields.has('if-none-match'))
    }
  },
)

onBoth(
  'a Vary that comes with a 304 holds from then on (RFC 9111 §3.2, §4.1)',
  async (t, { get, origin, clock }) => {
    const fields = { 'Cache-Control': 'max-age=10', ETag: '"a"' }
    origin.answers(
      '/',
      { fields, body: 'hello' },
      { status: 304, fields: { ...fields, Vary: 'X-A' } },
      { fields: { ...fields, Vary: 'X-A', ETag: '"b"' }, body: 'other' },
    )
    await get('/')
    clock.advanceSeconds(10)
    await get('/', { 'X-A': '1' })
    t.equal((await get('/', { 'X-A': '1' })).text, 'hello')
    t.equal((await get('/', { 'X-A': '2' })).text, 'other')
    t.equal(origin.asked(), 3)
  },
)

onBoth(
  'a HEAD that forbids storing ends the life of the stored response (RFC 9111 §4.3.5)',
  async (t, { get, head, origin, clock }) => {
    const fields = { 'Cache-Control': 'max-age=10', ETag: '"a"', 'Last-Modified': MODIFIED }
    const forbidding = { ...fields, 'Cache-Control': 'no-store' }
    origin.answers(
      '/',
      { fields, body: 'hello' },
      { fields: forbidding, body: 'hello' },
      { fields: forbidding, body: 'new' },
    )
    await get('/')
    clock.advanceSeconds(10)
    await head('/')
    t.equal((await get('/')).text, 'new')
    t.notOk(origin.lastRequest.fields.has('if-none-match'))
  },
)

onBoth(
  'no-store in the request keeps the 304 to it out of the store (RFC 9111 §5.2.1.5)',
  async (t, { get, origin, clock }) => {
    const fields = { 'Cache-Control': 'max-age=10', ETag: '"a"' }
    origin.answers(
      '/',
      { fields, body: 'hello' },
      { status: 304, fields: { ...fields, 'X-New': '1' } },
    )
    await get('/')
    clock.advanceSeconds(10)
    t.equal((await get('/', { 'Cache-Control': 'no-store' })).text, 'hello')
    await get('/')
    t.equal(origin.asked(), 3)
  },
)

onBoth(
  'a range of a stale response is cut after its validation (RFC 9110 §14.2)',
  async (t, { get, origin, clock }) => {
    const fields = { 'Cache-Control': 'max-age=10', ETag: '"a"' }
    origin.answers(
      '/',
      { fields, body: 'hello' },
      { status: 304, fields },
      { fields, body: 'HELLO' },
    )
    await get('/')
    for (const text of ['ell', 'ELL']) {
      clock.advanceSeconds(10)
      const answer = await get('/', { Range: 'bytes=1-3' })
      t.equal(answer.status, 206)
      t.equal(answer.text, text)
      t.notOk(origin.lastRequest.fields.has('range'))
    }
  },
)
