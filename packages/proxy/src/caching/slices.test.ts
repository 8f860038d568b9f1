import t from 'tap'
import { Fields } from '../http/fields.ts'
import { parseRange } from '../http/range.ts'
import {
  firstSlice,
  isSlice,
  representationOf,
  type Slicing,
  sliceRange,
  strongValidator,
} from './slices.ts'

const NOW = Date.UTC(2026, 5, 15, 12)
const BEFORE = 'Mon, 15 Jun 2026 11:59:59 GMT'
const SAME_SECOND = 'Mon, 15 Jun 2026 12:00:00 GMT'

const fieldsOf = (entries: Readonly<Record<string, string>>) => Fields.from(Object.entries(entries))

t.test('the validator that slices share is strong (RFC 9110 §8.8.1, §8.8.2.2)', async (t) => {
  const rows: [string, Record<string, string>, string | undefined][] = [
    ['a strong tag', { ETag: '"a"' }, '"a"'],
    ['a weak tag', { ETag: 'W/"a"' }, undefined],
    ['a weak tag beside a date', { ETag: 'W/"a"', 'Last-Modified': BEFORE }, undefined],
    ['a date a second before Date', { 'Last-Modified': BEFORE }, BEFORE],
    ['a date of the same second', { 'Last-Modified': SAME_SECOND }, undefined],
    ['no date', { 'Last-Modified': 'yesterday' }, undefined],
    ['nothing', {}, undefined],
  ]
  for (const [name, fields, expected] of rows) {
    t.equal(strongValidator(fieldsOf(fields), NOW), expected, name)
  }
})

t.test('a slice is what was asked for, of the same representation (RFC 9111 §3.4)', async (t) => {
  const ours = { ETag: '"a"', 'Content-Range': 'bytes 100-199/250', Vary: 'Accept' }
  const representation = representationOf(fieldsOf(ours), 250, NOW)
  if (representation === null) throw new Error('no representation')
  const slice = { representation, range: { first: 100, last: 199 } }
  const rows: [string, Record<string, string>, boolean][] = [
    ['the same', {}, true],
    ['Vary in another case', { Vary: 'accept' }, true],
    ['another tag', { ETag: '"b"' }, false],
    ['the tag as a weak one', { ETag: 'W/"a"' }, false],
    ['another complete length', { 'Content-Range': 'bytes 100-199/251' }, false],
    ['no complete length', { 'Content-Range': 'bytes 100-199/*' }, false],
    ['another place', { 'Content-Range': 'bytes 99-198/250' }, false],
    ['less', { 'Content-Range': 'bytes 100-150/250' }, false],
    ['more', { 'Content-Range': 'bytes 100-249/250' }, false],
    ['an unsatisfied range', { 'Content-Range': 'bytes */250' }, false],
    ['no place', { 'Content-Range': '' }, false],
    ['another coding', { 'Content-Encoding': 'gzip' }, false],
    ['another Vary', { Vary: 'Cookie' }, false],
  ]
  for (const [name, changed, expected] of rows) {
    t.equal(isSlice(slice, fieldsOf({ ...ours, ...changed }), NOW), expected, name)
  }
})

t.test(
  'slices lie at multiples of their size, the last one ends with the representation',
  async (t) => {
    t.same(sliceRange(0, 100), { first: 0, last: 99 })
    t.same(sliceRange(2, 100, 1000), { first: 200, last: 299 })
    t.same(sliceRange(2, 100, 250), { first: 200, last: 249 })
    t.same(sliceRange(2, 100, 201), { first: 200, last: 200 })
  },
)

t.test('what is asked for first', async (t) => {
  const configured: Slicing = { bytes: 100, minCompleteBytes: 0, generation: 'g' }
  const automatic: Slicing = { ...configured, minCompleteBytes: 800 }
  const rows: [string, Slicing, { first: number; last: number } | null][] = [
    ['bytes=250-', configured, { first: 200, last: 299 }],
    ['bytes=250-260', configured, { first: 200, last: 299 }],
    ['bytes=250-900', configured, { first: 200, last: 299 }],
    ['bytes=-10', configured, { first: 0, last: 99 }],
    ['bytes=250-260,900-', configured, { first: 200, last: 299 }],
    ['bytes=99999999999999999999-', configured, null],
    ['bytes=250-', automatic, { first: 200, last: 299 }],
    ['bytes=250-900', automatic, { first: 200, last: 299 }],
    ['bytes=250-349', automatic, null],
    ['bytes=250-350', automatic, { first: 200, last: 299 }],
    ['bytes=-10', automatic, null],
    ['bytes=250-,1-2', automatic, null],
  ]
  for (const [range, slicing, expected] of rows) {
    const name = `${range} ${slicing === automatic ? 'automatic' : 'configured'}`
    t.same(firstSlice(parseRange(range) ?? [], slicing), expected, name)
  }
})
