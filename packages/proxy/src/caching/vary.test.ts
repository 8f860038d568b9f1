import t from 'tap'
import { Fields } from '../http/fields.ts'
import { matchesVariant, sameVariant, variantKey } from './vary.ts'

type Line = readonly [string, string]

function matches(vary: string, stored: readonly Line[], asked: readonly Line[]): boolean {
  return matchesVariant(variantKey(vary, Fields.from(stored)), Fields.from(asked))
}

t.test('nominated fields select by their normalised values (RFC 9111 §4.1)', async (t) => {
  const rows: [string, Line[], Line[], boolean][] = [
    ['x-a', [], [], true],
    ['x-a', [['x-a', '1']], [['x-a', '1']], true],
    ['X-A', [['x-a', '1']], [['X-a', '1']], true],
    ['x-a', [['x-a', '1']], [['x-a', '2']], false],
    ['x-a', [['x-a', '']], [], false],
    ['x-a', [], [['x-a', '']], false],
    [
      'x-a',
      [['x-a', '1, 2']],
      [
        ['x-a', '1'],
        ['x-a', '2'],
      ],
      true,
    ],
    ['x-a', [['x-a', '1  2']], [['x-a', '1\t2']], true],
    ['x-a', [['x-a', '12']], [['x-a', '1 2']], false],
    [
      'x-a, x-b',
      [
        ['x-a', '1'],
        ['x-b', '2'],
      ],
      [
        ['x-b', '2'],
        ['x-a', '1'],
      ],
      true,
    ],
    ['x-a, x-b', [['x-a', '1']], [['x-b', '1']], false],
    ['x-a', [['x-b', '1']], [['x-b', '2']], true],
    ['accept-encoding', [['accept-encoding', 'gzip, br']], [['accept-encoding', 'br,GZIP']], true],
    ['accept-encoding', [['accept-encoding', 'gzip;q=0']], [['accept-encoding', 'gzip']], false],
    ['accept-encoding', [['accept-encoding', 'x-gzip']], [['accept-encoding', 'gzip']], true],
    ['accept-encoding', [['accept-encoding', 'junk']], [['accept-encoding', '']], true],
    ['accept-encoding', [['accept-encoding', '']], [], false],
    [
      'accept-language',
      [['accept-language', 'de;q=0.9,en']],
      [['accept-language', 'EN , de;q=0.900']],
      true,
    ],
    ['accept-language', [['accept-language', 'de']], [['accept-language', 'en']], false],
  ]
  for (const [vary, stored, asked, expected] of rows) {
    t.equal(matches(vary, stored, asked), expected, `${vary}: ${stored} ${asked}`)
  }
})

t.test('the names of Vary are a set (RFC 9110 §12.5.5)', async (t) => {
  const request = Fields.from([
    ['x-a', '1'],
    ['x-b', '2'],
  ])
  const key = variantKey('X-B, x-a,, X-A', request)
  t.same(key, { names: ['x-a', 'x-b'], values: ['1', '2'] })
  t.ok(sameVariant(key, variantKey('x-a,x-b', request)))
  t.notOk(sameVariant(key, variantKey('x-a', request)))
  t.same(variantKey(' , ', request), variantKey(undefined, request))
})
