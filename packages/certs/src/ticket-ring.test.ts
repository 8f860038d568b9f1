import t from 'tap'
import {
  newTicketRing,
  parseRing,
  rotatedRing,
  serialiseRing,
  ticketKeySet,
} from './ticket-ring.ts'

const HOUR = 3_600_000
const NOW = Date.UTC(2026, 10, 20)

t.test('a key is next, current, former twice, and then forgotten', async (t) => {
  let ring = newTicketRing(NOW)
  const [key] = ring.keys
  const roles: string[] = []
  for (let rotation = 0; rotation < 5; rotation++) {
    ring = rotatedRing(ring, NOW + rotation * HOUR, HOUR)
    t.equal(rotatedRing(ring, NOW + (rotation + 1) * HOUR - 1, HOUR), ring, 'not a moment earlier')
    const { current, others } = ticketKeySet(ring)
    roles.push(key.equals(current) ? 'seals' : others.includes(key) ? 'opens' : 'forgotten')
    t.equal(ring.generation, 1 + rotation)
  }
  t.same(roles, ['opens', 'seals', 'opens', 'opens', 'forgotten'])
})

t.test('after a long time away nothing of before is left', async (t) => {
  const before = newTicketRing(NOW)
  const after = rotatedRing(before, NOW + 100 * HOUR + 7, HOUR)
  t.equal(after.keys.length, 4)
  t.notOk(after.keys.some((key) => before.keys.includes(key)))
  t.equal(after.since, NOW + 100 * HOUR, 'in step with those who were there')
})

t.test('a clock that is set back does not keep a key for ever', async (t) => {
  const ring = newTicketRing(NOW)
  const earlier = NOW - 1000 * HOUR
  const same = rotatedRing(ring, earlier, HOUR)
  t.equal(same.since, earlier)
  t.equal(rotatedRing(same, earlier + HOUR, HOUR).generation, 2)
  t.equal(rotatedRing(ring, NOW - HOUR / 2, HOUR), ring, 'a little is what clocks differ by')
})

t.test('a ring comes back as it was, and nothing else is one', async (t) => {
  const ring = rotatedRing(newTicketRing(NOW), NOW + HOUR, HOUR)
  t.same(parseRing(serialiseRing(ring)), ring)
  const good = JSON.parse(serialiseRing(ring))
  for (const bad of [
    '',
    'null',
    '[]',
    JSON.stringify({ ...good, since: 'x' }),
    JSON.stringify({ ...good, keys: [good.keys[0]] }),
    JSON.stringify({ ...good, keys: ['AA==', good.keys[0]] }),
    JSON.stringify({ ...good, keys: Array(5).fill(good.keys[0]) }),
  ]) {
    t.equal(parseRing(bad), null, bad.slice(0, 40))
  }
})
