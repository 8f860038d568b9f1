import t from 'tap'
import { logNormalBytes } from './body-sizes.ts'
import { TRACES } from './catalogue.ts'
import { DriftTrace } from './drift.ts'
import { MapTilesTrace } from './map-tiles.ts'
import { PopularityTrace } from './popularity.ts'
import { Random } from './random.ts'
import { ScanTrace } from './scan.ts'
import type { Trace } from './trace.ts'
import { VideoTrace } from './video.ts'
import { Zipf } from './zipf.ts'

const OPTIONS = { seed: 7, requests: 100_000, objects: 10_000 }

function drawn(trace: Trace, requests = OPTIONS.requests): Uint32Array {
  const ids = new Uint32Array(requests)
  trace.fill(ids)
  return ids
}

function counted(ids: Uint32Array): Map<number, number> {
  const counts = new Map<number, number>()
  for (const id of ids) counts.set(id, (counts.get(id) ?? 0) + 1)
  return counts
}

t.test('numbers are even, and the same for the same seed', async (t) => {
  const random = new Random(1)
  const buckets = new Array(16).fill(0)
  for (let i = 0; i < 160_000; i++) buckets[random.below(16)]++
  for (const count of buckets) t.ok(Math.abs(count - 10_000) < 500, `${count} of 10,000`)
  const [a, b, c] = [new Random(5), new Random(5), new Random(6)]
  const first = Array.from({ length: 8 }, () => a.uint32())
  t.strictSame(
    Array.from({ length: 8 }, () => b.uint32()),
    first,
  )
  t.notSame(
    Array.from({ length: 8 }, () => c.uint32()),
    first,
  )
})

for (const skew of [0.7, 1, 1.2]) {
  t.test(`ranks by Zipf's law with skew ${skew}, held against the law itself`, async (t) => {
    const size = 1000
    const draws = 200_000
    const zipf = new Zipf(size, skew)
    const random = new Random(3)
    const counts = new Float64Array(size)
    for (let i = 0; i < draws; i++) counts[zipf.rank(random)]++
    const weights = Array.from({ length: size }, (_, k) => (k + 1) ** -skew)
    const sum = weights.reduce((total, weight) => total + weight, 0)
    let squares = 0
    for (const [k, weight] of weights.entries()) {
      const expected = (draws * weight) / sum
      squares += (counts[k] - expected) ** 2 / expected
    }
    // Chi-squared with 999 degrees of freedom is below 1,200 with a probability of 0.99998.
    t.ok(squares < 1200, `chi-squared ${squares.toFixed(0)}`)
  })
}

t.test('sizes are log-normal: half below the median, a tail above', async (t) => {
  const bytesOf = logNormalBytes(1, 9000, 1.4)
  const sizes = Array.from({ length: 20_000 }, (_, id) => bytesOf(id)).sort((a, b) => a - b)
  t.ok(Math.abs(sizes[10_000] / 9000 - 1) < 0.05, `median ${sizes[10_000]}`)
  // One standard deviation of the logarithm above the median: 84 % are below.
  const above = sizes.findIndex((bytes) => bytes > 9000 * Math.exp(1.4)) / sizes.length
  t.ok(Math.abs(above - 0.841) < 0.01, `${above}`)
  t.ok(sizes[19_999] <= 1024 * 1024)
  t.equal(bytesOf(5), bytesOf(5))
})

for (const make of TRACES) {
  const { name } = make(OPTIONS)
  t.test(`${name}: reproducible, in pieces of any size, within its bounds`, async (t) => {
    const whole = drawn(make(OPTIONS))
    const again = make(OPTIONS)
    const pieces = [drawn(again, 1), drawn(again, 4095), drawn(again, 60_000)]
    const begun = octets(whole).subarray(0, 4 * 64_096)
    t.ok(Buffer.concat(pieces.map(octets)).equals(begun), 'the same again')
    const other = drawn(make({ ...OPTIONS, seed: 8 }))
    t.notOk(octets(other).equals(octets(whole)), 'another seed')
    const trace = make(OPTIONS)
    let highest = 0
    for (const id of whole) highest = Math.max(highest, id)
    t.ok(highest < trace.idLimit, `${highest} < ${trace.idLimit}`)
    t.ok(trace.bytesOf(highest) > 0)
    t.ok(counted(whole).size > 1000, 'more than a few objects')
  })
}

function octets(ids: Uint32Array): Buffer {
  return Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength)
}

t.test('one-hit wonders are asked for once, and as often as was said', async (t) => {
  const trace = new PopularityTrace({ ...OPTIONS, name: '', skew: 1, oneHitShare: 0.3 })
  const counts = counted(drawn(trace))
  const wonders = [...counts].filter(([id]) => id >= OPTIONS.objects)
  t.ok(wonders.every(([, count]) => count === 1))
  t.ok(Math.abs(wonders.length / OPTIONS.requests - 0.3) < 0.01, `${wonders.length}`)
})

t.test('crawlers reach every object, and clients have most of the requests', async (t) => {
  const counts = counted(drawn(new ScanTrace(OPTIONS), 200_000))
  t.equal(counts.size, OPTIONS.objects, 'nothing is left out')
  const rare = [...counts.values()].filter((count) => count < 16).length
  t.ok(rare > OPTIONS.objects / 2, 'most objects are asked for by crawlers alone')
  t.ok((counts.get(0) ?? 0) > 2000, 'some by everybody')
})

t.test(
  'popularity drifts: the favourites of the first day are not those of the last',
  async (t) => {
    const ids = drawn(new DriftTrace(OPTIONS))
    const favourites = (from: number) =>
      [...counted(ids.subarray(from, from + 25_000))]
        .sort((a, b) => b[1] - a[1])
        .slice(0, 50)
        .map(([id]) => id)
    const first = favourites(0)
    const stayed = favourites(75_000).filter((id) => first.includes(id)).length
    t.ok(stayed < 25, `${stayed} of 50 stayed`)
    t.ok(stayed > 0, 'and yet not all at once')
  },
)

t.test('live segments come in order and never again; titles are played on', async (t) => {
  const ids = drawn(new VideoTrace(OPTIONS))
  const liveStart = 33 * 300
  const live = ids.filter((id) => id >= liveStart)
  t.ok(Math.abs(live.length / ids.length - 0.5) < 0.01)
  const instantOf = (id: number) => Math.floor((id - liveStart) / 20)
  let edge = 0
  let farthestBehind = 0
  for (const id of live) {
    edge = Math.max(edge, instantOf(id))
    farthestBehind = Math.max(farthestBehind, edge - instantOf(id))
  }
  t.equal(farthestBehind, 5)
  t.ok(edge > 90, 'the edge has moved')
  const titles = ids.filter((id) => id < liveStart)
  const begun = titles.filter((id) => id % 300 === 0).length
  const later = titles.filter((id) => id % 300 === 100).length
  t.ok(begun > later * 4, 'most leave before the end')
})

t.test('tiles are asked for in windows of neighbours', async (t) => {
  const ids = drawn(new MapTilesTrace(OPTIONS), 12_000)
  for (let at = 0; at < ids.length; at += 12) {
    const window = [...ids.subarray(at, at + 12)].sort((a, b) => a - b)
    if (window[3] - window[0] !== 3) t.fail(`no four in a row at ${at}`)
  }
  const [top] = [...counted(ids)].sort((a, b) => b[1] - a[1])
  t.ok(top[1] > 20, 'some tiles are on everybody’s way')
})
