import t from 'tap'
import { FATE, StreamHistory } from './stream-history.ts'

t.test('streams passed over are closed without having been open (§5.1.1)', async (t) => {
  const history = new StreamHistory()
  history.open(1)
  history.open(9)
  t.strictSame(
    [1, 3, 5, 7, 9].map((id) => history.fate(id)),
    [FATE.done, FATE.skipped, FATE.skipped, FATE.skipped, FATE.done],
  )
})

t.test('a reset by us is remembered for the next streams, not for ever', async (t) => {
  const history = new StreamHistory()
  history.open(1)
  history.noteReset(1)
  for (let id = 3; id < 500; id += 2) history.open(id)
  t.equal(history.fate(1), FATE.resetByUs)
  for (let id = 501; id < 600; id += 2) history.open(id)
  t.equal(history.fate(1), FATE.done, 'what is long ago counts as done')
  history.noteReset(1)
  t.equal(history.fate(513), FATE.done, 'an old stream does not mark a new one')
})

t.test('a leap over the whole space costs no more than what is remembered', async (t) => {
  const history = new StreamHistory()
  history.open(1)
  history.noteReset(1)
  history.open(0x7fff_ffff)
  t.equal(history.fate(0x7fff_fffd), FATE.skipped)
  t.equal(history.fate(1), FATE.done)
})
