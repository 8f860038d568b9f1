import fc from 'fast-check'
import t from 'tap'
import { normaliseTarget, parseTarget } from './request-target.ts'

t.test('a path has one form for rule, key and origin (RFC 3986 §6.2.2)', async (t) => {
  const rows: [string, string][] = [
    ['/', '/'],
    ['/a/b', '/a/b'],
    ['/%61', '/a'],
    ['/%7e', '/~'],
    ['/%2f', '/%2F'],
    ['/%c3%a4', '/%C3%A4'],
    ['/a/./b', '/a/b'],
    ['/a/../b', '/b'],
    ['/a/%2e%2e/b', '/b'],
    ['/../../a', '/a'],
    ['/a/..', '/'],
    ['/a/.', '/a/'],
    ['/..', '/'],
    ['//a', '//a'],
    ['/a//b', '/a//b'],
    ['/a//../b', '/a/b'],
    ['/.a', '/.a'],
    ['/a/...', '/a/...'],
    ['/a/..;/b', '/a/..;/b'],
    ['/?', '/?'],
    ['/a?b=/../c&%61=%2f', '/a?b=/../c&%61=%2f'],
    ['/a?x?y', '/a?x?y'],
  ]
  for (const [text, expected] of rows) t.equal(normaliseTarget(text), expected, text)
})

t.test('what no URI has is refused (RFC 9112 §3.2)', async (t) => {
  for (const text of [
    '/a b',
    '/a\tb',
    '/a#b',
    '/\x00',
    '/ä',
    '/a\\b',
    '/%',
    '/%4',
    '/%zz',
    '/%00',
    '/a?\x7f',
    '/a?b c',
  ]) {
    t.equal(normaliseTarget(text), null, JSON.stringify(text))
  }
})

t.test('normalising again changes nothing', async (t) => {
  const piece = fc.constantFrom('/', '.', '..', '%2e', '%2F', '%61', 'a', ';', '//', '?', '%')
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 12 }), (pieces) => {
      const once = normaliseTarget(`/${pieces.join('')}`)
      return once === null || (once.startsWith('/') && normaliseTarget(once) === once)
    }),
    { numRuns: 2000 },
  )
  t.pass('for any path')
})

t.test('a target is origin-form, absolute-form or * (RFC 9112 §3.2)', async (t) => {
  t.same(parseTarget('/a/../b?c', 'GET'), { form: 'origin', target: '/b?c' })
  t.same(parseTarget('HTTP://Example.test:80/a', 'GET'), {
    form: 'absolute',
    scheme: 'http',
    authority: 'Example.test:80',
    target: '/a',
  })
  t.match(parseTarget('https://example.test?q', 'GET'), { form: 'absolute', target: '/?q' })
  t.match(parseTarget('https://example.test', 'GET'), { form: 'absolute', target: '/' })
  t.same(parseTarget('*', 'OPTIONS'), { form: 'asterisk' })
  for (const text of [
    '*',
    '',
    'a',
    'a/b',
    'ftp://a/',
    'http:/a',
    'example.test:443',
    '?q',
    '/a b',
  ]) {
    t.equal(parseTarget(text, 'GET').form, 'invalid', JSON.stringify(text))
  }
})
