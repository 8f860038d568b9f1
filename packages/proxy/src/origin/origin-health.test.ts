import t from 'tap'
import { OriginHealth } from './origin-health.ts'

t.test('an origin is down after two failures in a row, not after one', async (t) => {
  const health = new OriginHealth()
  health.notConnected(1000)
  t.ok(health.mayBeAsked(1000))
  health.connected()
  health.notConnected(1000)
  t.ok(health.mayBeAsked(1000), 'a success in between starts anew')
  health.notConnected(1000)
  t.notOk(health.mayBeAsked(1000))
})

t.test('a burst of failures counts as one outage', async (t) => {
  const health = new OriginHealth()
  for (let i = 0; i < 40; i++) health.notConnected(1000)
  t.notOk(health.mayBeAsked(1499))
  t.ok(health.mayBeAsked(1500), 'it is tried again after half a second')
})

t.test('one request per period finds out, and the periods grow to ten seconds', async (t) => {
  const health = new OriginHealth()
  let now = 1000
  health.notConnected(now)
  health.notConnected(now)
  const waits: number[] = []
  for (let i = 0; i < 7; i++) {
    waits.push(health.downUntil - now)
    now = health.downUntil
    health.asked(now)
    t.notOk(health.mayBeAsked(now), 'nobody else is sent there meanwhile')
    health.notConnected(now)
  }
  t.same(waits, [500, 1000, 2000, 4000, 8000, 10_000, 10_000])
  health.connected()
  t.ok(health.mayBeAsked(now))
})
