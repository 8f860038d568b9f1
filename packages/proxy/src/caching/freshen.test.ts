import t from 'tap'
import { Fields } from '../http/fields.ts'
import { freshenedFields, headAgrees, validatesStored, validationFields } from './freshen.ts'

const MODIFIED = 'Mon, 01 Jun 2026 10:00:00 GMT'
const LATER = 'Mon, 01 Jun 2026 10:00:01 GMT'
const section = (fields: Record<string, string>) => Fields.from(Object.entries(fields))

t.test('which 304 speaks of the stored response (RFC 9111 §4.3.4)', async (t) => {
  const rows: [Record<string, string>, Record<string, string>, boolean][] = [
    [{ etag: '"a"' }, { etag: '"a"' }, true],
    [{ etag: '"a"' }, { etag: '"b"' }, false],
    [{ etag: '"a"' }, { etag: 'W/"a"' }, true],
    [{ etag: 'W/"a"' }, { etag: '"a"' }, true],
    [{ etag: '"a"' }, {}, true],
    [{}, { etag: '"a"' }, false],
    [{ 'last-modified': MODIFIED }, { 'last-modified': MODIFIED }, true],
    [{ 'last-modified': MODIFIED }, { 'last-modified': LATER }, false],
    [{ 'last-modified': MODIFIED }, {}, true],
    [{ etag: '"a"', 'last-modified': MODIFIED }, { 'last-modified': LATER }, true],
    [{ etag: '"a"', 'last-modified': MODIFIED }, { etag: '"a"', 'last-modified': LATER }, true],
  ]
  for (const [stored, update, expected] of rows) {
    const name = `${JSON.stringify(stored)} ${JSON.stringify(update)}`
    t.equal(validatesStored(section(stored), section(update)), expected, name)
  }
})

t.test(
  'the update replaces fields, but none that describe the stored bytes (RFC 9111 §3.2)',
  async (t) => {
    const stored = section({ 'x-a': '1', 'x-b': '2', etag: '"a"', 'content-length': '5', age: '9' })
    const update = section({ 'x-b': '3', 'x-c': '4', etag: 'W/"a"', 'content-length': '0' })
    t.same(
      [...freshenedFields(stored, update)],
      [
        ['x-a', '1'],
        ['etag', '"a"'],
        ['content-length', '5'],
        ['x-b', '3'],
        ['x-c', '4'],
      ],
    )
  },
)

t.test('a HEAD agrees when nothing it says differs (RFC 9111 §4.3.5)', async (t) => {
  const stored = section({ etag: '"a"', 'last-modified': MODIFIED, 'content-length': '5' })
  t.ok(headAgrees(stored, section({})))
  t.ok(headAgrees(stored, section({ etag: '"a"', 'content-length': '5' })))
  t.notOk(headAgrees(stored, section({ etag: '"b"' })))
  t.notOk(headAgrees(stored, section({ 'last-modified': LATER })))
  t.notOk(headAgrees(stored, section({ 'content-length': '6' })))
  t.notOk(headAgrees(section({}), section({ etag: '"a"' })))
})

t.test('every validator goes along (RFC 9111 §4.3.1)', async (t) => {
  t.same(
    [...validationFields(section({ etag: 'W/"a"', 'last-modified': MODIFIED }))],
    [
      ['if-none-match', 'W/"a"'],
      ['if-modified-since', MODIFIED],
    ],
  )
  t.same([...validationFields(section({}))], [])
})
