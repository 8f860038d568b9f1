import { freshPath } from '../support/asserts.ts'
import { type Edge, onBoth } from '../support/edge.ts'
import { Http1Client } from '../support/h1-client.ts'
import { Http2Client } from '../support/h2-client.ts'
import type { FieldValues } from '../support/message-reader.ts'
import type { PlainAnswer } from '../support/scripted-origin.ts'

const CLIENTS = 20
const FRESH = { 'Cache-Control': 'max-age=60' }

/** Resolves when the proxy has read what was sent before. */
async function proxyHasRead({ open, origin }: Edge): Promise<void> {
  origin.answers('/beside', {})
  await open({ path: '/beside' }).done()
  await open({ path: '/beside' }).done()
}

onBoth('concurrent misses of one key ask the origin once (RFC 9111 §4)', async (t, edge) => {
  const { open, origin } = edge
  const barrier = Promise.withResolvers<void>()
  origin.answers('/', async (wire) => {
    await barrier.promise
    wire.answer({ fields: FRESH, body: 'hello' })
  })
  const exchanges = Array.from({ length: CLIENTS }, () => open({ path: '/' }))
  await proxyHasRead(edge)
  barrier.resolve()
  const answers = await Promise.all(exchanges.map((exchange) => exchange.done()))
  for (const answer of answers) t.equal(answer.text, 'hello')
  t.equal(origin.asked('/'), 1)
  const collapsed = answers.filter(({ cacheStatus }) => /; collapsed/.test(cacheStatus))
  t.equal(collapsed.length, CLIENTS - 1)
  t.match(collapsed[0].cacheStatus, /^Larder; fwd=uri-miss; fwd-status=200; stored; collapsed/)
})

onBoth(
  'followers read along while the answer is still coming (RFC 9111 §4)',
  async (t, { open, origin }) => {
    const barrier = Promise.withResolvers<void>()
    origin.answers('/', async (wire) => {
      wire.head(200, { ...FRESH, 'Content-Length': '10' }).write('01234')
      await barrier.promise
      wire.write('56789')
    })
    const leader = open({ path: '/' })
    await leader.bodyCame(5)
    const follower = open({ path: '/' })
    await follower.bodyCame(5)
    t.equal(follower.text, '01234')
    barrier.resolve()
    for (const exchange of [leader, follower]) t.equal((await exchange.done()).text, '0123456789')
    t.equal(origin.asked(), 1)
  },
)

onBoth(
  'followers and store survive the client whose request was sent (RFC 9111 §4)',
  async (t, { get, open, origin }) => {
    const barrier = Promise.withResolvers<void>()
    origin.answers('/', async (wire) => {
      wire.head(200, { ...FRESH, 'Content-Length': '10' }).write('01234')
      await barrier.promise
      wire.write('56789')
    })
    const leader = open({ path: '/' })
    await leader.bodyCame(5)
    const follower = open({ path: '/' })
    await follower.bodyCame(5)
    leader.leave()
    await leader.done()
    barrier.resolve()
    t.equal((await follower.done()).text, '0123456789')
    t.match((await get('/')).cacheStatus, /^Larder; hit/)
    t.equal(origin.asked(), 1)
  },
)

onBoth('a leader that leaves before the head takes nobody along (RFC 9111 §4)', async (t, edge) => {
  const { open, origin } = edge
  const barrier = Promise.withResolvers<void>()
  origin.answers('/', async (wire) => {
    await barrier.promise
    wire.answer({ fields: FRESH, body: 'hello' })
  })
  const leader = open({ path: '/' })
  await origin.untilAsked(1)
  const follower = open({ path: '/' })
  await proxyHasRead(edge)
  leader.leave()
  await leader.done()
  await proxyHasRead(edge)
  barrier.resolve()
  t.equal((await follower.done()).text, 'hello')
  t.equal(origin.asked('/'), 1)
})

onBoth(
  'an answer for one client alone releases all who wait, at once and together (RFC 9111 §3)',
  async (t, edge) => {
    const { open, origin } = edge
    const barrier = Promise.withResolvers<void>()
    const together = Promise.withResolvers<void>()
    let number = 0
    origin.answers(
      '/',
      async (wire) => {
        await barrier.promise
        wire.answer({ fields: { ...FRESH, 'Set-Cookie': 'user=0' }, body: '0' })
      },
      async (wire) => {
        const mine = ++number
        await together.promise
        wire.answer({ fields: { ...FRESH, 'Set-Cookie': `user=${mine}` }, body: `${mine}` })
      },
    )
    const exchanges = Array.from({ length: CLIENTS }, () => open({ path: '/' }))
    await proxyHasRead(edge)
    barrier.resolve()
    // All the others are at the origin at the same time: none waits for another one's answer.
    await origin.untilAsked(CLIENTS, '/')
    together.resolve()
    const answers = await Promise.all(exchanges.map((exchange) => exchange.done()))
    const bodies = new Set(answers.map(({ text }) => text))
    t.equal(bodies.size, CLIENTS, 'each has an answer of its own')
    for (const answer of answers) t.equal(answer.fields.get('set-cookie'), `user=${answer.text}`)
    t.equal(origin.asked('/'), CLIENTS)
  },
)

onBoth(
  'a key whose answers are not stored is remembered: the next requests do not wait (RFC 9111 §3)',
  async (t, { get, open, origin }) => {
    const barrier = Promise.withResolvers<void>()
    origin.answers('/', { fields: { 'Cache-Control': 'no-store' } }, async (wire) => {
      await barrier.promise
      wire.answer({ fields: { 'Cache-Control': 'no-store' } })
    })
    await get('/')
    const exchanges = Array.from({ length: 5 }, () => open({ path: '/' }))
    await origin.untilAsked(6)
    barrier.resolve()
    for (const exchange of exchanges) t.equal((await exchange.done()).status, 200)
  },
)

onBoth(
  'with storeSetCookie followers never get the cookie (RFC 9111 §7.3)',
  { rules: [{ path: '*', cache: { storeSetCookie: true } }] },
  async (t, edge) => {
    const { open, origin } = edge
    const barrier = Promise.withResolvers<void>()
    origin.answers('/', async (wire) => {
      await barrier.promise
      wire.answer({ fields: { ...FRESH, 'Set-Cookie': 'user=1' }, body: 'hello' })
    })
    const leader = open({ path: '/' })
    await origin.untilAsked(1)
    const followers = Array.from({ length: 5 }, () => open({ path: '/' }))
    await proxyHasRead(edge)
    barrier.resolve()
    t.equal((await leader.done()).fields.get('set-cookie'), 'user=1')
    for (const follower of followers) {
      t.equal((await follower.done()).text, 'hello')
      t.notOk(follower.fields.has('set-cookie'))
    }
    t.equal(origin.asked('/'), 1)
  },
)

onBoth(
  'followers never get the fields that private or no-cache name (RFC 9111 §5.2.2.4, §5.2.2.7)',
  { memory: { maxSize: '16MiB', maxObjectSize: '1KiB' } },
  async (t, edge) => {
    const { open, origin } = edge
    const answers: PlainAnswer[] = [
      { body: 'small' },
      { body: 'x'.repeat(2000) },
      { status: 503, body: 'later' },
    ]
    for (const answer of answers) {
      const barrier = Promise.withResolvers<void>()
      const path = freshPath()
      const cacheControl = `${answer.status === 503 ? '' : 'max-age=60, '}private="x-secret"`
      const fields = { 'Cache-Control': cacheControl, 'X-Secret': 'mine' }
      origin.answers(path, async (wire) => {
        await barrier.promise
        wire.answer({ ...answer, fields })
      })
      const leader = open({ path })
      await origin.untilAsked(1, path)
      const follower = open({ path })
      await proxyHasRead(edge)
      barrier.resolve()
      t.equal((await leader.done()).fields.get('x-secret'), 'mine')
      t.equal((await follower.done()).text, answer.body)
      t.notOk(follower.fields.has('x-secret'), `${answer.status ?? 200} ${answer.body?.length}`)
      t.equal(origin.asked(path), 1)
    }
  },
)

onBoth('a failing fetch answers everyone, with few more tries (RFC 9111 §4)', async (t, edge) => {
  const { open, origin } = edge
  const barrier = Promise.withResolvers<void>()
  origin.answers('/', async (wire) => {
    await barrier.promise
    wire.reset()
  })
  const exchanges = Array.from({ length: CLIENTS }, () => open({ path: '/' }))
  await proxyHasRead(edge)
  barrier.resolve()
  for (const exchange of exchanges) t.equal((await exchange.done()).status, 502)
  t.ok(origin.asked('/') <= 4, `asked ${origin.asked('/')} times`)
})

onBoth('an error status is shown to everyone who waits (RFC 9111 §4)', async (t, edge) => {
  const { open, origin } = edge
  const barrier = Promise.withResolvers<void>()
  origin.answers('/', async (wire) => {
    await barrier.promise
    wire.answer({ status: 503, body: 'later' })
  })
  const exchanges = Array.from({ length: CLIENTS }, () => open({ path: '/' }))
  await proxyHasRead(edge)
  barrier.resolve()
  for (const exchange of exchanges) {
    t.equal((await exchange.done()).status, 503)
    t.equal(exchange.text, 'later')
  }
  t.equal(origin.asked('/'), 1)
})

onBoth(
  'a body that is cut is cut for everyone who reads it (RFC 9112 §8)',
  async (t, { get, open, origin }) => {
    const barrier = Promise.withResolvers<void>()
    origin.answers(
      '/',
      async (wire) => {
        wire.head(200, { ...FRESH, 'Content-Length': '10' }).write('01234')
        await barrier.promise
        wire.reset()
      },
      { fields: FRESH, body: 'whole' },
    )
    const leader = open({ path: '/' })
    await leader.bodyCame(5)
    const follower = open({ path: '/' })
    await follower.bodyCame(5)
    barrier.resolve()
    for (const exchange of [leader, follower]) t.ok((await exchange.done()).cut)
    t.equal((await get('/')).text, 'whole')
  },
)

onBoth('a follower of another variant asks for its own (RFC 9111 §4.1)', async (t, edge) => {
  const { open, origin } = edge
  const barrier = Promise.withResolvers<void>()
  origin.answers('/', async (wire, { fields }) => {
    await barrier.promise
    const body = fields.get('x-kind') ?? ''
    wire.answer({ fields: { ...FRESH, Vary: 'X-Kind' }, body })
  })
  const kinds = ['a', 'b', 'c', 'a', 'b', 'c', 'a']
  const exchanges = kinds.map((kind) => open({ path: '/', fields: { 'X-Kind': kind } }))
  await proxyHasRead(edge)
  t.equal(origin.asked('/'), 1, 'nobody knows of Vary yet')
  barrier.resolve()
  for (const [index, exchange] of exchanges.entries()) {
    t.equal((await exchange.done()).text, kinds[index])
  }
  t.equal(origin.asked('/'), 3)
})

onBoth('validations of one stale response are one (RFC 9111 §4.3)', async (t, edge) => {
  const { get, open, origin, clock } = edge
  const barrier = Promise.withResolvers<void>()
  const fields = { ...FRESH, ETag: '"a"' }
  origin.answers('/', { fields, body: 'hello' }, async (wire) => {
    await barrier.promise
    wire.answer({ status: 304, fields })
  })
  await get('/')
  clock.advanceSeconds(60)
  const exchanges = Array.from({ length: CLIENTS }, () => open({ path: '/' }))
  await proxyHasRead(edge)
  barrier.resolve()
  for (const exchange of exchanges) t.equal((await exchange.done()).text, 'hello')
  t.equal(origin.asked('/'), 2)
})

onBoth(
  'requests with Authorization, no-cache or no-store share no answer with others (RFC 9111 §3.5, §5.2.1)',
  async (t, edge) => {
    const { open, origin } = edge
    const rows: FieldValues[] = [
      { Authorization: 'Basic dTpw' },
      { 'Cache-Control': 'no-cache' },
      { 'Cache-Control': 'no-store' },
    ]
    for (const fields of rows) {
      const barrier = Promise.withResolvers<void>()
      const path = freshPath()
      let number = 0
      origin.answers(path, async (wire) => {
        const body = `${++number}`
        await barrier.promise
        wire.answer({ fields: FRESH, body })
      })
      const plain = open({ path })
      await origin.untilAsked(1, path)
      const special = open({ path, fields })
      await origin.untilAsked(2, path)
      const another = open({ path, fields })
      await origin.untilAsked(3, path)
      const follower = open({ path })
      await proxyHasRead(edge)
      barrier.resolve()
      const texts: string[] = []
      for (const exchange of [plain, special, another, follower]) {
        texts.push((await exchange.done()).text)
      }
      t.same(texts, ['1', '2', '3', '1'], JSON.stringify(fields))
    }
  },
)

onBoth(
  'a private 304 is for the one who asked: those who wait ask for themselves (RFC 9111 §5.2.2.7)',
  async (t, edge) => {
    const { get, open, origin, clock } = edge
    const barrier = Promise.withResolvers<void>()
    const fields = { ...FRESH, ETag: '"a"' }
    origin.answers(
      '/',
      { fields, body: 'stored' },
      async (wire) => {
        await barrier.promise
        wire.answer({ status: 304, fields: { ...fields, 'Cache-Control': 'private' } })
      },
      { fields: { 'Cache-Control': 'private' }, body: 'own' },
    )
    await get('/')
    clock.advanceSeconds(60)
    const leader = open({ path: '/' })
    await origin.untilAsked(2, '/')
    const followers = [open({ path: '/' }), open({ path: '/' })]
    await proxyHasRead(edge)
    barrier.resolve()
    t.equal((await leader.done()).text, 'stored')
    for (const follower of followers) t.equal((await follower.done()).text, 'own')
  },
)

const TOTAL_BYTES = 16 * 1024 * 1024
const PIECE = Buffer.alloc(64 * 1024, 'x')

onBoth(
  'a follower that does not read does not hold up the others (RFC 9111 §4)',
  { memory: { maxSize: '64MiB', maxObjectSize: '32MiB' } },
  async (t, { get, open, origin }) => {
    origin.answers('/', (wire) => {
      wire.head(200, { ...FRESH, 'Content-Length': String(TOTAL_BYTES) })
      for (let sent = 0; sent < TOTAL_BYTES; sent += PIECE.length) wire.write(PIECE)
    })
    const slow = open({ path: '/' })
    await slow.headCame()
    slow.pause()
    const quick = open({ path: '/' })
    t.equal((await quick.done()).body.length, TOTAL_BYTES)
    t.match((await get('/')).cacheStatus, /^Larder; hit/)
    slow.resume()
    t.equal((await slow.done()).body.length, TOTAL_BYTES)
    t.equal(origin.asked(), 1)
  },
)

onBoth(
  'who shares what is too large to store and does not read is cut off, so that the others go on',
  { memory: { maxSize: '16MiB', maxObjectSize: '1MiB' }, timeouts: { write: '1s' } },
  async (t, edge) => {
    const { open, origin, ports, protocol } = edge
    const barrier = Promise.withResolvers<void>()
    origin.answers('/', async (wire) => {
      await barrier.promise
      wire.head(200, { ...FRESH, 'Content-Length': String(TOTAL_BYTES) })
      for (let sent = 0; sent < TOTAL_BYTES; sent += PIECE.length) wire.write(PIECE)
    })
    // A connection of its own: on HTTP/2 a client that does not read holds up its other streams by itself.
    const lazy = protocol === 'h1' ? new Http1Client(ports.http) : new Http2Client(ports.https)
    t.teardown(() => lazy.close())
    const slow = lazy.open({ path: '/' })
    await origin.untilAsked(1)
    const quick = open({ path: '/' })
    await proxyHasRead(edge)
    slow.pause()
    barrier.resolve()
    t.equal((await quick.done()).body.length, TOTAL_BYTES)
    slow.resume()
    t.ok((await slow.done()).cut)
    t.equal(origin.asked('/'), 1)
  },
)

const HUGE_BYTES = 64 * 1024 * 1024
/** What the kernel and the proxy may hold of a body that nobody reads. */
const MAX_HELD_BYTES = 32 * 1024 * 1024

onBoth(
  'what is larger than maxObjectSize streams within a window and is not stored (RFC 9111 §3)',
  { memory: { maxSize: '16MiB', maxObjectSize: '1MiB' } },
  async (t, edge) => {
    const { get, open, origin } = edge
    let written = 0
    origin.answers('/', async (wire) => {
      wire.head(200, { ...FRESH, 'Transfer-Encoding': 'chunked' })
      while (written < HUGE_BYTES) {
        written += PIECE.length
        wire.chunk(PIECE)
        if (wire.socket.writableNeedDrain) await drained(wire.socket)
      }
      wire.lastChunk()
    })
    const slow = open({ path: '/' })
    await slow.headCame()
    slow.pause()
    for (let before = -1; before !== written; ) {
      before = written
      for (let i = 0; i < 50; i++) await proxyHasRead(edge)
    }
    t.ok(written < MAX_HELD_BYTES, `${written} bytes taken from the origin`)
    slow.resume()
    t.equal((await slow.done()).body.length, HUGE_BYTES)
    t.equal(origin.asked('/'), 1)
    origin.answers('/', { fields: FRESH, body: 'small' })
    t.equal((await get('/')).text, 'small')
  },
)

function drained(socket: NodeJS.EventEmitter): Promise<void> {
  return new Promise((resolve) => {
    socket.once('drain', resolve)
    socket.once('close', resolve)
  })
}
