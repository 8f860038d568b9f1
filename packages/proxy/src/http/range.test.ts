import fc from 'fast-check'
import t from 'tap'
import { type ByteRange, parseContentRange, parseRange, selectRanges } from './range.ts'

/** `first-last` of each selected range of 100 bytes, or the kind of answer. */
function select(value: string, length = 100): string {
  const specs = parseRange(value)
  if (specs === null) return 'ignored'
  const selection = selectRanges(specs, length)
  if (selection.kind !== 'ranges') return selection.kind
  return selection.ranges.map(({ first, last }) => `${first}-${last}`).join(' ')
}

t.test('a Range selects positions of the representation (RFC 9110 §14.1.2)', async (t) => {
  const rows: [string, string][] = [
    ['bytes=0-0', '0-0'],
    ['bytes=0-', '0-99'],
    ['bytes=99-', '99-99'],
    ['bytes=100-', 'unsatisfiable'],
    ['bytes=-1', '99-99'],
    ['bytes=-0', 'unsatisfiable'],
    ['bytes=-1000', '0-99'],
    ['bytes=50-1000', '50-99'],
    ['bytes=0-99999999999999999999999', '0-99'],
    ['bytes=99999999999999999999999-', 'unsatisfiable'],
    ['bytes=0-1,5-6', '0-1 5-6'],
    ['bytes=5-6,0-1', '5-6 0-1'],
    ['bytes=0-1,200-', '0-1'],
    ['bytes=200-,300-', 'unsatisfiable'],
    ['bytes=0-5,3-8', '0-8'],
    ['bytes=0-60,0-60', '0-60'],
    ['bytes=,,0-1 , ,5-6,', '0-1 5-6'],
    ['Bytes=0-1', '0-1'],
    ['bytes=5-4', 'ignored'],
    ['bytes=0-1,5-4', 'ignored'],
    ['bytes=1', 'ignored'],
    ['bytes=-', 'ignored'],
    ['bytes=', 'ignored'],
    ['bytes=,', 'ignored'],
    ['bytes=a-', 'ignored'],
    ['bytes=1-2-3', 'ignored'],
    ['bytes=1 - 2', 'ignored'],
    ['bytes=1.0-2', 'ignored'],
    ['bytes =0-1', 'ignored'],
    ['seconds=0-1', 'ignored'],
    ['0-1', 'ignored'],
  ]
  for (const [value, expected] of rows) t.equal(select(value), expected, value)
  for (const value of ['bytes=0-', 'bytes=0-0', 'bytes=-1']) {
    t.equal(select(value, 0), 'unsatisfiable', `${value} of nothing`)
  }
})

t.test('more ranges than anyone needs are ignored (RFC 9110 §14.2)', async (t) => {
  const count = (n: number) => `bytes=${Array.from({ length: n }, (_, i) => `${i * 2}-${i * 2}`)}`
  t.not(select(count(32), 1000), 'ignored')
  t.equal(select(count(33), 1000), 'ignored')
})

t.test('an answer in parts never has more bytes than the whole (RFC 9110 §17.15)', async (t) => {
  const range = fc.tuple(fc.nat({ max: 120 }), fc.nat({ max: 120 }))
  fc.assert(
    fc.property(fc.array(range, { minLength: 1, maxLength: 32 }), (list) => {
      const value = list.map(([a, b]) => `${Math.min(a, b)}-${Math.max(a, b)}`).join(',')
      const selection = selectRanges(parseRange(`bytes=${value}`) ?? [], 100)
      if (selection.kind !== 'ranges') return true
      const { ranges } = selection
      const total = ranges.reduce((sum, { first, last }) => sum + last - first + 1, 0)
      return total <= 100 && ranges.every((one) => isWithin(one, 100)) && covers(list, ranges)
    }),
  )
  t.pass('for any list of ranges')
})

function isWithin({ first, last }: ByteRange, length: number): boolean {
  return first >= 0 && first <= last && last < length
}

/** Every byte asked for is in the answer, and no other one. */
function covers(asked: readonly [number, number][], ranges: readonly ByteRange[]): boolean {
  for (let at = 0; at < 100; at++) {
    const wanted = asked.some(([a, b]) => at >= Math.min(a, b) && at <= Math.max(a, b))
    if (wanted !== ranges.some(({ first, last }) => at >= first && at <= last)) return false
  }
  return true
}

t.test('Content-Range is read strictly (RFC 9110 §14.4)', async (t) => {
  t.same(parseContentRange('bytes 0-4/10'), { first: 0, last: 4, completeLength: 10 })
  t.same(parseContentRange('bytes 9-9/10'), { first: 9, last: 9, completeLength: 10 })
  t.same(parseContentRange('bytes 0-4/*'), { first: 0, last: 4, completeLength: undefined })
  for (const value of [
    '',
    'bytes */10',
    'bytes 0-4',
    'bytes 4-0/10',
    'bytes 0-10/10',
    'bytes 0-4/4',
    'bytes=0-4/10',
    'bytes 0-4/10, bytes 5-9/10',
    'bytes -4/10',
    'bytes 0-/10',
    'bytes 0 - 4/10',
    'bytes 0-4/-1',
    'bytes 0-4/0x0a',
    'items 0-4/10',
    `bytes 0-4/${'9'.repeat(20)}`,
  ]) {
    t.equal(parseContentRange(value), undefined, JSON.stringify(value))
  }
})
