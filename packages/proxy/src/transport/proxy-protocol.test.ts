import t from 'tap'
import { parseProxyHeader } from './proxy-protocol.ts'

const SIGNATURE = '\r\n\r\n\0\r\nQUIT\n'

function v2(versionAndCommand: number, family: number, content: Buffer, size = content.length) {
  const head = Buffer.from([versionAndCommand, family, size >> 8, size & 255])
  return Buffer.concat([Buffer.from(SIGNATURE, 'latin1'), head, content])
}

const IPV4 = Buffer.from([192, 0, 2, 1, 198, 51, 100, 7, 0x1f, 0x90, 0x01, 0xbb])
const IPV6 = Buffer.concat([
  Buffer.from('20010db8000000000000000000000001', 'hex'),
  Buffer.from('20010db8000000000000000000000002', 'hex'),
  Buffer.from([0x1f, 0x90, 0x01, 0xbb]),
])
const EXTENSION = Buffer.from([0x04, 0, 2, 1, 2])

const source4 = { address: '192.0.2.1', port: 8080, localPort: 443 }
const source6 = { address: '2001:db8::1', port: 8080, localPort: 443 }

const VALID: [string, Buffer, unknown][] = [
  ['v1 TCP4', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.7 8080 443\r\n'), source4],
  ['v1 TCP6', Buffer.from('PROXY TCP6 2001:db8::1 2001:db8::2 8080 443\r\n'), source6],
  ['v1 UNKNOWN', Buffer.from('PROXY UNKNOWN\r\n'), null],
  ['v1 UNKNOWN with words', Buffer.from('PROXY UNKNOWN ffff:: ffff:: 1 2\r\n'), null],
  ['v2 TCP4', v2(0x21, 0x11, IPV4), source4],
  ['v2 TCP4 with extensions', v2(0x21, 0x11, Buffer.concat([IPV4, EXTENSION])), source4],
  ['v2 TCP6', v2(0x21, 0x21, IPV6), source6],
  ['v2 LOCAL', v2(0x20, 0x00, Buffer.alloc(0)), null],
  ['v2 LOCAL with addresses', v2(0x20, 0x11, IPV4), null],
  ['v2 UNSPEC', v2(0x21, 0x00, EXTENSION), null],
]

t.test('a header is read wherever it is cut, and takes no octet of what follows', async (t) => {
  for (const [name, bytes, source] of VALID) {
    const followed = Buffer.concat([bytes, Buffer.from('GET / HTTP/1.1\r\n')])
    for (let length = 0; length <= followed.length; length++) {
      const header = parseProxyHeader(followed.subarray(0, length))
      if (length < bytes.length) t.same(header, { kind: 'more' }, `${name}, ${length} octets`)
      else t.same(header, { kind: 'header', length: bytes.length, source }, name)
    }
  }
})

t.test('anything else is invalid', async (t) => {
  const invalid: [string, Buffer][] = [
    ['a request', Buffer.from('GET / HTTP/1.1\r\n')],
    ['POST', Buffer.from('POST / HTTP/1.1\r\n')],
    ['TLS', Buffer.from([0x16, 3, 1])],
    ['an empty line', Buffer.from('\r\nGET')],
    ['lower case', Buffer.from('PROXY tcp4 192.0.2.1 198.51.100.7 8080 443\r\n')],
    ['two spaces', Buffer.from('PROXY  TCP4 192.0.2.1 198.51.100.7 8080 443\r\n')],
    ['a word too many', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.7 8080 443 x\r\n')],
    ['a word too few', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.7 8080\r\n')],
    ['wrong family', Buffer.from('PROXY TCP6 192.0.2.1 198.51.100.7 8080 443\r\n')],
    ['odd address', Buffer.from('PROXY TCP4 192.0.2.256 198.51.100.7 8080 443\r\n')],
    ['zone', Buffer.from('PROXY TCP6 fe80::1%eth0 2001:db8::2 8080 443\r\n')],
    ['odd port', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.7 65536 443\r\n')],
    ['padded port', Buffer.from('PROXY TCP4 192.0.2.1 198.51.100.7 080 443\r\n')],
    ['endless line', Buffer.from(`PROXY UNKNOWN ${'x'.repeat(107)}`)],
    ['v2 version 1', v2(0x11, 0x11, IPV4)],
    ['v2 command 2', v2(0x22, 0x11, IPV4)],
    ['v2 UDP', v2(0x21, 0x12, IPV4)],
    ['v2 unix', v2(0x21, 0x31, Buffer.alloc(216))],
    ['v2 short addresses', v2(0x21, 0x11, IPV4.subarray(0, 11))],
    ['v2 short TCP6', v2(0x21, 0x21, IPV4)],
    ['v2 huge', v2(0x21, 0x11, IPV4, 65_535)],
  ]
  for (const [name, bytes] of invalid) t.equal(parseProxyHeader(bytes).kind, 'invalid', name)
})
