import type { ClientExchange } from '../support/client.ts'
import { onBoth } from '../support/edge.ts'
import type { FieldValues } from '../support/message-reader.ts'
import type { PlainAnswer } from '../support/scripted-origin.ts'

/**
 * Memory hits have a synchronous door of their own. A request with Pragma, which says nothing (RFC 9111 §5.4), takes the
 * general one: both must give the same answer.
 */
const GENERAL_DOOR = { Pragma: 'general-door' }

const STORED: readonly [string, PlainAnswer][] = [
  ['plain', { fields: { 'Cache-Control': 'max-age=60' }, body: 'hello' }],
  ['empty', { fields: { 'Cache-Control': 'max-age=60' } }],
  ['large', { fields: { 'Cache-Control': 'max-age=60' }, body: 'x'.repeat(500_000) }],
  ['tagged', { fields: { 'Cache-Control': 'max-age=60', ETag: '"a"' }, body: 'hello' }],
  ['weak', { fields: { 'Cache-Control': 'max-age=60', ETag: 'W/"a"' }, body: 'hello' }],
  ['aged', { fields: { 'Cache-Control': 'max-age=60', Age: '7' }, body: 'hello' }],
  ['404', { status: 404, fields: { 'Cache-Control': 'max-age=60', ETag: '"a"' }, body: 'no' }],
  ['204', { status: 204, fields: { 'Cache-Control': 'max-age=60', ETag: '"a"' } }],
  ['299', { status: 299, fields: { 'Cache-Control': 'max-age=60', ETag: '"a"' }, body: 'odd' }],
  ['301', { status: 301, fields: { 'Cache-Control': 'max-age=60', Location: '/x' }, body: 'go' }],
  ['vary', { fields: { 'Cache-Control': 'max-age=60', Vary: 'Accept-Encoding' }, body: 'hello' }],
  ['vary-2', { fields: { 'Cache-Control': 'max-age=60', Vary: 'X-A, X-B' }, body: 'hello' }],
  [
    'lines',
    { fields: { 'Cache-Control': 'max-age=60', 'X-Many': ['1', '2', '1'], Link: ['<a>', '<b>'] } },
  ],
  [
    'odd',
    {
      fields: {
        'Cache-Control': 'max-age=60',
        'X-Empty': '',
        'X-Latin': 'caf\u00e9',
        Warning: '199 - x',
      },
    },
  ],
  [
    'consumed',
    { fields: { 'Larder-Cache-Control': 'max-age=60', 'Surrogate-Control': 'max-age=1' } },
  ],
  ['private', { fields: { 'Cache-Control': 'max-age=60, private="x-p"', 'X-P': '1' } }],
  [
    'typed',
    {
      fields: {
        'Cache-Control': 'max-age=60',
        'Content-Type': 'text/html',
        'Content-Language': 'de',
        'Content-Encoding': 'x-y',
        'Last-Modified': 'Mon, 01 Jun 2026 10:00:00 GMT',
      },
      body: 'hello',
    },
  ],
]

const REQUESTS: readonly FieldValues[] = [
  {},
  { 'If-None-Match': '"a"' },
  { 'If-None-Match': 'W/"a"' },
  { 'If-None-Match': '*' },
  { 'If-None-Match': '"b"' },
  { 'If-None-Match': ['"b"', '"a"'] },
  { 'If-Modified-Since': 'Mon, 01 Jun 2026 10:00:00 GMT' },
  { 'If-Modified-Since': 'Mon, 01 Jun 2026 09:00:00 GMT' },
  { 'If-Modified-Since': 'Thu, 01 Jan 2099 00:00:00 GMT', 'If-None-Match': '"b"' },
  { 'If-Modified-Since': ['Thu, 01 Jan 2099 00:00:00 GMT', 'Thu, 01 Jan 2099 00:00:00 GMT'] },
  { 'Accept-Encoding': 'gzip, br' },
  { Authorization: 'Basic dTpw' },
  { Cookie: 'a=1' },
  { 'X-A': '' },
]

onBoth(
  'the door for memory hits answers as the general one does (RFC 9111 §4)',
  async (t, { request, origin, clock }) => {
    for (const [name, answer] of STORED) {
      const path = `/${name}`
      origin.answers(path, answer)
      for (const fields of REQUESTS) {
        // Variants are stored by what comes first: both doors then find the same.
        await request({ path, fields: { ...fields, ...GENERAL_DOOR } })
        clock.advanceMs(100)
        for (const method of ['GET', 'HEAD']) {
          const asked = origin.asked(path)
          const general = await request({ method, path, fields: { ...fields, ...GENERAL_DOOR } })
          const direct = await request({ method, path, fields })
          t.same(seen(direct), seen(general), `${method} ${name} ${JSON.stringify(fields)}`)
          t.equal(origin.asked(path), asked)
        }
      }
    }
  },
)

function seen(exchange: ClientExchange): unknown {
  const { status, fields, body, complete, surplus } = exchange
  const lines = [...fields].filter(([name]) => name !== 'connection').map(([n, v]) => `${n}: ${v}`)
  return { status, lines: lines.sort(), body: body.toString('latin1'), complete, surplus }
}
