import t from 'tap'
import { IndexSuspicion, type Verdict } from './index-suspicion.ts'

const rows: [name: string, ends: [signal: string | null, atMs: number][], verdicts: Verdict[]][] = [
  ['one crash may have any cause', [['SIGSEGV', 0]], ['unsuspected']],
  [
    'two within a minute',
    [
      ['SIGBUS', 0],
      ['SIGABRT', 59_999],
    ],
    ['unsuspected', 'set-aside'],
  ],
  [
    'two that are a minute apart',
    [
      ['SIGSEGV', 0],
      ['SIGSEGV', 60_000],
    ],
    ['unsuspected', 'unsuspected'],
  ],
  [
    'killed, told to end, or ended by itself',
    [
      ['SIGKILL', 0],
      ['SIGTERM', 1],
      [null, 2],
      ['SIGKILL', 3],
    ],
    ['unsuspected', 'unsuspected', 'unsuspected', 'unsuspected'],
  ],
  [
    'a new index that is followed by as many crashes was not the cause',
    [
      ['SIGSEGV', 0],
      ['SIGSEGV', 1],
      ['SIGSEGV', 2],
      ['SIGSEGV', 3],
      ['SIGSEGV', 600_002],
      ['SIGSEGV', 600_003],
    ],
    ['unsuspected', 'set-aside', 'unsuspected', 'not-the-index', 'unsuspected', 'set-aside'],
  ],
]

for (const [name, ends, verdicts] of rows) {
  t.test(name, async (t) => {
    const suspicion = new IndexSuspicion()
    t.same(
      ends.map(([signal, at]) => suspicion.ended(signal, at)),
      verdicts,
    )
  })
}
