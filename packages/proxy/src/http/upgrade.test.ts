import t from 'tap'
import { Fields } from './fields.ts'
import { offeredAs, offeredProtocols } from './upgrade.ts'

type Line = [name: string, value: string]

const OFFERS: [name: string, lines: Line[], offered: string[] | null][] = [
  [
    'one protocol',
    [
      ['upgrade', 'websocket'],
      ['connection', 'Upgrade'],
    ],
    ['websocket'],
  ],
  [
    'several, in their order',
    [
      ['upgrade', 'b/2, a ,c/1.1'],
      ['connection', 'upgrade'],
    ],
    ['b/2', 'a', 'c/1.1'],
  ],
  [
    'several lines are one list (§5.3)',
    [
      ['upgrade', 'b'],
      ['connection', 'upgrade'],
      ['upgrade', 'a'],
    ],
    ['b', 'a'],
  ],
  [
    'the option among others',
    [
      ['upgrade', 'a'],
      ['connection', 'keep-alive'],
      ['connection', 'x, UPGRADE'],
    ],
    ['a'],
  ],
  [
    'empty members (§5.6.1)',
    [
      ['upgrade', ', a,,'],
      ['connection', 'upgrade'],
    ],
    ['a'],
  ],
  ['no Upgrade', [['connection', 'upgrade']], null],
  ['no Connection', [['upgrade', 'a']], null],
  [
    'Connection without the option',
    [
      ['upgrade', 'a'],
      ['connection', 'keep-alive, upgraded'],
    ],
    null,
  ],
  [
    'a connection that ends',
    [
      ['upgrade', 'a'],
      ['connection', 'upgrade, close'],
    ],
    null,
  ],
  [
    'an empty list',
    [
      ['upgrade', ' , '],
      ['connection', 'upgrade'],
    ],
    null,
  ],
  [
    'a space within',
    [
      ['upgrade', 'web socket'],
      ['connection', 'upgrade'],
    ],
    null,
  ],
  [
    'a quoted string',
    [
      ['upgrade', '"websocket"'],
      ['connection', 'upgrade'],
    ],
    null,
  ],
  [
    'an empty version',
    [
      ['upgrade', 'a/'],
      ['connection', 'upgrade'],
    ],
    null,
  ],
  [
    'an empty name',
    [
      ['upgrade', '/1'],
      ['connection', 'upgrade'],
    ],
    null,
  ],
  [
    'two versions',
    [
      ['upgrade', 'a/1/2'],
      ['connection', 'upgrade'],
    ],
    null,
  ],
  [
    'one bad member among good ones',
    [
      ['upgrade', 'a, b c'],
      ['connection', 'upgrade'],
    ],
    null,
  ],
  [
    'a no-break space behind the protocol',
    [
      ['upgrade', 'a\xa0'],
      ['connection', 'upgrade'],
    ],
    null,
  ],
  [
    'a no-break space behind the option',
    [
      ['upgrade', 'a'],
      ['connection', 'upgrade\xa0'],
    ],
    null,
  ],
]

t.test('what a request offers to switch to (RFC 9110 §7.8)', (t) => {
  for (const [name, lines, offered] of OFFERS) {
    t.same(offeredProtocols(Fields.from(lines)), offered, name)
  }
  t.end()
})

t.test('only what was offered can be chosen, and is named as it was offered', (t) => {
  const offered = ['WebSocket', 'foo/2']
  t.equal(offeredAs(offered, 'websocket'), 'WebSocket')
  t.equal(offeredAs(offered, 'FOO/2'), 'foo/2')
  t.equal(offeredAs(offered, 'foo'), null)
  t.equal(offeredAs(offered, 'foo/3'), null)
  t.equal(offeredAs(offered, 'h2c'), null)
  t.equal(offeredAs(offered, 'websocket\r\nset-cookie: a'), null)
  t.equal(offeredAs(offered, ''), null)
  t.end()
})
