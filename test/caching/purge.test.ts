import { freshPath } from '../support/asserts.ts'
import { onBoth } from '../support/edge.ts'

const FRESH = { 'Cache-Control': 'max-age=600' }

onBoth('every scope takes what it covers, and nothing else', async (t, edge) => {
  const { get, origin, purge, baseUrl } = edge
  const tagged = { ...FRESH, 'Surrogate-Key': 'p-1 p-2' }
  const rows: [words: (url: string) => string, covered: boolean][] = [
    [(url) => `url ${url}`, true],
    [(url) => `url ${url}?x`, false],
    [(url) => `url ${url}y`, false],
    [(url) => `prefix ${url.slice(0, -2)}`, true],
    [(url) => `prefix ${url}y`, false],
    [() => `prefix ${baseUrl}/`, true],
    [() => 'tag test p-2', true],
    [() => 'tag test P-2', false],
    [() => 'tag test p', false],
    [() => 'tag other p-2', false],
    [() => 'tenant test', true],
    [() => 'tenant other', false],
    [() => 'all', true],
  ]
  for (const [words, covered] of rows) {
    const path = freshPath()
    origin.answers(path, { fields: tagged, body: 'old' }, { fields: tagged, body: 'new' })
    await get(path)
    t.match((await get(path)).cacheStatus, /^Larder; hit/)
    const text = words(`${baseUrl}${path}`)
    purge(text)
    const { text: body, cacheStatus } = await get(path)
    t.equal(body, covered ? 'new' : 'old', text)
    t.match(cacheStatus, covered ? /^Larder; fwd=uri-miss.*detail=purged/ : /^Larder; hit/, text)
    t.match((await get(path)).cacheStatus, /^Larder; hit/, `${text}: stored again`)
  }
})

onBoth('a URL is every variant and every part of it, over either scheme', async (t, edge) => {
  const { get, origin, purge, baseUrl } = edge
  const fields = { ...FRESH, Vary: 'X-A', ETag: '"1"' }
  origin.answers('/', { fields, body: 'one' })
  for (const value of ['1', '2']) await get('/', { 'X-A': value })
  const otherScheme = baseUrl.startsWith('https') ? baseUrl.replace('https', 'http') : baseUrl
  purge(`url ${otherScheme}/`)
  for (const value of ['1', '2']) await get('/', { 'X-A': value })
  t.equal(origin.asked('/'), 4)
})

onBoth(
  'a URL is what the rule makes of it',
  { rules: [{ path: '*', cache: { query: 'ignore' } }] },
  async (t, edge) => {
    const { get, origin, purge, baseUrl } = edge
    origin.answers('/a%2Fb', { fields: FRESH })
    await get('/a%2Fb?x=1')
    purge(`url ${baseUrl}/%61%2fb?y=2`)
    await get('/a%2Fb')
    t.equal(origin.asked('/a%2Fb'), 2)
  },
)

onBoth('tags: three fields, several lines, not for clients', async (t, edge) => {
  const { get, origin, purge } = edge
  const rows: [fields: Record<string, string | string[]>, tag: string][] = [
    [{ 'Surrogate-Key': ['a b', 'c'] }, 'c'],
    [{ 'Cache-Tag': 'x, y' }, 'y'],
    [{ 'Cache-Groups': '"g1", "g2"' }, 'g2'],
    [{ 'Surrogate-Key': 'a', 'Cache-Tag': 'q' }, 'q'],
  ]
  for (const [fields, tag] of rows) {
    const path = freshPath()
    origin.answers(path, { fields: { ...FRESH, ...fields } })
    for (const answer of [await get(path), await get(path)]) {
      for (const name of ['surrogate-key', 'cache-tag', 'cache-groups']) {
        t.equal(answer.fields.get(name), undefined, `${path} ${name}`)
      }
    }
    purge(`tag test ${tag}`)
    await get(path)
    t.equal(origin.asked(path), 2, tag)
  }
})

onBoth(
  'clients see tags when they are to',
  { tenant: { tags: { show: true } } },
  async (t, { get, origin, purge }) => {
    origin.answers('/', { fields: { ...FRESH, 'Cache-Tag': 'x' } })
    for (const answer of [await get('/'), await get('/')])
      t.equal(answer.fields.get('cache-tag'), 'x')
    purge('tag test x')
    await get('/')
    t.equal(origin.asked('/'), 2)
  },
)

onBoth(
  'with too many tags it is passed on, and says why',
  { tenant: { tags: { maxCount: 2 } } },
  async (t, { get, origin }) => {
    origin.answers('/', { fields: { ...FRESH, 'Surrogate-Key': 'a b c' } })
    for (let i = 1; i <= 2; i++) {
      const { status, cacheStatus, fields } = await get('/')
      t.equal(status, 200)
      t.equal(fields.get('surrogate-key'), undefined)
      t.match(cacheStatus, /detail=too-many-tags/)
      t.equal(origin.asked('/'), i)
    }
  },
)

const PURGES = ['tag test x', 'soft tag test x']
const MOMENTS = ['before the head', 'in the body']

onBoth('what was being fetched is delivered, and not stored', async (t, edge) => {
  const { open, get, origin, purge } = edge
  for (const [words, moment] of PURGES.flatMap((each) => MOMENTS.map((when) => [each, when]))) {
    const path = freshPath()
    const barrier = Promise.withResolvers<void>()
    origin.answers(
      path,
      async (wire) => {
        if (moment === 'before the head') await barrier.promise
        wire.head(200, { ...FRESH, 'Content-Length': '6', 'Surrogate-Key': 'x' })
        wire.write('old')
        await barrier.promise
        wire.write('old')
        wire.end()
      },
      { fields: FRESH, body: 'new' },
    )
    const early = open({ path })
    if (moment === 'in the body') await early.headCame()
    else await origin.untilAsked(1, path)
    purge(words)
    const late = open({ path })
    t.equal((await late.done()).text, 'new', `${words}, ${moment}: who comes after it`)
    barrier.resolve()
    t.equal((await early.done()).text, 'oldold', moment)
    const { text, cacheStatus } = await get(path)
    t.equal(text, 'new', moment)
    t.match(cacheStatus, /^Larder; hit/)
  }
})

onBoth('a 304 does not bring back what was purged meanwhile', async (t, edge) => {
  const { open, get, origin, purge, clock } = edge
  const barrier = Promise.withResolvers<void>()
  const fields = { 'Cache-Control': 'max-age=10', ETag: '"1"' }
  origin.answers(
    '/',
    { fields, body: 'old' },
    async (wire) => {
      await barrier.promise
      wire.answer({ status: 304, fields })
    },
    { fields: { ...fields, ETag: '"2"' }, body: 'new' },
  )
  await get('/')
  clock.advanceSeconds(11)
  const validating = open({ path: '/' })
  await origin.untilAsked(2, '/')
  purge('tenant test')
  barrier.resolve()
  t.equal((await validating.done()).text, 'new')
  t.match((await get('/')).cacheStatus, /^Larder; hit/)
  t.equal(origin.asked('/'), 3)
})

onBoth(
  'a purged response is not served when its origin fails',
  async (t, { get, origin, purge, clock }) => {
    origin.answers(
      '/',
      { fields: { 'Cache-Control': 'max-age=10, stale-if-error=600' }, body: 'old' },
      { status: 503, body: 'no' },
    )
    await get('/')
    clock.advanceSeconds(11)
    t.equal((await get('/')).text, 'old')
    purge('all')
    t.equal((await get('/')).status, 503)
  },
)

onBoth('softly purged: stale from then on, within its windows', async (t, edge) => {
  const { get, origin, purge, clock } = edge
  const fields = {
    'Cache-Control': 'max-age=600, stale-while-revalidate=10, stale-if-error=100',
    ETag: '"1"',
  }
  origin.answers('/', { fields, body: 'old' }, { fields, body: 'new' }, { status: 503 })
  await get('/')
  clock.advanceSeconds(60)
  purge('soft all')
  clock.advanceSeconds(5)
  const first = await get('/')
  t.equal(first.text, 'old')
  t.match(first.cacheStatus, /^Larder; hit.*detail=stale-while-revalidate/)
  await origin.untilAsked(2, '/')
  await t.resolves(untilHit(edge, 'new'))
  purge('soft tenant test')
  clock.advanceSeconds(11)
  const failed = await get('/')
  t.equal(failed.text, 'new', 'beyond stale-while-revalidate, within stale-if-error')
  t.match(failed.cacheStatus, /detail=stale-if-error/)
  purge('tenant test')
  t.equal((await get('/')).status, 503, 'and a hard purge ends that')
})

onBoth('a soft purge is settled by a validation', async (t, { get, origin, purge }) => {
  const fields = { ...FRESH, ETag: '"1"' }
  origin.answers('/', { fields, body: 'one' }, { status: 304, fields })
  await get('/')
  purge('soft url nothing'.replace('url nothing', 'all'))
  t.match((await get('/')).cacheStatus, /^Larder; fwd=stale; fwd-status=304/)
  t.match((await get('/')).cacheStatus, /^Larder; hit/)
  t.equal(origin.asked('/'), 2)
})

async function untilHit(
  { get }: { get: (path: string) => Promise<{ text: string }> },
  text: string,
): Promise<void> {
  const endsAt = performance.now() + 5_000
  while ((await get('/')).text !== text) {
    if (performance.now() > endsAt) throw new Error(`no '${text}' in time`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
