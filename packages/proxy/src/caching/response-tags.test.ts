import t from 'tap'
import { Fields } from '../http/fields.ts'
import { DEFAULT_TAG_LIMITS, invalidatedGroups, responseTags } from './response-tags.ts'

const tagsOf = (...lines: [string, string][]) =>
  responseTags(Fields.from(lines), DEFAULT_TAG_LIMITS)

t.test('three fields, several lines, each tag once', async (t) => {
  t.same(tagsOf(), [])
  t.same(tagsOf(['surrogate-key', 'a  b\tc']), ['a', 'b', 'c'])
  t.same(tagsOf(['cache-tag', 'a, two words ,,b']), ['a', 'two words', 'b'])
  t.same(tagsOf(['cache-groups', '"a", "with, comma";q=1, token, 7']), ['a', 'with, comma'])
  t.same(
    tagsOf(
      ['surrogate-key', 'a b'],
      ['cache-tag', 'b,c'],
      ['surrogate-key', 'd'],
      ['cache-groups', '"a"'],
    ),
    ['a', 'b', 'c', 'd'],
  )
})

t.test('a tag is exactly what was written: case counts', async (t) => {
  t.same(tagsOf(['surrogate-key', 'P-42 p-42']), ['P-42', 'p-42'])
})

t.test(
  'RFC 9875 §2: Cache-Groups that is no List is ignored; 32 groups of 32 characters are supported',
  async (t) => {
    t.same(tagsOf(['cache-groups', '"open']), [])
    const groups = Array.from({ length: 32 }, (_, i) => String(i).padStart(32, 'g'))
    t.same(tagsOf(['cache-groups', groups.map((group) => `"${group}"`).join(', ')]), groups)
  },
)

t.test('Cache-Group-Invalidation: of unsafe requests that succeeded (RFC 9875 §3)', async (t) => {
  const fields = Fields.from([['cache-group-invalidation', '"a", "b"']])
  t.same(invalidatedGroups('POST', 200, fields), ['a', 'b'])
  t.same(invalidatedGroups('DELETE', 303, fields), ['a', 'b'])
  t.same(invalidatedGroups('GET', 200, fields), [], 'MUST be ignored')
  t.same(invalidatedGroups('POST', 500, fields), [])
  t.same(invalidatedGroups('POST', 200, Fields.from([['cache-group-invalidation', 'a b']])), [])
})

t.test('beyond the limits there are none that could be trusted', async (t) => {
  const limits = { maxCount: 3, maxBytes: 8 }
  const of = (text: string) => responseTags(Fields.from([['surrogate-key', text]]), limits)
  t.same(of('a b c'), ['a', 'b', 'c'])
  t.same(of('a b c a'), ['a', 'b', 'c'])
  t.equal(of('a b c d'), null)
  t.same(of('1234 5678'), ['1234', '5678'])
  t.equal(of('1234 56789'), null)
  t.equal(tagsOf(['cache-tag', 'x'.repeat(1025)]), null)
  t.same(tagsOf(['cache-tag', 'x'.repeat(1024)]), ['x'.repeat(1024)])
})
