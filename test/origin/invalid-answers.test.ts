import t from 'tap'
import { startEdge } from '../support/edge.ts'

const OK = 'HTTP/1.1 200 OK\r\n'
const CHUNKED = `${OK}Transfer-Encoding: chunked\r\n\r\n`

/** What no reader may guess the meaning of (RFC 9112 §4 to §7.1): heads, which become 502. */
const INVALID_HEADS: [what: string, answer: string][] = [
  ['a status line that ends in a bare LF', 'HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nhi'],
  ['a field line that ends in a bare LF', `${OK}A: b\nContent-Length: 2\r\n\r\nhi`],
  ['a head that ends in bare LFs', 'HTTP/1.1 200 OK\nContent-Length: 2\n\nhi'],
  ['a bare CR in a value', `${OK}A: b\rc\r\nContent-Length: 2\r\n\r\nhi`],
  ['a folded line', `${OK}A: b\r\n c\r\nContent-Length: 2\r\n\r\nhi`],
  ['NUL in a value', `${OK}A: b\0c\r\nContent-Length: 2\r\n\r\nhi`],
  ['NUL in a name', `${OK}A\0: b\r\nContent-Length: 2\r\n\r\nhi`],
  ['space before the colon', `${OK}Content-Length : 2\r\n\r\nhi`],
  ['a tab before the colon', `${OK}Content-Length\t: 2\r\n\r\nhi`],
  ['a line without colon', `${OK}Content-Length 2\r\n\r\nhi`],
  ['an empty name', `${OK}: b\r\nContent-Length: 2\r\n\r\nhi`],
  ['a name with a space', `${OK}A B: c\r\nContent-Length: 2\r\n\r\nhi`],
  ['white space ahead of the first field', `${OK} A: b\r\nContent-Length: 2\r\n\r\nhi`],
  ['no status', 'HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nhi'],
  ['status 99', 'HTTP/1.1 99 Low\r\nContent-Length: 2\r\n\r\nhi'],
  ['status 1000', 'HTTP/1.1 1000 High\r\nContent-Length: 2\r\n\r\nhi'],
  ['status 600', 'HTTP/1.1 600 High\r\nContent-Length: 2\r\n\r\nhi'],
  ['status 000', 'HTTP/1.1 000 Zero\r\nContent-Length: 2\r\n\r\nhi'],
  ['a signed status', 'HTTP/1.1 +20 Odd\r\nContent-Length: 2\r\n\r\nhi'],
  ['two spaces before the status', 'HTTP/1.1  200 OK\r\nContent-Length: 2\r\n\r\nhi'],
  ['another protocol', 'ICY 200 OK\r\nContent-Length: 2\r\n\r\nhi'],
  ['version 2.0', 'HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nhi'],
  ['version 0.9', 'HTTP/0.9 200 OK\r\nContent-Length: 2\r\n\r\nhi'],
  ['version 1.10', 'HTTP/1.10 200 OK\r\nContent-Length: 2\r\n\r\nhi'],
  ['a lower-case version', 'http/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi'],
  ['garbage', '\x16\x03\x01\x00\xa5\x01\x00\x00\xa1'],
  ['a body without head', '<html>hello</html>'],
  ['an empty line ahead of the status line', `\r\n${OK}Content-Length: 2\r\n\r\nhi`],
  ['NUL in the reason', 'HTTP/1.1 200 O\0K\r\nContent-Length: 2\r\n\r\nhi'],
  ['a negative length', `${OK}Content-Length: -2\r\n\r\nhi`],
  ['a length with plus', `${OK}Content-Length: +2\r\n\r\nhi`],
  ['a hexadecimal length', `${OK}Content-Length: 0x2\r\n\r\nhi`],
  ['a length with a point', `${OK}Content-Length: 2.0\r\n\r\nhi`],
  ['an empty length', `${OK}Content-Length: \r\n\r\nhi`],
  ['a list of equal lengths', `${OK}Content-Length: 2, 2\r\n\r\nhi`],
  ['a list of lengths', `${OK}Content-Length: 2, 3\r\n\r\nhi`],
  ['a length with a space inside', `${OK}Content-Length: 2 2\r\n\r\nhi`],
  ['an overflowing length', `${OK}Content-Length: 18446744073709551618\r\n\r\nhi`],
  ['two equal lengths', `${OK}Content-Length: 2\r\nContent-Length: 2\r\n\r\nhi`],
  ['two lengths', `${OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\nhi`],
  ['length, then chunks', `${OK}Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n`],
  ['chunks, then length', `${OK}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n0\r\n\r\n`],
  ['gzip before chunked', `${OK}Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n`],
  ['chunked before gzip', `${OK}Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n`],
  ['chunked twice', `${OK}Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n`],
  ['an unknown coding', `${OK}Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n`],
  ['an empty Transfer-Encoding', `${OK}Transfer-Encoding:\r\n\r\n0\r\n\r\n`],
  [
    'two lines of Transfer-Encoding',
    `${OK}Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n`,
  ],
  ['chunks in HTTP/1.0', 'HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n'],
  ['101 unasked', 'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n'],
  ['304 unasked', 'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\n\r\n'],
  [
    '206 unasked',
    'HTTP/1.1 206 Partial Content\r\nContent-Range: bytes 0-1/9\r\nContent-Length: 2\r\n\r\nhi',
  ],
]

/** Broken framing behind a head that was good: the client has the head and must see that the body is not whole. */
const INVALID_BODIES: [what: string, chunks: string][] = [
  ['a chunk size with 0x', '0x2\r\nhi\r\n0\r\n\r\n'],
  ['a chunk size with plus', '+2\r\nhi\r\n0\r\n\r\n'],
  ['a negative chunk size', '-2\r\nhi\r\n0\r\n\r\n'],
  ['a chunk size with an underscore', '1_0\r\nhi\r\n0\r\n\r\n'],
  ['an empty chunk size', '\r\nhi\r\n0\r\n\r\n'],
  ['space ahead of a chunk size', ' 2\r\nhi\r\n0\r\n\r\n'],
  ['two chunk sizes', '2 2\r\nhi\r\n0\r\n\r\n'],
  ['an overflowing chunk size', 'fffffffffffffffff\r\nhi\r\n0\r\n\r\n'],
  ['a chunk size that ends in a bare LF', '2\nhi\r\n0\r\n\r\n'],
  ['a chunk that ends in a bare LF', '2\r\nhi\n0\r\n\r\n'],
  ['a chunk longer than its size', '2\r\nhit\r\n0\r\n\r\n'],
  ['LF in a chunk extension', '2;a=b\nc\r\nhi\r\n0\r\n\r\n'],
  ['NUL in a chunk extension', '2;a=\0\r\nhi\r\n0\r\n\r\n'],
  ['a folded trailer', '2\r\nhi\r\n0\r\nA: b\r\n c\r\n\r\n'],
  ['a trailer without colon', '2\r\nhi\r\n0\r\nabc\r\n\r\n'],
]

t.test(
  'an answer that is no valid HTTP becomes 502, and nothing of it is stored (RFC 9112 §6.3)',
  async (t) => {
    const edge = await startEdge(t, 'h1')
    for (const [index, [what, answer]] of INVALID_HEADS.entries()) {
      const path = `/head-${index}`
      edge.origin.answers(path, (wire) => void wire.write(Buffer.from(answer, 'latin1')), {
        fields: { 'Cache-Control': 'max-age=60' },
        body: 'good',
      })
      const bad = await edge.get(path)
      t.match(bad, { status: 502, complete: true }, what)
      t.notMatch(bad.text, 'hi', `${what}: nothing of it is passed on`)
      const good = await edge.get(path)
      t.match([good.status, good.text], [200, 'good'], `${what}: the next answer is asked for`)
    }
  },
)

t.test(
  'a body with broken chunks is cut for the client, and not stored (RFC 9112 §7.1, §8)',
  async (t) => {
    const edge = await startEdge(t, 'h1')
    for (const [index, [what, chunks]] of INVALID_BODIES.entries()) {
      const path = `/body-${index}`
      const head = CHUNKED.replace('\r\n\r\n', '\r\nCache-Control: max-age=60\r\n\r\n')
      edge.origin.answers(path, (wire) => void wire.write(Buffer.from(head + chunks, 'latin1')), {
        fields: { 'Cache-Control': 'max-age=60' },
        body: 'good',
      })
      const bad = await edge.get(path)
      t.equal(bad.complete, false, what)
      const good = await edge.get(path)
      t.match([good.status, good.text], [200, 'good'], `${what}: the next answer is asked for`)
    }
  },
)

t.test('heads without end are cut off, with 502', async (t) => {
  const edge = await startEdge(t, 'h1', { tenant: { originTimeouts: { firstByte: '20s' } } })
  const line = `X-Filler: ${'x'.repeat(1000)}\r\n`
  const interim = 'HTTP/1.1 103 Early Hints\r\n'
  const endless: [what: string, begin: string, more: string][] = [
    ['fields', OK, line],
    ['one field', `${OK}X-Filler: `, 'x'.repeat(1000)],
    ['short fields', OK, 'a:b\r\n'.repeat(100)],
    ['the reason', 'HTTP/1.1 200 ', 'x'.repeat(1000)],
    ['interim responses', '', `${interim}\r\n`],
    ['large interim responses', '', `${interim}${line.repeat(20)}\r\n`],
  ]
  for (const [index, [what, begin, more]] of endless.entries()) {
    const path = `/endless-${index}`
    let sent = 0
    edge.origin.answers(path, (wire) => {
      wire.write(begin)
      const goOn = () => {
        while (wire.socket.writable) {
          sent += more.length
          if (!wire.socket.write(more)) return void wire.socket.once('drain', goOn)
        }
      }
      goOn()
    })
    const answer = await edge.get(path)
    t.equal(answer.status, 502, what)
    // What lies in the buffers of two sockets on top of the bound was written, but not taken.
    t.ok(sent < 12_000_000, `${what}: the origin could write ${sent} bytes`)
  }
})

t.test('chunk extensions and trailers without end cut the answer', async (t) => {
  const edge = await startEdge(t, 'h1')
  const endless: [what: string, begin: string, more: string][] = [
    ['one extension', `${CHUNKED}2;a=`, 'x'.repeat(1000)],
    ['many extensions', `${CHUNKED}2`, ';a=b'.repeat(100)],
    ['trailers', `${CHUNKED}2\r\nhi\r\n0\r\n`, `X-Filler: ${'x'.repeat(1000)}\r\n`],
    ['one trailer', `${CHUNKED}2\r\nhi\r\n0\r\nX: `, 'x'.repeat(1000)],
    ['extensions of one-byte chunks', CHUNKED, `1;${'a'.repeat(1000)}\r\nx\r\n`],
  ]
  for (const [index, [what, begin, more]] of endless.entries()) {
    const path = `/endless-${index}`
    edge.origin.answers(path, (wire) => {
      wire.write(begin)
      const goOn = () => {
        while (wire.socket.writable) {
          if (!wire.socket.write(more)) return void wire.socket.once('drain', goOn)
        }
      }
      goOn()
    })
    const answer = await edge.get(path)
    t.equal(answer.complete, false, what)
    t.ok(answer.body.length < 300, `${what}: ${answer.body.length} bytes of content came`)
  }
})
