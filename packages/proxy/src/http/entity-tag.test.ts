import t from 'tap'
import { isEntityTag, parseEntityTagList, strongMatch, weakMatch } from './entity-tag.ts'

t.test('strong and weak comparison (RFC 9110 §8.8.3.2)', async (t) => {
  const rows: [string, string, boolean, boolean][] = [
    ['W/"1"', 'W/"1"', false, true],
    ['W/"1"', 'W/"2"', false, false],
    ['W/"1"', '"1"', false, true],
    ['"1"', '"1"', true, true],
    ['"1"', '"2"', false, false],
    ['"a"', '"A"', false, false],
  ]
  for (const [a, b, strong, weak] of rows) {
    t.equal(strongMatch(a, b), strong, `${a} ${b} strong`)
    t.equal(strongMatch(b, a), strong, `${b} ${a} strong`)
    t.equal(weakMatch(a, b), weak, `${a} ${b} weak`)
  }
})

t.test('what an entity tag may be (RFC 9110 §8.8.3)', async (t) => {
  for (const tag of ['""', '"a"', 'W/""', 'W/"a"', '"a,b"', '"\\"', '"\xfc"', '"!#~"']) {
    t.ok(isEntityTag(tag), tag)
  }
  for (const tag of [
    '',
    'a',
    '"',
    '"a',
    'a"',
    'w/"a"',
    'W"a"',
    '"a b"',
    '"a"b"',
    '"\x7f"',
    "'a'",
    '*',
  ]) {
    t.notOk(isEntityTag(tag), tag)
  }
})

t.test('a list of entity tags, with commas inside them (RFC 9110 §13.1.2)', async (t) => {
  const rows: [string, '*' | string[]][] = [
    ['*', '*'],
    [' * ', '*'],
    ['', []],
    ['"a"', ['"a"']],
    ['"a","b"', ['"a"', '"b"']],
    [',"a" , ,W/"b",', ['"a"', 'W/"b"']],
    ['"a,b", "c"', ['"a,b"', '"c"']],
    ['"a", x, "b"', ['"a"', '"b"']],
    ['a', []],
    ['"a", *', ['"a"']],
  ]
  for (const [value, expected] of rows) t.same(parseEntityTagList(value), expected, value)
})
