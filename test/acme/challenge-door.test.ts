import t, { type Test } from 'tap'
import { type StartedProxy, startProxy } from '../support/edge.ts'
import { Http1Client } from '../support/h1-client.ts'
import { Http2Client } from '../support/h2-client.ts'
import { HandClock } from '../support/hand-clock.ts'
import { type ScriptedOrigin, startScriptedOrigin } from '../support/scripted-origin.ts'

const TOKEN = 'evaGxfADs6pSRb2LAv9IZf17Dt3juxGJ-PCt92wr-oA'
const PATH = `/.well-known/acme-challenge/${TOKEN}`
const ANSWERS = { http: [{ token: TOKEN, keyAuthorization: `${TOKEN}.thumbprint` }], tls: [] }

async function setUp(
  t: Test,
  hosts = ['*'],
): Promise<{ proxy: StartedProxy; origin: ScriptedOrigin }> {
  const clock = new HandClock()
  const origin = await startScriptedOrigin(t, clock)
  origin.answersElse((wire) =>
    wire.answer({ fields: { 'Cache-Control': 'max-age=60' }, body: 'of the origin' }),
  )
  return { origin, proxy: await startProxy(t, origin.url, { tenant: { hosts } }, clock.clock) }
}

for (const protocol of ['h1', 'h2'] as const) {
  t.test(
    `a token of our own is answered, even where something is stored [${protocol}]`,
    async (t) => {
      const { proxy, origin } = await setUp(t)
      const client = protocol === 'h1' ? new Http1Client(proxy.http) : new Http2Client(proxy.https)
      t.teardown(() => client.close())
      const get = (path = PATH, method = 'GET') => client.open({ method, path }).done()
      t.equal((await get()).body.toString(), 'of the origin')
      t.match((await get()).cacheStatus, /hit/)
      proxy.challenges.replaceAll(ANSWERS)
      const answer = await get()
      t.equal(answer.status, 200)
      t.equal(answer.body.toString(), `${TOKEN}.thumbprint`)
      t.equal(answer.fields.get('cache-control'), 'no-store')
      t.equal(answer.fields.get('content-type'), 'application/octet-stream')
      const head = await get(PATH, 'HEAD')
      t.equal(head.status, 200)
      t.equal(head.body.length, 0)
      for (const path of [`${PATH}x`, PATH.slice(0, -1), `${PATH}/`, `${PATH}?a`]) {
        t.equal((await get(path)).body.toString(), 'of the origin', path)
      }
      t.equal((await get(PATH, 'DELETE')).body.toString(), 'of the origin', 'another method')
      const asked = origin.asked(PATH)
      proxy.challenges.replaceAll({ http: [], tls: [] })
      t.equal((await get()).body.toString(), 'of the origin', 'when the order is over')
      t.ok(origin.asked(PATH) >= asked)
    },
  )
}

t.test('a token is answered for a name that no tenant has yet', async (t) => {
  const { proxy } = await setUp(t, ['a.test'])
  proxy.challenges.replaceAll(ANSWERS)
  const client = new Http1Client(proxy.http)
  t.teardown(() => client.close())
  t.equal((await client.open({ path: PATH }).done()).status, 200)
  t.equal((await client.open({ path: '/other' }).done()).status, 421)
})
