import t from 'tap'
import type { RequestBody } from '../../packages/proxy/src/transport/exchange.ts'
import { startEdge } from '../support/edge.ts'
import { HandClock } from '../support/hand-clock.ts'
import { fetchFrom, startOrigins } from '../support/origin-client.ts'
import {
  type Script,
  type ScriptedOrigin,
  startScriptedOrigin,
  type Wire,
} from '../support/scripted-origin.ts'

const STOLEN = 'HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 6\r\n\r\nstolen'
const NO_STORE = { 'Cache-Control': 'no-store' }

const POISONS: [what: string, method: string, poison: (wire: Wire) => void][] = [
  ['bytes after the counted body', 'GET', (wire) => wire.answer({ body: 'one' }).write('more')],
  ['a second answer', 'GET', (wire) => wire.answer({ body: 'one' }).write(STOLEN)],
  [
    'an answer behind the last chunk',
    'GET',
    (wire) =>
      wire.head(200, { 'Transfer-Encoding': 'chunked' }).chunk('one').lastChunk().write(STOLEN),
  ],
  ['content after 204', 'GET', (wire) => wire.head(204).write(STOLEN)],
  ['content after 304', 'GET', (wire) => wire.head(304, { ETag: '"a"' }).write(STOLEN)],
  [
    'content after the answer to HEAD',
    'HEAD',
    (wire) => wire.head(200, { 'Content-Length': '6' }).write(STOLEN),
  ],
]

t.test(
  'a connection on which the origin said more than was asked is not used again (RFC 9112 §6.3, §9.2)',
  async (t) => {
    for (const [what, method, poison] of POISONS) {
      const edge = await startEdge(t, 'h1')
      const used = new Set<Wire['socket']>()
      edge.origin
        .answers('/poison', (wire) => {
          used.add(wire.socket)
          poison(wire)
        })
        .answers('/next', (wire) => {
          t.notOk(used.has(wire.socket), `${what}: another connection is used`)
          wire.answer({ fields: NO_STORE, body: 'mine' })
        })
      await edge.request({ method, path: '/poison', fields: { 'If-None-Match': '"a"' } })
      for (let i = 0; i < 3; i++) {
        const next = await edge.get('/next')
        t.match([next.status, next.text], [200, 'mine'], what)
      }
    }
  },
)

t.test('what comes unasked on an idle connection ends it', async (t) => {
  const edge = await startEdge(t, 'h1')
  let first: Wire['socket'] | undefined
  let closed = false
  edge.origin
    .answers('/first', (wire) => {
      first = wire.socket
      first.on('close', () => {
        closed = true
        edge.origin.noticed()
      })
      wire.answer({ fields: NO_STORE, body: 'one' })
    })
    .answers('/next', (wire) => {
      t.not(wire.socket, first)
      wire.answer({ fields: NO_STORE, body: 'mine' })
    })
  await edge.get('/first')
  first?.write(STOLEN)
  await edge.origin.until(() => closed)
  t.equal((await edge.get('/next')).text, 'mine')
})

t.test('a connection is used again when both messages were whole', async (t) => {
  const edge = await startEdge(t, 'h1')
  const used = new Set<Wire['socket']>()
  edge.origin.answers('/a', (wire) => {
    used.add(wire.socket)
    wire.answer({ fields: NO_STORE, body: 'x' })
  })
  for (let i = 0; i < 5; i++) await edge.get('/a')
  await edge.head('/a')
  await edge.request({ method: 'POST', path: '/a', body: 'content' })
  await edge.get('/a')
  t.equal(used.size, 1)
})

t.test(
  'who waits for the connection does not get what was said too much on it (RFC 9112 §9.2)',
  async (t) => {
    const origin = await startScriptedOrigin(t, new HandClock())
    const origins = startOrigins(t, { origins: [{ url: origin.url }], originMaxConnections: 1 })
    origin.answersElse((wire, { target }) => {
      wire.write(`HTTP/1.1 200 OK\r\nContent-Length: ${target.length}\r\n\r\n${target}${STOLEN}`)
    })
    const targets = ['/a', '/b', '/c', '/d']
    const texts = await Promise.all(targets.map((target) => fetchFrom(origins, target)))
    t.same(
      texts.map(({ text }) => text),
      targets,
    )
  },
)

t.test(
  'a connection whose answer came before the request was whole is not used again',
  async (t) => {
    const origin = await startScriptedOrigin(t, new HandClock())
    const origins = startOrigins(t, { origins: [{ url: origin.url }], originMaxConnections: 1 })
    origin.answersElse((wire, { target }) => void wire.answer({ body: target }))
    const halfSent: RequestBody = {
      length: 100,
      consume: (sink) => sink.onChunk(Buffer.from('GET /smuggled HTTP/1.1\r\n\r\n')),
      pause() {},
      resume() {},
    }
    const early = fetchFrom(origins, '/early', undefined, halfSent)
    const next = fetchFrom(origins, '/next')
    t.equal((await early).text, '/early')
    t.equal((await next).text, '/next')
    t.same(
      origin.requests.map(({ target }) => target),
      ['/early', '/next'],
    )
  },
)

t.test('a connection whose last bytes met a slow client still hears the next answer', async (t) => {
  const edge = await startEdge(t, 'h1', { tenant: { originMaxConnections: 1 } })
  edge.origin
    .answers('/large', { fields: NO_STORE, body: Buffer.alloc(8 * 1024 * 1024, 'x') })
    .answers('/next', { fields: NO_STORE, body: 'mine' })
  const large = edge.open({ path: '/large' })
  large.pause()
  const next = edge.get('/next')
  large.resume()
  t.equal((await large.done()).body.length, 8 * 1024 * 1024)
  t.equal((await next).text, 'mine')
  t.equal((await edge.get('/next')).text, 'mine')
})

t.test('a POST whose connection breaks is delivered once (RFC 9110 §9.2.2)', async (t) => {
  const edge = await startEdge(t, 'h1')
  edge.origin
    .answers('/warm', { fields: NO_STORE, body: 'x' })
    .answers('/order', (wire) => wire.reset())
  await edge.get('/warm')
  for (const body of ['order', undefined]) {
    const before = edge.origin.asked('/order')
    const answer = await edge.request({ method: 'POST', path: '/order', body })
    t.equal(answer.status, 502)
    t.equal(edge.origin.asked('/order'), before + 1)
  }
})

t.test(
  'a GET that met a closing connection is sent again: 0 of 2,000 lost (RFC 9112 §9.3.1)',
  async (t) => {
    const edge = await startEdge(t, 'h2')
    edge.origin.answers('/closing', closesAfter(3))
    let lost = 0
    const client = async () => {
      for (let i = 0; i < 250; i++) {
        const { status, text } = await edge.get('/closing')
        if (status !== 200 || text !== 'good') lost++
      }
    }
    await Promise.all(Array.from({ length: 8 }, client))
    t.equal(lost, 0)
  },
)

/** Answers as if the connection would stay, and closes it behind every so many answers, without a word. */
function closesAfter(answers: number): Script {
  const counts = new WeakMap<Wire['socket'], number>()
  return (wire) => {
    const count = (counts.get(wire.socket) ?? 0) + 1
    counts.set(wire.socket, count)
    if (count > answers) return wire.reset()
    wire.answer({ fields: NO_STORE, body: 'good' })
    if (count === answers) setImmediate(() => wire.end())
  }
}

t.test('40 clients of one cold object whose fetch fails are all answered', async (t) => {
  const edge = await startEdge(t, 'h2')
  const failures: [string, (origin: ScriptedOrigin) => void][] = [
    ['reset', (origin) => origin.answers('/reset', (wire) => wire.reset())],
    ['503', (origin) => origin.answers('/503', { status: 503 })],
    ['garbage', (origin) => origin.answers('/garbage', (wire) => void wire.write('garbage'))],
  ]
  for (const [what, script] of failures) {
    script(edge.origin)
    const answers = await Promise.all(Array.from({ length: 40 }, () => edge.get(`/${what}`)))
    t.ok(
      answers.every(({ status, complete }) => complete && status >= 502 && status <= 503),
      what,
    )
    t.ok(
      edge.origin.asked(`/${what}`) <= 4,
      `${what}: asked ${edge.origin.asked(`/${what}`)} times`,
    )
  }
})
