import { freshPath } from '../support/asserts.ts'
import { type Edge, onBoth } from '../support/edge.ts'
import type { FieldValues } from '../support/message-reader.ts'

/** How often the origin is asked when two requests with these fields follow each other. */
async function askedFor(
  { get, origin }: Edge,
  vary: string | readonly string[],
  first: FieldValues,
  second: FieldValues,
): Promise<number> {
  const path = freshPath()
  origin.answers(path, { fields: { 'Cache-Control': 'max-age=60', Vary: vary } })
  await get(path, first)
  await get(path, second)
  return origin.asked(path)
}

onBoth(
  'each variant is stored and selected by its own request (RFC 9111 §4.1)',
  async (t, edge) => {
    const { get, origin } = edge
    origin.answers('/', (wire, { fields }) => {
      const body = fields.get('x-kind') ?? 'none'
      wire.answer({ fields: { 'Cache-Control': 'max-age=60', Vary: 'X-Kind' }, body })
    })
    const kinds: FieldValues[] = [{ 'X-Kind': 'a' }, { 'X-Kind': 'b' }, {}]
    const miss = await get('/', kinds[0])
    t.match(miss.cacheStatus, /fwd=uri-miss/)
    t.match((await get('/', kinds[1])).cacheStatus, /fwd=vary-miss; fwd-status=200; stored/)
    await get('/', kinds[2])
    for (const [kind, body] of [
      [kinds[2], 'none'],
      [kinds[1], 'b'],
      [kinds[0], 'a'],
    ] as const) {
      const hit = await get('/', kind)
      t.match(hit.cacheStatus, /^Larder; hit/)
      t.equal(hit.text, body)
    }
    t.equal(origin.asked(), 3)
  },
)

onBoth('Vary with * anywhere is never reused (RFC 9111 §4.1)', async (t, edge) => {
  for (const vary of ['*', ' * ', 'X-A, *', '*, X-A', ['X-A', '*'], ',*,']) {
    t.equal(await askedFor(edge, vary, {}, {}), 2, JSON.stringify(vary))
  }
})

onBoth(
  'Vary is one list, on several lines or with empty members (RFC 9110 §5.6.1)',
  async (t, edge) => {
    for (const vary of ['X-A, X-B', 'x-a,X-B', ['X-A', 'X-B'], ',X-A,, X-B,', 'X-B,X-A,X-B']) {
      const both = { 'X-A': '1', 'X-B': '2' }
      t.equal(await askedFor(edge, vary, both, both), 1, `${vary}: same`)
      t.equal(await askedFor(edge, vary, both, { ...both, 'X-B': '3' }), 2, `${vary}: second`)
      t.equal(await askedFor(edge, vary, both, { ...both, 'X-A': '3' }), 2, `${vary}: first`)
    }
  },
)

onBoth('an empty Vary nominates nothing (RFC 9110 §12.5.5)', async (t, edge) => {
  for (const vary of ['', ',', ' , ,']) {
    t.equal(await askedFor(edge, vary, { 'X-A': '1' }, { 'X-A': '2' }), 1, JSON.stringify(vary))
  }
})

onBoth('white space and line breaks do not make a variant (RFC 9111 §4.1)', async (t, edge) => {
  const written: FieldValues[] = [
    { 'X-A': '1, 2' },
    { 'X-A': '1,2' },
    { 'X-A': '1 ,\t2' },
    { 'X-A': ['1', '2'] },
  ]
  for (const second of written) {
    t.equal(await askedFor(edge, 'X-A', written[0], second), 1, JSON.stringify(second))
  }
  t.equal(await askedFor(edge, 'X-A', { 'X-A': '1, 2' }, { 'X-A': '2, 1' }), 2, 'order')
  t.equal(await askedFor(edge, 'X-A', { 'X-A': 'a' }, { 'X-A': 'A' }), 2, 'case')
})

onBoth('an absent field matches only its absence (RFC 9111 §4.1)', async (t, edge) => {
  t.equal(await askedFor(edge, 'X-A', {}, {}), 1, 'absent twice')
  t.equal(await askedFor(edge, 'X-A', {}, { 'X-A': '' }), 2, 'absent, then empty')
  t.equal(await askedFor(edge, 'X-A', { 'X-A': '' }, {}), 2, 'empty, then absent')
  t.equal(await askedFor(edge, 'Accept-Encoding', {}, { 'Accept-Encoding': 'gzip' }), 2)
  t.equal(await askedFor(edge, 'Accept-Encoding', { 'Accept-Encoding': 'gzip' }, {}), 2)
  t.equal(await askedFor(edge, 'Accept-Encoding', {}, { 'Accept-Encoding': '' }), 2)
})

onBoth('Accept-Encoding is compared by meaning (RFC 9110 §12.5.3)', async (t, edge) => {
  const asked = (a: string, b: string) =>
    askedFor(edge, 'Accept-Encoding', { 'Accept-Encoding': a }, { 'Accept-Encoding': b })
  for (const same of [
    'br, gzip',
    'GZIP, BR',
    'gzip;q=1, br;q=1.0',
    'gzip,br,evil-junk',
    'br , gzip;Q=1',
    'gzip, br, gzip',
  ]) {
    t.equal(await asked('gzip, br', same), 1, same)
  }
  for (const other of ['gzip', 'br', 'gzip;q=0, br', 'gzip, br, zstd', 'gzip;q=0.5, br', '*']) {
    t.equal(await asked('gzip, br', other), 2, other)
  }
})

onBoth(
  'a coding that the key leaves out is not shown to the origin either (RFC 9110 §12.5.3)',
  async (t, { get, origin }) => {
    origin.answers('/', { fields: { 'Cache-Control': 'max-age=60' } })
    await get('/', { 'Accept-Encoding': 'evil-junk, gzip' })
    t.equal(origin.lastRequest.fields.get('accept-encoding'), 'gzip')
  },
)

onBoth(
  'Accept-Language is compared without case, order and white space (RFC 9110 §12.5.4)',
  async (t, edge) => {
    const asked = (a: string, b: string) =>
      askedFor(edge, 'Accept-Language', { 'Accept-Language': a }, { 'Accept-Language': b })
    for (const same of ['de,en;q=0.5', 'DE, EN;q=0.5', 'en;q=0.5, de', 'en;q=0.50,de;q=1']) {
      t.equal(await asked('de, en;q=0.5', same), 1, same)
    }
    for (const other of ['en, de;q=0.5', 'de', 'de-AT, en;q=0.5']) {
      t.equal(await asked('de, en;q=0.5', other), 2, other)
    }
  },
)

onBoth(
  'of several that match the newest is used (RFC 9111 §4)',
  async (t, { get, origin, clock }) => {
    const cacheControl = { 'Cache-Control': 'max-age=600' }
    origin.answers(
      '/',
      { fields: { ...cacheControl, Vary: 'X-A' }, body: 'old' },
      { fields: { ...cacheControl, Vary: 'X-A, X-B' }, body: 'new' },
    )
    await get('/', { 'X-A': '1' })
    clock.advanceSeconds(10)
    await get('/', { 'X-A': '1', 'X-B': '2', 'Cache-Control': 'no-cache' })
    const hit = await get('/', { 'X-A': '1', 'X-B': '2' })
    t.equal(hit.text, 'new')
    t.equal(origin.asked(), 2)
  },
)
