import t from 'tap'
import { Fields } from './fields.ts'
import { endToEnd } from './hop-by-hop.ts'

t.test('fields of one connection stay on it (RFC 9110 §7.6.1)', async (t) => {
  const fields = Fields.from([
    ['Connection', 'X-A, close ,, x-b'],
    ['Connection', '"x-quoted", X-C'],
    ['Keep-Alive', 'timeout=5'],
    ['Proxy-Connection', 'keep-alive'],
    ['Transfer-Encoding', 'chunked'],
    ['TE', 'trailers'],
    ['Upgrade', 'h2c'],
    ['HTTP2-Settings', 'x'],
    ['Proxy-Authorization', 'Basic dTpw'],
    ['X-A', '1'],
    ['X-B', '2'],
    ['X-C', '3'],
    ['X-D', '4'],
  ])
  t.same([...endToEnd(fields)], [['x-d', '4']])
  t.ok(fields.has('x-a'), 'the given section is untouched')
})

t.test('nobody can have the proxy drop what it relies on (RFC 9110 §7.6.1)', async (t) => {
  const fields = Fields.from([
    ['Connection', 'Host, Content-Length, Cache-Control'],
    ['Content-Length', '5'],
    ['Cache-Control', 'no-store'],
  ])
  t.same(
    [...endToEnd(fields)].map(([name]) => name),
    ['content-length', 'cache-control'],
  )
})
