import { assertFreshFor, assertReused } from '../support/asserts.ts'
import { onBoth } from '../support/edge.ts'
import type { FieldValues } from '../support/message-reader.ts'

onBoth(
  'Larder-Cache-Control before CDN-Cache-Control before Surrogate-Control before Cache-Control (RFC 9213 §2.1)',
  async (t, edge) => {
    const all: FieldValues = {
      'Larder-Cache-Control': 'max-age=10',
      'CDN-Cache-Control': 'max-age=20',
      'Surrogate-Control': 'max-age=30',
      'Cache-Control': 'max-age=40',
    }
    const without = (...names: string[]): FieldValues =>
      Object.fromEntries(Object.entries(all).filter(([name]) => !names.includes(name)))
    const [larder, cdn, surrogate] = Object.keys(all)
    await assertFreshFor(t, edge, 10, { fields: all }, 'all four')
    await assertFreshFor(t, edge, 20, { fields: without(larder) }, 'three')
    await assertFreshFor(t, edge, 30, { fields: without(larder, cdn) }, 'two')
    await assertFreshFor(t, edge, 40, { fields: without(larder, cdn, surrogate) }, 'one')
  },
)

onBoth(
  'a targeted field that is no dictionary, or empty, says nothing (RFC 9213 §2.1)',
  async (t, edge) => {
    for (const value of ['', 'max-age=', '"', 'max-age=10;', 'MAX-AGE=10', 'a=1 b=2', '=1']) {
      const fields = { 'CDN-Cache-Control': value, 'Cache-Control': 'max-age=40' }
      await assertFreshFor(t, edge, 40, { fields }, JSON.stringify(value))
    }
  },
)

onBoth(
  'a targeted lifetime that is no Integer leaves the response stale (RFC 9213 §2.2)',
  async (t, edge) => {
    for (const value of ['max-age="10"', 'max-age=10.5', 'max-age=-1', 'max-age', 'max-age=?1']) {
      const fields = {
        'CDN-Cache-Control': value,
        'Cache-Control': 'max-age=40',
        ETag: '"x"',
      }
      await assertFreshFor(t, edge, 0, { fields }, value)
    }
  },
)

onBoth(
  'neither Expires nor Cache-Control count beside a targeted field (RFC 9213 §2.1)',
  async (t, edge) => {
    const forbids = { 'Cache-Control': 'no-store, private', Expires: '0' }
    const fields = { ...forbids, 'CDN-Cache-Control': 'max-age=10' }
    await assertFreshFor(t, edge, 10, { fields }, 'Cache-Control forbids')
    const silent = { 'CDN-Cache-Control': 'foo', Expires: edge.clock.date(60) }
    await assertFreshFor(t, edge, 0, { fields: silent }, 'no lifetime in the targeted field')
    const closed = { 'CDN-Cache-Control': 'no-store', 'Cache-Control': 'max-age=60' }
    await assertReused(t, edge, false, { fields: closed }, 'the targeted field forbids')
    const privately = { 'CDN-Cache-Control': 'private', 'Cache-Control': 'max-age=60' }
    await assertReused(t, edge, false, { fields: privately }, 'private')
  },
)

onBoth('the last of duplicate members of a dictionary counts (RFC 9651 §3.2)', async (t, edge) => {
  const fields = { 'CDN-Cache-Control': ['max-age=10', 'max-age=20'] }
  await assertFreshFor(t, edge, 20, { fields }, 'two lines')
})

onBoth(
  'what was meant for this cache alone is not shown, CDN-Cache-Control is (RFC 9213 §3)',
  async (t, { get, origin }) => {
    origin.answers('/', {
      fields: {
        'Larder-Cache-Control': 'max-age=60',
        'Surrogate-Control': 'max-age=60',
        'CDN-Cache-Control': 'max-age=60',
        'Cache-Control': 'max-age=5',
      },
    })
    for (const { fields } of [await get('/'), await get('/')]) {
      t.notOk(fields.has('larder-cache-control'))
      t.notOk(fields.has('surrogate-control'))
      t.equal(fields.get('cdn-cache-control'), 'max-age=60')
      t.equal(fields.get('cache-control'), 'max-age=5')
    }
    t.equal(origin.asked(), 1)
  },
)
