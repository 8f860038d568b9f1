import fc from 'fast-check'
import t from 'tap'
import type { NumberedPurge, PurgeMessage } from './purge-message.ts'
import {
  PurgeTable,
  type PurgeTableOptions,
  type ResolveUrl,
  type StoredFacts,
  type Validity,
} from './purge-table.ts'

const TENANTS = ['acme', 'blue']
/** https://<tenant>.test/<path>; other hosts are nobody's. The query is no part of the key of a URL. */
const resolve: ResolveUrl = (url) => {
  const { hostname, pathname } = new URL(url)
  const tenant = hostname.replace('.test', '')
  if (!TENANTS.includes(tenant)) return []
  return [{ tenant, key: `${tenant}\n${pathname}` }]
}

function table(options: Partial<PurgeTableOptions> = {}): PurgeTable {
  return new PurgeTable({ resolve, ...options })
}

function stored(number: number, facts: Partial<StoredFacts> = {}): StoredFacts {
  return { tenant: 'acme', key: 'acme\n/a/b', tags: ['t1', 't2'], number, ...facts }
}

const ROWS: [name: string, message: PurgeMessage, facts: StoredFacts, expected: Validity][] = [
  ['all', { type: 'all', soft: false }, stored(4), 'purged'],
  ['all, softly', { type: 'all', soft: true }, stored(4), 'soft-purged'],
  ['fetched after it', { type: 'all', soft: false }, stored(5), 'valid'],
  ['tenant', { type: 'tenant', tenant: 'acme', soft: false }, stored(4), 'purged'],
  ['another tenant', { type: 'tenant', tenant: 'blue', soft: false }, stored(4), 'valid'],
  ['tag', { type: 'tag', tenant: 'acme', tags: ['x', 't2'], soft: false }, stored(4), 'purged'],
  [
    'tag of another',
    { type: 'tag', tenant: 'blue', tags: ['t2'], soft: false },
    stored(4),
    'valid',
  ],
  ['part of a tag', { type: 'tag', tenant: 'acme', tags: ['t'], soft: false }, stored(4), 'valid'],
  [
    'url, resolved',
    { type: 'url', urls: ['https://acme.test/a/b?x=1'], soft: true },
    stored(4),
    'soft-purged',
  ],
  [
    'url meant for another tenant',
    { type: 'url', tenant: 'blue', urls: ['https://acme.test/a/b'], soft: false },
    stored(4),
    'valid',
  ],
  [
    'beginning of the url',
    { type: 'url', urls: ['https://acme.test/a'], soft: false },
    stored(4),
    'valid',
  ],
  [
    'prefix',
    { type: 'prefix', prefixes: ['https://acme.test/a/'], soft: false },
    stored(4),
    'purged',
  ],
  [
    'prefix that is longer',
    { type: 'prefix', prefixes: ['https://acme.test/a/b/'], soft: false },
    stored(4),
    'valid',
  ],
]

t.test('what a purge with number 5 does', async (t) => {
  for (const [name, message, facts, expected] of ROWS) {
    const purges = table()
    purges.apply([{ number: 5, message }])
    t.equal(purges.validity(facts), expected, name)
    t.equal(purges.number, 5)
  }
})

t.test('the version changes with every batch, and with a floor', async (t) => {
  const purges = table()
  const before = purges.version
  purges.apply([{ number: 1, message: { type: 'tenant', tenant: 'blue', soft: false } }])
  t.not(purges.version, before)
  const applied = purges.version
  purges.raiseFloor(9)
  t.not(purges.version, applied)
  t.equal(purges.validity(stored(8)), 'purged')
  t.equal(purges.validity(stored(9)), 'valid')
})

const tag = fc.constantFrom('t1', 't2', 't3')
const tenant = fc.constantFrom(...TENANTS)
const path = fc.constantFrom('/', '/a', '/a/', '/a/b', '/a/b/c', '/b')
const host = fc.constantFrom('acme', 'acme', 'blue', 'nobody')
const url = fc.tuple(host, path).map(([name, rest]) => `https://${name}.test${rest}`)
const urls = fc.array(url, { minLength: 1, maxLength: 3 })
const scope = fc.oneof(
  fc.record({ type: fc.constant('url' as const), urls }),
  fc.record({ type: fc.constant('prefix' as const), prefixes: urls }),
  fc.record({
    type: fc.constant('tag' as const),
    tenant,
    tags: fc.array(tag, { minLength: 1, maxLength: 2 }),
  }),
  fc.record({ type: fc.constant('tenant' as const), tenant }),
  fc.record({ type: fc.constant('all' as const) }),
)
const message: fc.Arbitrary<PurgeMessage> = fc
  .tuple(scope, fc.boolean())
  .map(([what, soft]) => ({ ...what, soft }))
/** Mostly tags and URLs: the others leave nothing to compare. */
const messages = fc.array(
  fc.oneof({ weight: 1, arbitrary: message }, { weight: 6, arbitrary: message.filter(isSmall) }),
  { maxLength: 40 },
)
const responses = fc.array(
  fc
    .tuple(tenant, path, fc.array(tag, { maxLength: 3 }), fc.nat({ max: 41 }))
    .map(([id, rest, tags, number]) => ({ tenant: id, key: `${id}\n${rest}`, tags, number })),
  { minLength: 1, maxLength: 20 },
)

function isSmall(purge: PurgeMessage): boolean {
  return purge.type !== 'all' && purge.type !== 'tenant'
}

/** The same decision by looking through everything that ever was. */
function naive(purges: readonly NumberedPurge[], facts: StoredFacts): Validity {
  const matching = purges.filter((p) => p.number > facts.number && matches(p.message, facts))
  if (matching.some((p) => !p.message.soft)) return 'purged'
  return matching.length > 0 ? 'soft-purged' : 'valid'
}

function matches(purge: PurgeMessage, facts: StoredFacts): boolean {
  const keys = (texts: readonly string[], type: 'url' | 'prefix') =>
    texts.flatMap((text) => resolve(text, type)).filter((it) => it.tenant === facts.tenant)
  switch (purge.type) {
    case 'all':
      return true
    case 'tenant':
      return purge.tenant === facts.tenant
    case 'tag':
      return purge.tenant === facts.tenant && purge.tags.some((it) => facts.tags.includes(it))
    case 'url':
      return keys(purge.urls, 'url').some(({ key }) => key === facts.key)
    case 'prefix':
      return keys(purge.prefixes, 'prefix').some(({ key }) => facts.key.startsWith(key))
  }
}

function numbered(list: readonly PurgeMessage[]): NumberedPurge[] {
  return list.map((it, index) => ({ number: index + 1, message: it }))
}

const RANK = { valid: 0, 'soft-purged': 1, purged: 2 }
const seeded = { seed: 20261120, numRuns: 600 }

t.test('answers what looking through all purges would have answered', async () => {
  fc.assert(
    fc.property(messages, responses, (list, all) => {
      const purges = table()
      purges.apply(numbered(list))
      return all.every((facts) => purges.validity(facts) === naive(numbered(list), facts))
    }),
    seeded,
  )
})

t.test('order, repetition, serialising and resolving again change no answer', async () => {
  fc.assert(
    fc.property(messages, responses, fc.integer(), (list, all, shuffle) => {
      const straight = table()
      straight.apply(numbered(list))
      const mixed = table()
      const order = numbered(list).sort(
        (a, b) => ((a.number * shuffle) % 7) - ((b.number * shuffle) % 7),
      )
      mixed.apply(order)
      mixed.apply(order.slice(0, 5))
      const restored = PurgeTable.restore(mixed.serialise(), { resolve })
      restored.resolveAgain()
      return all.every(
        (facts) =>
          mixed.validity(facts) === straight.validity(facts) &&
          restored.validity(facts) === straight.validity(facts),
      )
    }),
    seeded,
  )
})

t.test('with next to no room it purges more, never less, and keeps within it', async () => {
  fc.assert(
    fc.property(messages, responses, fc.integer({ min: 3, max: 12 }), (list, all, maxEntries) => {
      const purges = table({ maxEntries })
      for (const purge of numbered(list)) {
        purges.apply([purge])
        if (purges.stats.entries > maxEntries) return false
      }
      return all.every(
        (facts) => RANK[purges.validity(facts)] >= RANK[naive(numbered(list), facts)],
      )
    }),
    seeded,
  )
})

t.test('what is forgotten below a number changes nothing for what has that number', async () => {
  fc.assert(
    fc.property(messages, responses, fc.nat({ max: 40 }), (list, all, below) => {
      const purges = table()
      purges.apply(numbered(list))
      purges.forgetBelow(below)
      return all
        .filter(({ number }) => number >= below)
        .every((facts) => purges.validity(facts) === naive(numbered(list), facts))
    }),
    seeded,
  )
})

t.test('a host that was unknown when its URL was purged', async (t) => {
  const purges = table({ resolve: () => [] })
  purges.apply([
    { number: 3, message: { type: 'url', urls: ['https://acme.test/a/b'], soft: false } },
  ])
  t.equal(purges.validity(stored(2)), 'valid')
  purges.resolveAgain(resolve)
  t.equal(purges.validity(stored(2)), 'purged')
})

t.test('unknown hosts beyond all bounds: a new configuration trusts nothing older', async (t) => {
  const purges = table({ resolve: () => [], maxEntries: 100 })
  for (let number = 1; number <= 5_000; number++) {
    const urls = [`https://acme.test/${number}`]
    purges.apply([{ number, message: { type: 'url', urls, soft: false } }])
  }
  t.ok(purges.stats.entries <= 100)
  t.equal(purges.validity(stored(0, { key: 'acme\n/1' })), 'valid', 'nobody serves it')
  purges.resolveAgain(resolve)
  t.equal(purges.validity(stored(0, { key: 'acme\n/1' })), 'purged')
  t.equal(purges.validity(stored(5_000)), 'valid')
})

t.test('the tenant with the most makes room, the others stay exact', async (t) => {
  const purges = table({ maxEntries: 3_000 })
  purges.apply([
    { number: 1, message: { type: 'tag', tenant: 'blue', tags: ['kept'], soft: false } },
  ])
  for (let number = 2; number <= 10_000; number++) {
    const tags = [`p-${number}`]
    purges.apply([{ number, message: { type: 'tag', tenant: 'acme', tags, soft: false } }])
  }
  const { entries, folds } = purges.stats
  t.ok(entries <= 3_000 && folds > 0, `${entries} entries, ${folds} folds`)
  const blue = { tenant: 'blue', key: 'blue\n/', number: 0 }
  t.equal(purges.validity({ ...blue, tags: ['kept'] }), 'purged')
  t.equal(purges.validity({ ...blue, tags: ['other'] }), 'valid')
  t.equal(purges.validity(stored(10, { tags: [] })), 'purged', 'folded into the tenant')
  t.equal(purges.validity(stored(9_500, { tags: [] })), 'valid')
  t.equal(purges.validity(stored(9_500, { tags: ['p-9999'] })), 'purged')
})

t.test('prefixes of ever more lengths cover more, never less', async (t) => {
  const purges = table()
  const paths = Array.from({ length: 400 }, (_, i) => `/${'x'.repeat(i + 1)}`)
  for (const [i, each] of paths.entries()) {
    const prefixes = [`https://acme.test${each}`]
    purges.apply([{ number: i + 1, message: { type: 'prefix', prefixes, soft: false } }])
  }
  for (const [i, each] of paths.entries()) {
    t.equal(purges.validity(stored(i, { key: `acme\n${each}/y` })), 'purged')
  }
  t.equal(purges.validity(stored(0, { key: 'acme\n/y' })), 'valid')
})

t.test('bytes are bounded too', async (t) => {
  const maxBytes = 64 * 1024
  const purges = table({ maxBytes })
  for (let number = 1; number <= 500; number++) {
    const tags = [`${number}`.repeat(300)]
    purges.apply([{ number, message: { type: 'tag', tenant: 'acme', tags, soft: false } }])
    if (purges.stats.bytes > maxBytes) t.fail(`${purges.stats.bytes} bytes`)
  }
  t.equal(purges.validity(stored(0)), 'purged')
})
