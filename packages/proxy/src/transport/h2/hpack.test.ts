import fc from 'fast-check'
import t from 'tap'
import { Fields } from '../../http/fields.ts'
import { HpackDecoder } from './hpack-decoder.ts'
import { encodeHeadBlock, encodeTrailerBlock } from './hpack-encoder.ts'
import { decodeHuffman } from './huffman.ts'
import { huffmanText, type Line, ReferenceEncoder } from './test-support/block.ts'

function decode(decoder: HpackDecoder, block: Buffer): Line[] {
  const lines: Line[] = []
  const result = decoder.decode(block, 0, block.length, {
    add: ({ name, value }) => lines.push([name, value]) > 0,
  })
  t.equal(result, 'done')
  return lines
}

const octets = fc
  .uint8Array({ maxLength: 200 })
  .map((bytes) => Buffer.from(bytes).toString('latin1'))
/** Few names and values, so that the tables are hit. */
const line = fc.oneof(
  fc.tuple(fc.constantFrom(':path', 'cookie', 'x-a', 'user-agent'), fc.constantFrom('/', 'a', 'b')),
  fc.tuple(octets, octets),
)

t.test('every encoder that keeps to RFC 7541 is understood', async (t) => {
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.array(line, { maxLength: 12 }), fc.option(fc.nat({ max: 4096 })))),
      fc.infiniteStream(fc.nat({ max: 1000 })),
      (blocks, choices) => {
        const encoder = new ReferenceEncoder()
        const decoder = new HpackDecoder()
        for (const [lines, resize] of blocks) {
          const update = resize === null ? Buffer.alloc(0) : encoder.resize(resize)
          const block = encoder.encode(lines, () => choices.next().value)
          t.strictSame(decode(decoder, Buffer.concat([update, block])), lines)
        }
      },
    ),
    { numRuns: 300, seed: 1 },
  )
})

t.test('Huffman text of every octet (RFC 7541 §5.2)', async (t) => {
  fc.assert(
    fc.property(octets, (text) => {
      const coded = huffmanText(text)
      const decoder = new HpackDecoder()
      t.strictSame(decode(decoder, Buffer.concat([Buffer.from('\x00\x01x', 'latin1'), coded])), [
        ['x', text],
      ])
    }),
    { numRuns: 300, seed: 2 },
  )
})

t.test('octets that are no Huffman text never write beyond the target', async (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 64 }), (bytes) => {
      const length = decodeHuffman(bytes, 0, bytes.length, Buffer.alloc(103))
      t.ok(length <= Math.floor((bytes.length * 8) / 5))
    }),
    { numRuns: 500, seed: 3 },
  )
})

t.test('requests with Huffman text and the dynamic table (RFC 7541 C.4)', async (t) => {
  const decoder = new HpackDecoder()
  const common: Line[] = [
    [':method', 'GET'],
    [':scheme', 'http'],
    [':path', '/'],
    [':authority', 'www.example.com'],
  ]
  t.strictSame(decode(decoder, Buffer.from('828684418cf1e3c2e5f23a6ba0ab90f4ff', 'hex')), common)
  t.strictSame(decode(decoder, Buffer.from('828684be5886a8eb10649cbf', 'hex')), [
    ...common,
    ['cache-control', 'no-cache'],
  ])
  t.strictSame(
    decode(decoder, Buffer.from('828785bf408825a849e95ba97d7f8925a849e95bb8e8b4bf', 'hex')),
    [
      [':method', 'GET'],
      [':scheme', 'https'],
      [':path', '/index.html'],
      [':authority', 'www.example.com'],
      ['custom-key', 'custom-value'],
    ],
  )
})

t.test('eviction by responses (RFC 7541 C.5) in a table of 256 octets', async (t) => {
  const decoder = new HpackDecoder()
  const first = `3fe101${'4803333032580770726976617465611d4d6f6e2c203231204f637420323031332032303a31333a323120474d546e1768747470733a2f2f7777772e6578616d706c652e636f6d'}`
  t.equal(decode(decoder, Buffer.from(first, 'hex')).length, 4)
  // ":status 307" pushes ":status 302" out.
  const second = decode(decoder, Buffer.from('4803333037c1c0bf', 'hex'))
  t.strictSame(second[0], [':status', '307'])
  t.strictSame(second[3], ['location', 'https://www.example.com'])
})

t.test('a block cut anywhere is broken or shorter, never a crash', async (t) => {
  const block = new ReferenceEncoder().encode(
    [
      [':method', 'GET'],
      ['x-long', 'v'.repeat(300)],
      ['cookie', 'abc'],
    ],
    () => 1,
  )
  for (let end = 0; end < block.length; end++) {
    const lines: string[] = []
    const result = new HpackDecoder().decode(block, 0, end, {
      add: ({ name }) => lines.push(name) > 0,
    })
    t.ok(result === 'broken' || (result === 'done' && lines.length < 3))
  }
})

t.test('our own blocks are read as what they say, on a fresh connection each', async (t) => {
  const name = fc.stringMatching(/^[a-z][a-z0-9-]{0,40}$/)
  const value = fc.stringMatching(/^([!-~]([ -~]{0,300}[!-~])?)?$/)
  fc.assert(
    fc.property(
      fc.constantFrom(200, 204, 206, 304, 404, 418, 503),
      fc.array(fc.tuple(name, value), { maxLength: 20 }),
      (status, lines) => {
        const sent = lines.filter(([name]) => !/^(keep-alive|connection|upgrade)$/.test(name))
        const block = encodeHeadBlock(status, Fields.from(lines), null)
        t.strictSame(decode(new HpackDecoder(), block), [[':status', String(status)], ...sent])
      },
    ),
    { numRuns: 300, seed: 4 },
  )
})

t.test(
  'fields of the connection and lines that no HTTP carries are left out (§8.2.2)',
  async (t) => {
    const fields = new Fields([
      ...['connection', 'close', 'keep-alive', '5', 'proxy-connection', 'x', 'upgrade', 'h2c'],
      ...[
        'transfer-encoding',
        'chunked',
        'x-bad',
        'a\r\nb',
        'bad name',
        'x',
        '',
        'x',
        'x-good',
        'yes',
      ],
    ])
    t.strictSame(decode(new HpackDecoder(), encodeTrailerBlock(fields)), [['x-good', 'yes']])
  },
)

t.test('Date is added only where there is none', async (t) => {
  const date = 'Fri, 20 Nov 2026 08:00:00 GMT'
  const block = encodeHeadBlock(200, new Fields(), date)
  t.strictSame(decode(new HpackDecoder(), block)[1], ['date', date])
  const own = encodeHeadBlock(200, new Fields(['date', 'x']), date)
  t.strictSame(decode(new HpackDecoder(), own).slice(1), [['date', 'x']])
})
