import t from 'tap'
import { judge } from './clients.ts'
import { bodyOf, pagesOf } from './page.ts'
import { Promises } from './promises.ts'
import { promisedBy } from './purger.ts'

/** Whoever watches the watchman: what the torture test takes for a violation, and what it does not. */

const [page, tagged] = pagesOf(['a'], 2)
const all = { type: 'all', soft: false } as const

function promisesOf(machines: number) {
  const clock = { ms: 0 }
  const promises = new Promises([page, tagged], machines, () => clock.ms)
  promises.change(page)
  return { clock, promises, oldest: (machine: number) => promises.oldestFor(machine, page).version }
}

t.test('a purge promises the version that was current when it was sent', async (t) => {
  const { promises, oldest } = promisesOf(2)
  const purge = promises.sending(all, 'test')
  promises.change(page)
  t.equal(oldest(0), 1, 'not before it is answered')
  promises.promised(purge, { now: [0], later: [1] }, '202')
  t.equal(oldest(0), 2)
  t.equal(oldest(1), 1)
  const other = promises.sending({ type: 'tag', tenant: 'a', tags: ['shop'], soft: false }, 'test')
  promises.promised(other, { now: [0], later: [] }, '200')
  t.equal(oldest(0), 2, 'it does not cover this page')
})

t.test(
  'a soft purge does away with what may not be used stale, and with nothing else',
  async (t) => {
    const [plain, , stale] = pagesOf(['a'], 3)
    const promises = new Promises([plain, stale], 1)
    for (const each of [plain, stale]) promises.change(each)
    promises.promised(
      promises.sending({ ...all, soft: true }, 'test'),
      { now: [0], later: [] },
      '200',
    )
    t.equal(promises.oldestFor(0, plain).version, 2)
    t.equal(promises.oldestFor(0, stale).version, 1)
  },
)

t.test('what is promised for later: when nothing has been wrong for 5 s', async (t) => {
  const { clock, promises, oldest } = promisesOf(2)
  promises.trouble(1, 'cut')
  promises.promised(promises.sending(all, 'test'), { now: [], later: [1], from: 0 }, '202')
  clock.ms = 20_000
  t.equal(oldest(1), 1)
  promises.well(1, 'mended')
  clock.ms = 24_000
  promises.trouble(0, 'cut')
  promises.well(0, 'mended')
  clock.ms = 28_999
  t.equal(oldest(1), 1, 'whoever hands it on was in trouble')
  clock.ms = 29_000
  t.equal(oldest(1), 2)
  promises.trouble(1, 'cut again')
  t.equal(oldest(1), 2, 'for good')
})

t.test('what nobody has confirmed is owed by nobody if there is trouble', async (t) => {
  const { clock, promises, oldest } = promisesOf(1)
  const promised = { now: [], later: [0], isFragile: true }
  promises.promised(promises.sending(all, 'test'), promised, '1 receiver')
  promises.trouble(0, 'cut')
  promises.well(0, 'mended')
  clock.ms = 60_000
  t.equal(oldest(0), 1)
})

t.test('a receipt promises for those it names, and for its own machine', async (t) => {
  const machines = ['x', 'y', 'z'].map((name, index) => ({ index, name }))
  const late = (machine: string) => ({ machine, worker: 'w', reason: 'late' }) as const
  const rows = [
    [
      { state: 'applied', machines: 3, missing: [] },
      { now: [0, 1, 2], later: [] },
    ],
    [
      { state: 'applied', machines: 2, missing: [] },
      { now: [0], later: [1, 2] },
    ],
    [
      { state: 'waiting', machines: 2, missing: [late('z')] },
      { now: [0, 1], later: [2] },
    ],
    [
      { state: 'waiting', machines: 1, missing: [late('x')] },
      { now: [], later: [0, 1, 2] },
    ],
    [
      { state: 'pending', machines: 1, missing: [] },
      { now: [0], later: [1, 2], from: 0 },
    ],
  ] as const
  for (const [receipt, promised] of rows) {
    t.same(promisedBy(machines, machines[0], receipt), promised, JSON.stringify(receipt))
  }
})

t.test('an answer is judged by its every octet', async (t) => {
  const etag = '"v2"'
  const [body, old] = [bodyOf(page, 2), bodyOf(page, 1)]
  const mixed = Buffer.concat([body.subarray(0, 2_000), old.subarray(2_000)])
  const range = { range: 'bytes=10-99' }
  const part = { etag, 'content-range': `bytes 10-99/${body.length}` }
  const rows: [
    name: string,
    wrong: RegExp | null,
    asked: object,
    answer: [number, object, Buffer],
  ][] = [
    ['right', null, {}, [200, { etag }, body]],
    ['old', /version 1, and 2/, {}, [200, { etag: '"v1"' }, old]],
    ['torn', /torn/, {}, [200, { etag }, body.subarray(0, 3_000)]],
    ['mixed', /mixed/, {}, [200, { etag }, mixed]],
    ['another entity tag', /under the entity tag/, {}, [200, { etag: '"v1"' }, body]],
    ['from the future', /not yet/, {}, [200, { etag: '"v4"' }, bodyOf(page, 4)]],
    ['an error', /odd status/, {}, [502, {}, Buffer.from('no')]],
    ['a part', null, range, [206, part, body.subarray(10, 100)]],
    ['a part of another', /mixed or torn/, range, [206, part, body.subarray(11, 101)]],
    ['not modified', null, { 'if-none-match': etag }, [304, { etag }, Buffer.alloc(0)]],
    ['unasked', /304/, {}, [304, { etag }, Buffer.alloc(0)]],
  ]
  for (const [name, wrong, headers, [status, fields, octets]] of rows) {
    const asked = { headers: { ...headers } }
    const said = judge(page, asked, { status, headers: { ...fields }, body: octets }, 2, 3)
    if (wrong === null) t.equal(said, null, name)
    else t.match(said, wrong, name)
  }
})
