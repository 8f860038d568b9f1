import t from 'tap'
import { FieldSection } from '../http/message/field-section.ts'
import { CHUNKED_BODY, NO_BODY } from '../http/message/framing.ts'
import { InputBuffer } from '../http/message/input-buffer.ts'
import { ResponseReader, UNTIL_CLOSE } from './response-reader.ts'

const MAX_BYTES = 128 * 1024

function reading(method: string): { reader: ResponseReader; input: InputBuffer } {
  const reader = new ResponseReader(new FieldSection(512), MAX_BYTES)
  reader.begin(method)
  return { reader, input: new InputBuffer() }
}

t.test('the end of a body is found in the order of RFC 9112 §6.3', async (t) => {
  const cases: [method: string, head: string, bodyLength: number, keepAlive: boolean][] = [
    ['GET', '1.1 200 OK|Content-Length: 5', 5, true],
    ['GET', '1.1 200 OK|Content-Length: 0', NO_BODY, true],
    ['GET', '1.1 200 OK|Transfer-Encoding: Chunked', CHUNKED_BODY, true],
    ['GET', '1.1 200 OK', UNTIL_CLOSE, false],
    ['GET', '1.0 200 OK|Content-Length: 5|Connection: keep-alive', 5, false],
    ['GET', '1.1 200 OK|Content-Length: 5|Connection: x, Close', 5, false],
    ['HEAD', '1.1 200 OK|Content-Length: 5', NO_BODY, true],
    ['HEAD', '1.1 200 OK|Transfer-Encoding: chunked', NO_BODY, true],
    ['GET', '1.1 204 No Content|Content-Length: 5', NO_BODY, true],
    ['GET', '1.1 304 Not Modified|Content-Length: 5', NO_BODY, true],
    ['GET', '1.1 200', UNTIL_CLOSE, false],
    ['GET', '1.1 200 |Content-Length: 5', 5, true],
  ]
  for (const [method, head, bodyLength, keepAlive] of cases) {
    const { reader, input } = reading(method)
    input.append(Buffer.from(`HTTP/${head.replaceAll('|', '\r\n')}\r\n\r\n`))
    t.equal(reader.take(input), 1, head)
    t.match(reader, { bodyLength, keepAlive }, `${method} ${head}`)
    t.equal(input.available, 0, `${head}: all of it is taken`)
  }
})

t.test('a head is the same however it is cut into packets', async (t) => {
  const head = 'HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 200 OK\r\nA: b\r\n\r\n'
  const { reader, input } = reading('GET')
  const seen: string[] = []
  for (const octet of Buffer.from(head)) {
    input.append(Buffer.from([octet]))
    if (reader.take(input) === 1) seen.push(`${reader.status} ${reader.fields.list.join('=')}`)
  }
  t.same(seen, ['103 link=</a>', '200 a=b'])
})

t.test('all heads of one response together have a bound', async (t) => {
  const endless: [what: string, begin: string, more: string][] = [
    ['one value', 'HTTP/1.1 200 OK\r\nA: ', 'x'.repeat(1000)],
    ['one name', 'HTTP/1.1 200 OK\r\n', 'x'.repeat(1000)],
    ['fields', 'HTTP/1.1 200 OK\r\n', `A: ${'x'.repeat(1000)}\r\n`],
    ['interim responses', '', `HTTP/1.1 103 X\r\nA: ${'x'.repeat(9000)}\r\n\r\n`],
  ]
  for (const [what, begin, more] of endless) {
    const { reader, input } = reading('GET')
    input.append(Buffer.from(begin))
    let bytes = begin.length
    while (reader.take(input) >= 0) {
      bytes += more.length
      if (bytes > 1_000_000) break
      input.append(Buffer.from(more))
    }
    t.ok(bytes <= MAX_BYTES + more.length, `${what}: refused after ${bytes} bytes`)
    t.ok(reader.tooLarge, what)
  }
})

t.test('a response may have 32 interim ones ahead of it, and no more', async (t) => {
  const { reader, input } = reading('GET')
  for (let i = 0; i < 33; i++) input.append(Buffer.from('HTTP/1.1 103 X\r\n\r\n'))
  for (let i = 0; i < 32; i++) t.equal(reader.take(input), 1)
  t.equal(reader.take(input), -1)
  t.match(reader.reason, /interim/)
})
