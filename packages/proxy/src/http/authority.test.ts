import t from 'tap'
import { parseAuthority } from './authority.ts'

t.test('an authority has one canonical form (RFC 3986 §6.2.2, RFC 9110 §4.2.3)', async (t) => {
  const rows: [string, 'http' | 'https', string][] = [
    ['example.test', 'http', 'example.test'],
    ['EXAMPLE.Test', 'http', 'example.test'],
    ['example.test.', 'http', 'example.test'],
    ['example.test:', 'http', 'example.test'],
    ['example.test:80', 'http', 'example.test'],
    ['example.test:080', 'http', 'example.test'],
    ['example.test:80', 'https', 'example.test:80'],
    ['example.test:443', 'https', 'example.test'],
    ['example.test:8080', 'http', 'example.test:8080'],
    ['127.0.0.1:8080', 'http', '127.0.0.1:8080'],
    ['[::1]', 'http', '[::1]'],
    ['[2001:DB8::1]:443', 'https', '[2001:db8::1]'],
    ['xn--bcher-kva.test', 'http', 'xn--bcher-kva.test'],
    ['a_b.test', 'http', 'a_b.test'],
  ]
  for (const [text, scheme, expected] of rows) {
    t.equal(parseAuthority(text, scheme)?.text, expected, `${scheme} ${text}`)
  }
})

t.test('what is no authority is refused (RFC 9112 §3.2)', async (t) => {
  for (const text of [
    '',
    ' ',
    '.',
    ':80',
    'a b',
    'a,b',
    'a/b',
    'a?b',
    'a#b',
    'user@a',
    'user:pass@a',
    'http://a',
    'a:b',
    'a:-1',
    'a:0',
    'a:65536',
    'a:123456',
    'a:80:80',
    'a..b',
    '.a',
    'a%2eb',
    'bücher.test',
    '[::1',
    '::1',
    '[::1]x',
    '[::1%25lo]',
    '[example.test]',
    'a\0b',
    `${'a'.repeat(64)}.test`,
    `${'a.'.repeat(130)}test`,
  ]) {
    t.equal(parseAuthority(text, 'http'), null, JSON.stringify(text))
  }
})
