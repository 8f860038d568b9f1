import t from 'tap'
import { Fields } from './fields.ts'
import { evaluatePreconditions, ifRangeHolds } from './preconditions.ts'

const NOW = Date.UTC(2026, 5, 15)
const DATE = Date.UTC(2026, 5, 14)
const MODIFIED = 'Mon, 01 Jun 2026 10:00:00 GMT'
const LATER = 'Mon, 01 Jun 2026 10:00:01 GMT'
const STORED = { entityTag: '"a"', lastModified: MODIFIED, dateAt: DATE }

t.test('conditions in the order of RFC 9110 §13.2.2', async (t) => {
  const rows: [Record<string, string>, string][] = [
    [{}, 'proceed'],
    [{ 'if-none-match': '"a"' }, 'not-modified'],
    [{ 'if-none-match': '"b"' }, 'proceed'],
    [{ 'if-modified-since': MODIFIED }, 'not-modified'],
    [{ 'if-modified-since': 'soon' }, 'proceed'],
    [{ 'if-none-match': '"b"', 'if-modified-since': LATER }, 'proceed'],
    [{ 'if-none-match': 'broken', 'if-modified-since': LATER }, 'proceed'],
  ]
  for (const [request, expected] of rows) {
    const fields = Fields.from(Object.entries(request))
    t.equal(evaluatePreconditions(fields, STORED, NOW), expected, JSON.stringify(request))
  }
  const untagged = { ...STORED, entityTag: undefined }
  const any = Fields.from([['if-none-match', '*']])
  t.equal(evaluatePreconditions(any, untagged, NOW), 'not-modified', '* needs no tag')
})

t.test('If-Range needs a strong validator (RFC 9110 §13.1.5)', async (t) => {
  t.ok(ifRangeHolds(undefined, STORED, NOW))
  t.ok(ifRangeHolds('"a"', STORED, NOW))
  t.ok(ifRangeHolds(MODIFIED, STORED, NOW))
  t.notOk(ifRangeHolds('W/"a"', { ...STORED, entityTag: 'W/"a"' }, NOW))
  t.notOk(ifRangeHolds('"a", "b"', STORED, NOW))
  t.notOk(ifRangeHolds(LATER, STORED, NOW))
  t.notOk(ifRangeHolds(MODIFIED, { ...STORED, lastModified: undefined }, NOW))
  const sameSecond = { ...STORED, dateAt: Date.UTC(2026, 5, 1, 10, 0, 0) }
  t.notOk(ifRangeHolds(MODIFIED, sameSecond, NOW), 'modified in the second of its Date')
})
