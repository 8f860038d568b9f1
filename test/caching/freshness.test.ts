import { assertFreshFor, assertReused } from '../support/asserts.ts'
import { onBoth } from '../support/edge.ts'

onBoth(
  'a fresh stored response is used without asking the origin (RFC 9111 §4)',
  async (t, { get, origin }) => {
    origin.answers('/', { fields: { 'Cache-Control': 'max-age=60' }, body: 'hello' })
    const first = await get('/')
    const second = await get('/')
    t.equal(origin.asked(), 1)
    t.equal(first.cacheStatus, 'Larder; fwd=uri-miss; fwd-status=200; stored; ttl=60')
    t.equal(second.cacheStatus, 'Larder; hit; ttl=60')
    t.equal(second.text, 'hello')
  },
)

onBoth('s-maxage before max-age before Expires minus Date (RFC 9111 §4.2.1)', async (t, edge) => {
  const expires = (seconds: number) => edge.clock.date(seconds)
  const all = { 'Cache-Control': 'max-age=20, s-maxage=10', Expires: expires(30) }
  await assertFreshFor(t, edge, 10, { fields: all }, 's-maxage')
  const two = { 'Cache-Control': 'max-age=20', Expires: expires(30) }
  await assertFreshFor(t, edge, 20, { fields: two }, 'max-age')
  await assertFreshFor(t, edge, 30, { fields: { Expires: expires(30) } }, 'Expires')
})

onBoth(
  'Expires counts from the Date of the response, whatever the origin takes the time to be (RFC 9111 §4.2.1)',
  async (t, edge) => {
    const ahead = { Date: edge.clock.date(3600), Expires: edge.clock.date(3660) }
    await assertFreshFor(t, edge, 60, { fields: ahead }, 'an origin an hour ahead')
    const noDate = { Date: null, Expires: edge.clock.date(60) }
    await assertFreshFor(t, edge, 60, { fields: noDate }, 'an origin without Date')
    const past = { Date: edge.clock.date(), Expires: edge.clock.date(-1) }
    await assertFreshFor(t, edge, 0, { fields: past }, 'Expires in the past')
    const same = { Date: edge.clock.date(), Expires: edge.clock.date() }
    await assertFreshFor(t, edge, 0, { fields: same }, 'Expires equal to Date')
  },
)

onBoth(
  'an origin whose clock is behind gives responses that are old when they come (RFC 9111 §4.2.3)',
  async (t, edge) => {
    const behind = { Date: edge.clock.date(-100), 'Cache-Control': 'max-age=160' }
    await assertFreshFor(t, edge, 60, { fields: behind }, 'a hundred seconds behind')
    const long = { Date: edge.clock.date(-3600), 'Cache-Control': 'max-age=60' }
    await assertFreshFor(t, edge, 0, { fields: long }, 'an hour behind')
  },
)

onBoth(
  'two Date lines are as none: the response counts from when it came (RFC 9110 §6.6.1)',
  async (t, edge) => {
    const date = edge.clock.date(-100)
    const fields = { Date: [date, date], 'Cache-Control': 'max-age=60' }
    await assertFreshFor(t, edge, 60, { fields }, 'two lines')
  },
)

onBoth(
  'a freshness lifetime that is no delta-seconds leaves the response stale (RFC 9111 §4.2.1)',
  async (t, edge) => {
    const validator = { ETag: '"x"' }
    for (const value of ['max-age=-1', 'max-age=60.5', 'max-age=abc', 'max-age=', 'max-age="a"']) {
      const fields = { 'Cache-Control': value, Expires: edge.clock.date(60), ...validator }
      await assertFreshFor(t, edge, 0, { fields }, value)
    }
    for (const value of [
      'max-age = 60',
      'max-age= 60',
      'max-age=0x3c',
      's-maxage=1e3, max-age=60',
    ]) {
      const fields = { 'Cache-Control': value, ...validator }
      await assertFreshFor(t, edge, 0, { fields }, value)
    }
  },
)

onBoth(
  'directives are read in any letter case, quoted, and among unknown ones (RFC 9111 §5.2)',
  async (t, edge) => {
    for (const value of [
      'MAX-AGE=60',
      'Max-Age="60"',
      'max-age=0060',
      'x-unknown="a, max-age=5", max-age=60',
      ',,max-age=60,,',
      'foo=bar, s-MaxAge=60, max-age=5',
    ]) {
      await assertFreshFor(t, edge, 60, { fields: { 'Cache-Control': value } }, value)
    }
  },
)

onBoth('of duplicate directives the first counts (RFC 9111 §4.2.1)', async (t, edge) => {
  for (const value of ['max-age=60, max-age=3600', ['max-age=60', 'max-age=3600']]) {
    await assertFreshFor(t, edge, 60, { fields: { 'Cache-Control': value } }, String(value))
  }
})

onBoth('a lifetime beyond all numbers is a long one (RFC 9111 §1.2.2)', async (t, edge) => {
  for (const value of ['max-age=2147483648', 'max-age=99999999999', `max-age=${'9'.repeat(400)}`]) {
    const answer = { fields: { 'Cache-Control': value } }
    await assertReused(t, edge, true, answer, value.slice(0, 30))
  }
})

onBoth(
  'without explicit freshness a tenth of the time since Last-Modified is taken (RFC 9111 §4.2.2)',
  async (t, edge) => {
    const fields = { 'Last-Modified': edge.clock.date(-1000) }
    await assertFreshFor(t, edge, 100, { fields }, 'a thousand seconds old')
    const recent = { 'Last-Modified': edge.clock.date(-9) }
    await assertFreshFor(t, edge, 0, { fields: recent }, 'nine seconds old')
    const future = { 'Last-Modified': edge.clock.date(500) }
    await assertFreshFor(t, edge, 0, { fields: future }, 'modified in the future')
    await assertFreshFor(t, edge, 0, { fields: {} }, 'nothing to go by')
    const byDate = { 'Last-Modified': edge.clock.date(-2000), Date: edge.clock.date(1000) }
    await assertFreshFor(t, edge, 300, { fields: byDate }, 'counted from Date')
  },
)

onBoth(
  'heuristic freshness is for heuristically cacheable statuses, or for any with public (RFC 9111 §4.2.2)',
  async (t, edge) => {
    const old = { 'Last-Modified': edge.clock.date(-1000) }
    for (const status of [200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501]) {
      await assertReused(t, edge, true, { status, fields: old }, `${status}`)
    }
    for (const status of [201, 202, 302, 303, 307, 400, 403, 418, 500, 502, 503, 504, 299, 499]) {
      await assertReused(t, edge, false, { status, fields: old }, `${status}`)
      const publicly = { ...old, 'Cache-Control': 'public' }
      await assertReused(t, edge, true, { status, fields: publicly }, `${status} public`)
    }
  },
)

onBoth(
  'an explicit lifetime of any length goes before the heuristic (RFC 9111 §4.2.2)',
  async (t, edge) => {
    const old = { 'Last-Modified': edge.clock.date(-100_000) }
    await assertFreshFor(t, edge, 5, { fields: { ...old, 'Cache-Control': 'max-age=5' } }, 'short')
    await assertFreshFor(t, edge, 0, { fields: { ...old, Expires: '0' } }, 'Expires: 0')
  },
)

onBoth(
  'HTTP-dates are IMF-fixdate, RFC 850 or asctime in any letter case (RFC 9110 §5.6.7)',
  async (t, edge) => {
    const at = new Date(edge.clock.ms + 60_000)
    const imf = at.toUTCString()
    const [, day, month, year, time] = imf.split(' ')
    const weekday = at.toLocaleDateString('en', { weekday: 'long', timeZone: 'UTC' })
    const rfc850 = `${weekday}, ${day}-${month}-${year.slice(2)} ${time} GMT`
    const asctime = `${imf.slice(0, 3)} ${month} ${day} ${time} ${year}`
    for (const value of [imf, imf.toLowerCase(), imf.toUpperCase(), rfc850, asctime]) {
      const fields = { Date: edge.clock.date(), Expires: value }
      const { clock } = edge
      const before = clock.ms
      await assertFreshFor(t, edge, 60, { fields }, value)
      clock.advanceMs(before - clock.ms)
    }
  },
)

onBoth('what is nearly a date is the past in Expires (RFC 9111 §5.3)', async (t, edge) => {
  const at = new Date(edge.clock.ms + 3600_000)
  const imf = at.toUTCString()
  for (const value of [
    '0',
    '-1',
    '',
    'tomorrow',
    at.toISOString(),
    String(Math.floor(at.getTime() / 1000)),
    imf.replace('GMT', 'UTC'),
    imf.replace('GMT', '+0000'),
    imf.replace(' GMT', ''),
    imf.replace(',', ''),
    imf.replace(' ', '  '),
    imf.replaceAll(' ', '-'),
    imf.replace(/:\d\d GMT/, ' GMT'),
    imf.replace(/\d\d:/, '25:'),
    `${imf} x`,
  ]) {
    const fields = { Expires: value, ETag: '"x"' }
    await assertFreshFor(t, edge, 0, { fields }, JSON.stringify(value))
  }
  const twice = { Expires: [imf, at.toUTCString().replace(/\d{4}/, '2099')], ETag: '"x"' }
  await assertFreshFor(t, edge, 0, { fields: twice }, 'two different values')
})
