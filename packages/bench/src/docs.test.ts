import t from 'tap'
import { withSection } from './docs.ts'

t.test('a section is replaced and all else stays', async (t) => {
  const page = 'before\n<!-- begin: a -->\nold\n<!-- end: a -->\nafter\n'
  const expected = 'before\n<!-- begin: a -->\nnew\n<!-- end: a -->\nafter\n'
  t.equal(withSection(page, 'a', '\nnew\n\n'), expected)
  t.equal(withSection(expected, 'a', 'new'), expected)
})

t.test('a page without the place is refused, with the cure', async (t) => {
  t.throws(() => withSection('text', 'a', 'x'), { message: /<!-- begin: a -->/ })
})
