import t from 'tap'
import { parsePurge } from './parse-purge.ts'
import type { PurgeMessage } from './purge-message.ts'

const NOW = Date.UTC(2026, 10, 20, 12)

const GOOD: [name: string, input: unknown, message: PurgeMessage][] = [
  [
    'the JSON of the documentation',
    '{"type":"tag","tenant":"acme","tags":["p-42"],"soft":true}',
    { type: 'tag', tenant: 'acme', tags: ['p-42'], soft: true },
  ],
  [
    'an object',
    { type: 'url', urls: ['https://www.acme.test/a.png'] },
    { type: 'url', urls: ['https://www.acme.test/a.png'], soft: false },
  ],
  [
    'url in words',
    'url https://www.acme.test/a.png',
    { type: 'url', urls: ['https://www.acme.test/a.png'], soft: false },
  ],
  [
    'tags in words',
    ' tag acme  p-42 p-43\n',
    { type: 'tag', tenant: 'acme', tags: ['p-42', 'p-43'], soft: false },
  ],
  [
    'prefix in words, softly',
    'soft prefix https://www.acme.test/media/7/',
    { type: 'prefix', prefixes: ['https://www.acme.test/media/7/'], soft: true },
  ],
  ['tenant in words', 'tenant acme', { type: 'tenant', tenant: 'acme', soft: false }],
  ['all in words', 'soft all', { type: 'all', soft: true }],
  ['all in JSON', '{"type":"all","confirm":true}', { type: 'all', soft: false }],
  [
    'a fragment is no part of a URL, one of two equal URLs is enough',
    { type: 'url', tenant: 'acme', urls: ['http://a.test/x#1', 'http://a.test/x#2'] },
    { type: 'url', urls: ['http://a.test/x'], tenant: 'acme', soft: false },
  ],
  [
    'at as a time',
    { type: 'tenant', tenant: 'a', at: '2026-11-20T18:00:00+01:00' },
    { type: 'tenant', tenant: 'a', soft: false, at: Date.UTC(2026, 10, 20, 17) },
  ],
  [
    'at in seconds',
    { type: 'tenant', tenant: 'a', at: NOW / 1000 + 5 },
    { type: 'tenant', tenant: 'a', soft: false, at: NOW + 5000 },
  ],
  [
    'at in ms, with a reference',
    { type: 'tenant', tenant: 'a', at: NOW + 5, reference: 'deploy-7' },
    { type: 'tenant', tenant: 'a', soft: false, at: NOW + 5, reference: 'deploy-7' },
  ],
  [
    'a tag may hold spaces where a list keeps it together',
    { type: 'tag', tenant: 'a', tags: ['big sale'] },
    { type: 'tag', tenant: 'a', tags: ['big sale'], soft: false },
  ],
]

t.test('what is understood', async (t) => {
  for (const [name, input, message] of GOOD) {
    t.strictSame(parsePurge(input, NOW), { ok: true, message }, name)
    t.strictSame(
      parsePurge(
        JSON.stringify(message.type === 'all' ? { ...message, confirm: true } : message),
        NOW,
      ),
      { ok: true, message },
      `${name}: its own JSON again`,
    )
  }
})

const BAD: [input: unknown, reason: RegExp][] = [
  ['', /empty: expected 'url/],
  ['purge everything', /'purge' is no kind of purge/],
  ['soft', /'' is no kind/],
  ['tag', /'tenant' is the id/],
  ['tag acme', /'tags' is a list of 1 to 1000 texts, not 0 of them/],
  ['tenant acme blue', /takes one tenant/],
  ['all please', /takes no further words/],
  ['tenant ../etc', /'tenant' is the id/],
  ['url /a.png', /absolute URLs/],
  ['url ftp://a.test/', /absolute URLs/],
  ['url https:a.test', /absolute URLs/],
  ['url https://me:secret@a.test/', /absolute URLs/],
  ['{"type":"all"}', /"confirm": true/],
  ['{"type":"all","confirm":"yes"}', /"confirm": true/],
  ['{"type":"tag"', /not JSON/],
  ['{"type":"toString"}', /'type' is one of/],
  ['{"type":"tenant","tenant":"a","__proto__":1}', /no member "__proto__"/],
  ['{"type":"tenant","tenant":"a","tags":["x"]}', /no member "tags"; it has type, soft/],
  ['{"type":"tag","tenant":"a","tags":"x"}', /'tags' is a list/],
  ['{"type":"tag","tenant":"a","tags":[1]}', /'tags' holds texts, not 1/],
  ['{"type":"tag","tenant":"a","tags":[""]}', /a tag has 1 to 1024/],
  ['{"type":"tag","tenant":"a","tags":["a\\nb"]}', /none of them a control/],
  ['{"type":"tenant","tenant":"a","soft":1}', /'soft' is true or false/],
  ['{"type":"tenant","tenant":"a","at":"tomorrow"}', /'at' is a time like/],
  ['{"type":"tenant","tenant":"a","at":-1}', /'at' is a time like/],
  ['{"type":"tenant","tenant":"a","at":"2036-01-01T00:00:00Z"}', /more than a year/],
  ['{"type":"tenant","tenant":"a","reference":"a b"}', /'reference' has/],
  [[], /is a JSON object, not \[\]/],
  [null, /not null/],
  [7, /not 7/],
  [{ type: 'tag', tenant: 'a', tags: Array.from({ length: 1001 }, String) }, /not 1001 of them/],
  [{ type: 'url', urls: [`https://a.test/${'x'.repeat(9000)}`] }, /at most 8192 characters/],
  [`tag a ${'x'.repeat(1024 * 1024)}`, /at most 1048576 bytes/],
]

t.test('what is not, and why', async (t) => {
  for (const [input, reason] of BAD) {
    const parsed = parsePurge(input, NOW)
    t.match(parsed.ok ? 'understood' : parsed.reason, reason, JSON.stringify(input).slice(0, 60))
  }
})
