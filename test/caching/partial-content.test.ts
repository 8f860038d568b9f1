import type { Test } from 'tap'
import { freshPath } from '../support/asserts.ts'
import { type Edge, onBoth } from '../support/edge.ts'
import type { FieldValues } from '../support/message-reader.ts'
import type { Script } from '../support/scripted-origin.ts'

const BODY = Buffer.from('0123456789abcdefghij')
const FIELDS = { 'Cache-Control': 'max-age=600', ETag: '"a"' }

/** Answers a single range as an origin does that has BODY; If-Range is obeyed. */
function ranged(fields: FieldValues = FIELDS, body = BODY): Script {
  return (wire, request) => {
    const range = /^bytes=(\d*)-(\d*)$/.exec(request.fields.get('range') ?? '')
    const ifRange = request.fields.get('if-range')
    if (range === null || (ifRange !== undefined && ifRange !== fields.ETag)) {
      return wire.answer({ fields, body })
    }
    const first = range[1] === '' ? body.length - Number(range[2]) : Number(range[1])
    const end = body.length - 1
    const last = range[1] === '' || range[2] === '' ? end : Math.min(Number(range[2]), end)
    const contentRange = `bytes ${first}-${last}/${body.length}`
    const part = body.subarray(first, last + 1)
    return wire.answer({
      status: 206,
      fields: { ...fields, 'Content-Range': contentRange },
      body: part,
    })
  }
}

onBoth(
  'one range of a miss goes to the origin, and its part is stored (RFC 9111 §3.3)',
  async (t, { get, origin }) => {
    origin.answers('/', ranged())
    const miss = await get('/', { Range: 'bytes=5-14' })
    t.equal(miss.status, 206)
    t.equal(miss.fields.get('content-range'), 'bytes 5-14/20')
    t.equal(miss.text, '56789abcde')
    t.equal(origin.lastRequest.fields.get('range'), 'bytes=5-14')
    t.match(miss.cacheStatus, /fwd=uri-miss; fwd-status=206; stored/)
    const hit = await get('/', { Range: 'bytes=5-14' })
    t.match(hit.cacheStatus, /^Larder; hit/)
    t.equal(hit.text, '56789abcde')
    t.equal(origin.asked(), 1)
  },
)

onBoth(
  'smaller ranges are cut from a stored part, others are not (RFC 9111 §3.3)',
  async (t, { get, origin }) => {
    for (const [range, text] of [
      ['bytes=5-5', '5'],
      ['bytes=10-14', 'abcde'],
      ['bytes=-8', 'cdefghij'],
    ]) {
      const path = freshPath()
      origin.answers(path, ranged())
      await get(path, { Range: range === 'bytes=-8' ? 'bytes=10-' : 'bytes=5-14' })
      const hit = await get(path, { Range: range })
      t.equal(hit.status, 206)
      t.equal(hit.text, text)
      t.equal(origin.asked(path), 1, range)
    }
    for (const range of ['bytes=4-5', 'bytes=14-15', 'bytes=0-1', 'bytes=-1', 'bytes=5-']) {
      const path = freshPath()
      origin.answers(path, ranged())
      await get(path, { Range: 'bytes=5-14' })
      const miss = await get(path, { Range: range })
      t.match(miss.cacheStatus, /fwd=partial; fwd-status=206/)
      t.equal(origin.asked(path), 2, range)
    }
  },
)

onBoth(
  'a stored part is never taken for the whole (RFC 9111 §3.3)',
  async (t, { get, head, origin }) => {
    origin.answers('/', ranged({ 'Cache-Control': 'max-age=600' }))
    await get('/', { Range: 'bytes=5-14' })
    const whole = await get('/')
    t.equal(whole.status, 200)
    t.ok(whole.body.equals(BODY))
    t.equal((await head('/')).fields.get('content-length'), '20')
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'a part with a strong validator is completed by what it lacks (RFC 9111 §3.4)',
  async (t, { get, origin }) => {
    for (const [have, lack] of [
      ['bytes=0-9', 'bytes=10-19'],
      ['bytes=10-19', 'bytes=0-9'],
    ]) {
      const path = freshPath()
      origin.answers(path, ranged())
      await get(path, { Range: have })
      const whole = await get(path)
      t.equal(origin.lastRequest.fields.get('range'), lack)
      t.equal(origin.lastRequest.fields.get('if-range'), '"a"')
      t.equal(whole.status, 200)
      t.ok(whole.body.equals(BODY), have)
      t.notOk(whole.fields.has('content-range'))
      t.same(whole.fields.values('content-length'), ['20'])
      t.match((await get(path)).cacheStatus, /^Larder; hit/)
      t.equal(origin.asked(path), 2)
    }
  },
)

onBoth(
  'a part without strong validator is not completed (RFC 9111 §3.4)',
  async (t, { get, origin }) => {
    const validators: FieldValues[] = [
      {},
      { ETag: 'W/"a"' },
      { 'Last-Modified': 'Mon, 01 Jun 2026 10:00:00 GMT' },
    ]
    for (const validator of validators) {
      const path = freshPath()
      origin.answers(path, ranged({ 'Cache-Control': 'max-age=600', ...validator }))
      await get(path, { Range: 'bytes=0-9' })
      const whole = await get(path)
      t.notOk(origin.lastRequest.fields.has('range'), JSON.stringify(validator))
      t.ok(whole.body.equals(BODY))
    }
  },
)

onBoth(
  'a representation that has changed is not mixed with the old one (RFC 9111 §3.4)',
  async (t, { get, origin }) => {
    const changed = Buffer.from('ABCDEFGHIJKLMNOPQRST')
    origin.answers('/', ranged(), ranged({ ...FIELDS, ETag: '"b"' }, changed))
    await get('/', { Range: 'bytes=0-9' })
    const whole = await get('/')
    t.equal(whole.text, changed.toString())
    t.equal((await get('/')).text, changed.toString())
    t.equal((await get('/', { Range: 'bytes=0-4' })).text, 'ABCDE')
    t.equal(origin.asked(), 2)
  },
)

onBoth(
  'a completing 206 of another representation is not put together (RFC 9111 §3.4)',
  async (t, { get, origin }) => {
    for (const [name, fields, contentRange] of [
      ['another tag', { ...FIELDS, ETag: '"b"' }, 'bytes 10-19/20'],
      ['a weak tag', { ...FIELDS, ETag: 'W/"a"' }, 'bytes 10-19/20'],
      ['no tag', { 'Cache-Control': 'max-age=600' }, 'bytes 10-19/20'],
      ['another length', FIELDS, 'bytes 10-19/21'],
      ['another place', FIELDS, 'bytes 9-18/20'],
      ['no place', FIELDS, 'bytes */20'],
    ] as const) {
      const path = freshPath()
      const body = 'XXXXXXXXXX'
      origin.answers(
        path,
        ranged(),
        { status: 206, fields: { ...fields, 'Content-Range': contentRange }, body },
        { fields: { ...FIELDS, ETag: '"b"' }, body: 'new' },
      )
      await get(path, { Range: 'bytes=0-9' })
      const answer = await get(path)
      t.not(answer.text, `0123456789${body}`, name)
      t.ok(
        answer.status === 200 ? answer.text === 'new' : answer.status === 502,
        `${name}: ${answer.status}`,
      )
    }
  },
)

onBoth(
  'the rest of a part that cannot be had is no answer to a request for the whole (RFC 9110 §15.5.17)',
  async (t, { get, origin }) => {
    const fields = { 'Content-Range': 'bytes */3' }
    origin.answers('/', ranged(), { status: 416, fields }, { fields: FIELDS, body: 'new' })
    await get('/', { Range: 'bytes=0-9' })
    const answer = await get('/')
    t.equal(answer.status, 200)
    t.equal(answer.text, 'new')
    t.notOk(origin.lastRequest.fields.has('range'))
  },
)

onBoth(
  'a part of what is too large to store is not completed (RFC 9111 §3.4)',
  { memory: { maxSize: '16MiB', maxObjectSize: '1KiB' } },
  async (t, { get, origin }) => {
    const body = Buffer.from('0123456789'.repeat(150))
    origin.answers('/', ranged(FIELDS, body))
    await get('/', { Range: 'bytes=0-999' })
    t.ok((await get('/')).body.equals(body))
    t.notOk(origin.lastRequest.fields.has('range'))
    await get('/', { Range: 'bytes=1000-' })
    const across = await get('/', { Range: 'bytes=900-1100' })
    t.equal(across.text, body.toString('latin1', 900, 1101))
    t.equal(origin.asked(), 4, 'nor are its parts put together')
  },
)

onBoth(
  'parts that touch or overlap are combined by their strong validator (RFC 9111 §3.4)',
  async (t, { get, origin }) => {
    origin.answers('/', ranged())
    await get('/', { Range: 'bytes=0-9' })
    await get('/', { Range: 'bytes=8-14' })
    const hit = await get('/', { Range: 'bytes=2-14' })
    t.match(hit.cacheStatus, /^Larder; hit/)
    t.equal(hit.text, '23456789abcde')
    await get('/', { Range: 'bytes=15-' })
    t.ok((await get('/')).body.equals(BODY))
    t.equal(origin.asked(), 3)
  },
)

onBoth(
  'parts of weak or differing validators are never combined (RFC 9111 §3.4)',
  async (t, { get, origin }) => {
    for (const [first, second] of [
      ['W/"a"', 'W/"a"'],
      ['"a"', '"b"'],
      ['"a"', 'W/"a"'],
    ]) {
      const path = freshPath()
      const other = Buffer.from('ABCDEFGHIJKLMNOPQRST')
      origin.answers(
        path,
        ranged({ ...FIELDS, ETag: first }),
        ranged({ ...FIELDS, ETag: second }, other),
      )
      await get(path, { Range: 'bytes=0-9' })
      await get(path, { Range: 'bytes=10-19' })
      const asked = await get(path, { Range: 'bytes=5-14' })
      t.equal(asked.text, other.toString('latin1', 5, 15), `${first} and ${second}`)
      t.equal(origin.asked(path), 3)
    }
  },
)

onBoth(
  'a 206 is used only as far as it is what was asked for (RFC 9110 §15.3.7)',
  async (t, edge) => {
    for (const [name, contentRange, body] of [
      ['unsatisfied form', 'bytes */20', '01234'],
      ['no length', 'bytes 0-4/*', '01234'],
      ['garbage', 'bytes zero', '01234'],
      ['too short', 'bytes 0-4/20', '012'],
      ['too long', 'bytes 0-4/20', '0123456'],
      ['beyond its length', 'bytes 0-4/3', '01234'],
    ] as const) {
      await assertPartNotStored(t, edge, name, contentRange, body)
    }
  },
)

onBoth(
  'a chunked part of another size than its Content-Range is not stored (RFC 9110 §15.3.7.1)',
  async (t, { get, origin }) => {
    const fields = { ...FIELDS, 'Content-Range': 'bytes 0-4/20', 'Transfer-Encoding': 'chunked' }
    for (const body of ['0123', '012345X', '0123456789ABCDEFGHIJKL']) {
      const path = freshPath()
      origin.answers(path, (wire) => wire.head(206, fields).chunk(body).lastChunk(), ranged())
      await get(path, { Range: 'bytes=0-4' })
      t.equal((await get(path, { Range: 'bytes=0-4' })).text, '01234', body)
      t.ok((await get(path)).body.equals(BODY), body)
    }
  },
)

async function assertPartNotStored(
  t: Test,
  { get, origin }: Edge,
  name: string,
  contentRange: string,
  body: string,
): Promise<void> {
  const path = freshPath()
  const fields = { ...FIELDS, 'Content-Range': contentRange }
  origin.answers(path, { status: 206, fields, body }, ranged())
  await get(path, { Range: 'bytes=0-4' })
  const second = await get(path, { Range: 'bytes=0-4' })
  t.equal(origin.asked(path), 2, name)
  t.equal(second.text, '01234', name)
}

onBoth(
  'a 200 to a Range is stored whole and the range cut from it (RFC 9110 §14.2)',
  async (t, { get, origin }) => {
    origin.answers('/', { fields: FIELDS, body: BODY })
    const miss = await get('/', { Range: 'bytes=5-9' })
    t.equal(miss.status, 206)
    t.equal(miss.text, '56789')
    t.ok((await get('/')).body.equals(BODY))
    t.equal(origin.asked(), 1)
  },
)

onBoth(
  'a miss with several ranges fetches the whole (RFC 9110 §14.2)',
  async (t, { get, origin }) => {
    origin.answers('/', ranged())
    await get('/', { Range: 'bytes=0-1,4-5' })
    t.notOk(origin.lastRequest.fields.has('range'))
    t.ok((await get('/')).body.equals(BODY))
    t.equal(origin.asked(), 1)
  },
)

onBoth(
  'a 416 of the origin is passed on and stored for nobody (RFC 9110 §15.5.17)',
  async (t, { get, origin }) => {
    const fields = { 'Cache-Control': 'max-age=600', 'Content-Range': 'bytes */20' }
    origin.answers('/', { status: 416, fields }, ranged())
    t.equal((await get('/', { Range: 'bytes=50-' })).status, 416)
    t.ok((await get('/')).body.equals(BODY))
    t.equal(origin.asked(), 2)
  },
)

onBoth('a part that was cut short is not stored (RFC 9111 §3.3)', async (t, { get, origin }) => {
  const fields = { ...FIELDS, 'Content-Range': 'bytes 0-4/20', 'Content-Length': '5' }
  origin.answers('/', (wire) => wire.head(206, fields).write('01').end(), ranged())
  t.ok((await get('/', { Range: 'bytes=0-4' })).cut)
  t.equal((await get('/', { Range: 'bytes=0-4' })).text, '01234')
  t.equal(origin.asked(), 2)
})

onBoth('a stale part is asked for again (RFC 9111 §4.2.4)', async (t, { get, origin, clock }) => {
  origin.answers('/', ranged())
  await get('/', { Range: 'bytes=0-4' })
  clock.advanceSeconds(600)
  const answer = await get('/', { Range: 'bytes=0-4' })
  t.equal(answer.text, '01234')
  t.equal(origin.asked(), 2)
})
