import fc from 'fast-check'
import t from 'tap'
import { formatHttpDate, parseHttpDate } from './http-date.ts'

const NOW = Date.UTC(2026, 5, 15)
const AT = Date.UTC(1994, 10, 6, 8, 49, 37)

const VALID: readonly [string, number][] = [
  ['Sun, 06 Nov 1994 08:49:37 GMT', AT],
  ['sun, 06 nov 1994 08:49:37 gmt', AT],
  ['SUN, 06 NOV 1994 08:49:37 GMT', AT],
  ['Sunday, 06-Nov-94 08:49:37 GMT', AT],
  ['Sun Nov  6 08:49:37 1994', AT],
  ['Sun Nov 16 08:49:37 1994', AT + 10 * 86_400_000],
  // The day of the week is decoration: only its spelling is checked.
  ['Mon, 06 Nov 1994 08:49:37 GMT', AT],
  ['Thu, 29 Feb 2024 00:00:00 GMT', Date.UTC(2024, 1, 29)],
  ['Fri, 31 Dec 1999 23:59:60 GMT', Date.UTC(2000, 0, 1)],
  ['Fri, 31 Dec 9999 23:59:59 GMT', Date.UTC(9999, 11, 31, 23, 59, 59)],
  // RFC 9110 §5.6.7: more than fifty years ahead is the last century.
  ['Monday, 15-Jun-76 00:00:00 GMT', Date.UTC(2076, 5, 15)],
  ['Monday, 15-Jun-77 00:00:00 GMT', Date.UTC(1977, 5, 15)],
]

const INVALID = [
  '',
  '0',
  '-1',
  'now',
  '1994-11-06T08:49:37Z',
  '784111777',
  'Sun, 06 Nov 1994 08:49:37',
  'Sun, 06 Nov 1994 08:49:37 UTC',
  'Sun, 06 Nov 1994 08:49:37 +0000',
  'Sun, 06 Nov 1994 08:49:37 GMT ',
  ' Sun, 06 Nov 1994 08:49:37 GMT',
  'Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT',
  'Sun,  06 Nov 1994 08:49:37 GMT',
  'Sun 06 Nov 1994 08:49:37 GMT',
  'Sun, 6 Nov 1994 08:49:37 GMT',
  'Sun, 06 Nov 94 08:49:37 GMT',
  'Sun, 06-Nov-1994 08:49:37 GMT',
  'Sun, 06 November 1994 08:49:37 GMT',
  'Son, 06 Nov 1994 08:49:37 GMT',
  'Sun, 06 Nov 1994 8:49:37 GMT',
  'Sun, 06 Nov 1994 08:49 GMT',
  'Sun, 06 Nov 1994 08.49.37 GMT',
  'Sun, 06 Nov 1994 24:00:00 GMT',
  'Sun, 06 Nov 1994 08:60:37 GMT',
  'Sun, 06 Nov 1994 08:49:61 GMT',
  'Sun, 00 Nov 1994 08:49:37 GMT',
  'Sun, 31 Nov 1994 08:49:37 GMT',
  'Wed, 29 Feb 2023 00:00:00 GMT',
  'Sunday, 06-Nov-1994 08:49:37 GMT',
  'Sun, 06-Nov-94 08:49:37 GMT',
  'Sun Nov 06 08:49:37 1994 GMT',
  'Sun Nov 6 08:49:37 1994',
]

t.test('HTTP-date is one of three forms, in any letter case (RFC 9110 §5.6.7)', async (t) => {
  for (const [text, at] of VALID) t.equal(parseHttpDate(text, NOW), at, text)
})

t.test('everything else is no HTTP-date (RFC 9110 §5.6.7)', async (t) => {
  for (const text of INVALID) t.equal(parseHttpDate(text, NOW), undefined, JSON.stringify(text))
})

t.test('what is written is read back (RFC 9110 §5.6.7)', async (t) => {
  const instants = fc.integer({ min: 0, max: Date.UTC(9999, 11, 31) })
  fc.assert(
    fc.property(instants, (at) => {
      return parseHttpDate(formatHttpDate(at), NOW) === Math.floor(at / 1000) * 1000
    }),
  )
  t.equal(formatHttpDate(AT + 999), 'Sun, 06 Nov 1994 08:49:37 GMT')
})
