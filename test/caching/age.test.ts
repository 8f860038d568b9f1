import { assertFreshFor } from '../support/asserts.ts'
import { onBoth } from '../support/edge.ts'

onBoth('Age is exact to the second (RFC 9111 §5.1)', async (t, { get, origin, clock }) => {
  origin.answers('/', { fields: { 'Cache-Control': 'max-age=100' } })
  const miss = await get('/')
  t.equal(miss.age, undefined)
  for (const [ms, age] of [
    [0, 0],
    [999, 0],
    [1, 1],
    [999, 1],
    [1, 2],
    [58_000, 60],
  ]) {
    clock.advanceMs(ms)
    t.equal((await get('/')).age, age)
  }
  t.equal(origin.asked(), 1)
})

onBoth(
  'the age an upstream cache gives is counted on, and shown (RFC 9111 §4.2.3)',
  async (t, { get, origin, clock }) => {
    const fields = { 'Cache-Control': 'max-age=100', Age: '40' }
    origin.answers('/', { fields })
    const miss = await get('/')
    t.equal(miss.age, 40)
    t.match(miss.cacheStatus, /ttl=60/)
    clock.advanceSeconds(59)
    const hit = await get('/')
    t.equal(hit.age, 99)
    t.same(hit.fields.values('age'), ['99'])
    clock.advanceSeconds(1)
    await get('/')
    t.equal(origin.asked(), 2)
  },
)

onBoth('the larger of Age and the time since Date counts (RFC 9111 §4.2.3)', async (t, edge) => {
  const cacheControl = { 'Cache-Control': 'max-age=100' }
  const byDate = { ...cacheControl, Date: edge.clock.date(-70), Age: '10' }
  await assertFreshFor(t, edge, 30, { fields: byDate }, 'Date is older')
  const byAge = { ...cacheControl, Date: edge.clock.date(-10), Age: '70' }
  await assertFreshFor(t, edge, 30, { fields: byAge }, 'Age is older')
})

onBoth(
  'an Age that cannot be relied on makes the response stale at once (RFC 9111 §5.1)',
  async (t, edge) => {
    for (const age of [
      ['0', '0'],
      ['1', '5'],
      '1, 2',
      '-1',
      '1.5',
      'abc',
      '',
      '"5"',
      '5 seconds',
    ]) {
      const fields = { 'Cache-Control': 'max-age=100', ETag: '"x"', Age: age }
      await assertFreshFor(t, edge, 0, { fields }, JSON.stringify(age))
    }
  },
)

onBoth('a huge Age is old, not an overflow (RFC 9111 §1.2.2)', async (t, edge) => {
  for (const age of ['2147483648', '9'.repeat(30)]) {
    const fields = { 'Cache-Control': 'max-age=100', ETag: '"x"', Age: age }
    await assertFreshFor(t, edge, 0, { fields }, age)
  }
})

onBoth(
  'a slow answer is older than its head says (RFC 9111 §4.2.3)',
  async (t, { open, get, origin, clock }) => {
    origin.answers('/', (wire) => {
      clock.advanceSeconds(7)
      wire.answer({ fields: { 'Cache-Control': 'max-age=100', Age: '10' } })
    })
    await open({ path: '/' }).done()
    const hit = await get('/')
    t.equal(hit.age, 17)
    t.match(hit.cacheStatus, /hit; ttl=83/)
  },
)

onBoth(
  'the Date of a stored response is kept as it came (RFC 9110 §6.6.1)',
  async (t, { get, origin, clock }) => {
    const date = clock.date()
    origin.answers('/', { fields: { 'Cache-Control': 'max-age=100', Date: date } })
    await get('/')
    clock.advanceSeconds(50)
    t.same((await get('/')).fields.values('date'), [date])
  },
)

onBoth(
  'a response without Date gets the moment it came, once (RFC 9110 §6.6.1)',
  async (t, { get, origin, clock }) => {
    const date = clock.date()
    origin.answers('/', { fields: { 'Cache-Control': 'max-age=100', Date: null } })
    t.same((await get('/')).fields.values('date'), [date])
    clock.advanceSeconds(50)
    t.same((await get('/')).fields.values('date'), [date])
  },
)

onBoth(
  'a clock set back makes nothing fresh for longer than it was (RFC 9111 §4.2.3)',
  async (t, { get, origin, clock }) => {
    origin.answers('/', { fields: { 'Cache-Control': 'max-age=100' } })
    await get('/')
    clock.advanceSeconds(-50)
    t.equal((await get('/')).age, 0)
    clock.advanceSeconds(50 + 100)
    await get('/')
    t.equal(origin.asked(), 2)
  },
)
