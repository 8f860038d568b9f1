import { DevelopmentAuthority } from '@larder/certs'
import t, { type Test } from 'tap'
import { type Edge, startEdge } from '../support/edge.ts'
import { HandClock } from '../support/hand-clock.ts'
import { type ScriptedOrigin, startScriptedOrigin, type Wire } from '../support/scripted-origin.ts'

type Ending = (wire: Wire) => void
const FRESH = { 'Cache-Control': 'max-age=60' }
const CHUNKED = { ...FRESH, 'Transfer-Encoding': 'chunked' }
const COUNTED = { ...FRESH, 'Content-Length': '20' }

const fin: Ending = (wire) => wire.cut()
const reset: Ending = (wire) => wire.reset()
const stall: Ending = () => {}

const CUTS: [what: string, fields: Record<string, string>, body: string, ending: Ending][] = [
  ['a counted body ends early', COUNTED, 'ten bytes.', fin],
  ['a counted body is reset', COUNTED, 'ten bytes.', reset],
  ['a counted body does not come', COUNTED, '', fin],
  ['a counted body stalls', COUNTED, 'ten bytes.', stall],
  ['chunks end in a size', CHUNKED, 'a\r\nten bytes.\r\n1', fin],
  ['chunks end behind a size', CHUNKED, 'a\r\n', fin],
  ['chunks end in the data', CHUNKED, 'a\r\nten b', fin],
  ['chunks end ahead of the CRLF', CHUNKED, 'a\r\nten bytes.', fin],
  ['chunks end in the CRLF', CHUNKED, 'a\r\nten bytes.\r', fin],
  ['chunks end ahead of the last one', CHUNKED, 'a\r\nten bytes.\r\n', fin],
  ['chunks end behind the last one', CHUNKED, 'a\r\nten bytes.\r\n0\r\n', fin],
  ['chunks end in the trailers', CHUNKED, 'a\r\nten bytes.\r\n0\r\nA: b\r\n', fin],
  ['chunks are reset', CHUNKED, 'a\r\nten bytes.\r\n', reset],
  ['chunks stall', CHUNKED, 'a\r\nten bytes.\r\n', stall],
  ['a body until the end is reset', FRESH, 'ten bytes.', reset],
  ['a body until the end stalls', FRESH, 'ten bytes.', stall],
]

const OPTIONS = { originTimeouts: { idle: '400ms' } }

for (const protocol of ['h1', 'h2'] as const) {
  for (const clients of [1, 20]) {
    t.test(
      `a cut answer is seen as cut by ${clients} waiting, and not stored (RFC 9112 §8, RFC 9111 §3.3) [${protocol}]`,
      async (t) => {
        const edge = await startEdge(t, protocol, { tenant: OPTIONS })
        for (const [what, fields, body, ending] of CUTS) {
          await showsCut(t, edge, edge.origin, what, clients, (wire) => {
            wire.head(200, fields).write(body)
            ending(wire)
          })
        }
      },
    )
  }
}

t.test('a cut answer over TLS is seen as cut, and not stored (RFC 9112 §9.8)', async (t) => {
  const [edge, origin] = await startSecureEdge(t)
  await showsCut(t, edge, origin, 'a counted body ends early', 20, (wire) => {
    wire.head(200, COUNTED).write('ten bytes.').cut()
  })
  await showsCut(t, edge, origin, 'chunks end ahead of the last one', 20, (wire) => {
    wire.head(200, CHUNKED).chunk('ten bytes.').cut()
  })
})

t.test(
  'over TLS a body until the end of the connection is not stored: a cut would not show (RFC 9112 §9.8)',
  async (t) => {
    const [edge, origin] = await startSecureEdge(t)
    const script = (body: string) => (wire: Wire) => void wire.head(200, FRESH).write(body).cut()
    origin.answers('/until-close', script('cut of'), script('cut off, or not'))
    t.equal((await edge.get('/until-close')).text, 'cut of')
    t.equal((await edge.get('/until-close')).text, 'cut off, or not')
  },
)

/** All of `clients` see that the answer is not whole, and the next one gets a good one. */
async function showsCut(
  t: Test,
  edge: Edge,
  origin: ScriptedOrigin,
  what: string,
  clients: number,
  script: (wire: Wire) => void,
): Promise<void> {
  const path = `/${what.replaceAll(' ', '-')}`
  const bad = Array.from({ length: clients + 2 }, () => script)
  origin.answers(path, ...bad, { fields: FRESH, body: 'good' })
  const answers = await Promise.all(Array.from({ length: clients }, () => edge.get(path)))
  for (const { status, complete } of answers) {
    t.notOk(status === 200 && complete, `${what}: it can be told (${status})`)
  }
  t.ok(
    origin.asked(path) <= clients + 1,
    `${what}: the origin was asked ${origin.asked(path)} times`,
  )
  origin.answers(path, { fields: FRESH, body: 'good' })
  const good = await edge.get(path)
  t.match([good.status, good.text], [200, 'good'], `${what}: nothing of it is stored`)
}

async function startSecureEdge(t: Test): Promise<[Edge, ScriptedOrigin]> {
  const authority = new DevelopmentAuthority(t.testdir({}))
  const pair = await authority.certificateFor('origin', ['127.0.0.1'])
  const origin = await startScriptedOrigin(t, new HandClock(), pair)
  const tenant = {
    ...OPTIONS,
    origins: [{ url: origin.url }],
    originTls: { caFile: authority.certificateFile },
  }
  return [await startEdge(t, 'h1', { tenant }), origin]
}
