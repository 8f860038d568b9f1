import t from 'tap'
import { BackOff } from './back-off.ts'

t.test('the first death costs no wait, early ones after it wait longer and longer', async (t) => {
  const backOff = new BackOff()
  const delays = Array.from({ length: 10 }, () => backOff.delayAfterDeathMs(100))
  t.same(delays, [0, 250, 500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000])
  t.ok(backOff.isCrashLoop)
})

t.test('a worker that lived long enough starts anew', async (t) => {
  const backOff = new BackOff()
  for (let count = 0; count < 5; count++) backOff.delayAfterDeathMs(100)
  backOff.recovered(2_999)
  t.ok(backOff.isCrashLoop)
  backOff.recovered(3_000)
  t.notOk(backOff.isCrashLoop)
  t.equal(backOff.delayAfterDeathMs(100), 0)
  backOff.delayAfterDeathMs(100)
  t.equal(backOff.delayAfterDeathMs(60_000), 0)
})
