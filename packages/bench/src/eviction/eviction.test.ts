import fc from 'fast-check'
import t from 'tap'
import type { EvictionOrder } from '../../../proxy/src/storage/eviction/eviction-order.ts'
import { PopularityTrace } from '../traces/popularity.ts'
import { CAPACITY_SHARES, comparePolicies, comparisonTable, POLICIES } from './compare.ts'
import { Fifo } from './fifo.ts'
import { Lru } from './lru.ts'
import { replay, type Workload, workload } from './replay.ts'
import { Sieve } from './sieve.ts'

/** The keys that a cache with room for so many holds after these requests, in any order. */
type Model = (requests: readonly number[], room: number) => number[]

function lruModel(requests: readonly number[], room: number): number[] {
  let queue: number[] = []
  for (const key of requests) queue = [...queue.filter((one) => one !== key), key].slice(-room)
  return queue
}

function fifoModel(requests: readonly number[], room: number): number[] {
  let queue: number[] = []
  for (const key of requests) if (!queue.includes(key)) queue = [...queue, key].slice(-room)
  return queue
}

/** The paper's text: the hand goes from old to new and begins again at the oldest. */
function sieveModel(requests: readonly number[], room: number): number[] {
  const queue: { key: number; visited: boolean }[] = []
  let hand = 0
  for (const key of requests) {
    const held = queue.find((one) => one.key === key)
    if (held !== undefined) held.visited = true
    else {
      if (queue.length === room) {
        for (; queue[hand].visited; hand = (hand + 1) % room) queue[hand].visited = false
        queue.splice(hand, 1)
        if (hand === queue.length) hand = 0
      }
      queue.push({ key, visited: false })
    }
  }
  return queue.map(({ key }) => key)
}

const CASES: [name: string, make: () => EvictionOrder, model: Model][] = [
  ['LRU', () => new Lru(), lruModel],
  ['FIFO', () => new Fifo(), fifoModel],
  ['SIEVE', () => new Sieve(), sieveModel],
]

for (const [name, make, model] of CASES) {
  t.test(`${name} holds what its model holds`, async (t) => {
    fc.assert(
      fc.property(fc.array(fc.nat({ max: 15 }), { maxLength: 300 }), (requests) => {
        const expected = model(requests, 5).sort()
        return String(heldAfter(make(), requests, 5).sort()) === String(expected)
      }),
      { numRuns: 500, seed: 7 },
    )
    t.pass('for 500 sequences')
  })
}

function heldAfter(order: EvictionOrder, requests: readonly number[], room: number): number[] {
  const slots = new Map<number, number>()
  for (const key of requests) {
    const slot = slots.get(key)
    if (slot !== undefined) order.visit(slot)
    else {
      if (slots.size === room) {
        const victim = order.victim()
        order.remove(victim)
        for (const [held, its] of slots) if (its === victim) slots.delete(held)
      }
      slots.set(key, order.add(key, 1, false))
    }
  }
  return [...slots.keys()]
}

t.test('a replay counts hits and their bytes behind the warm-up', async (t) => {
  const work: Workload = {
    name: '',
    // The first two of ten fill the cache.
    ids: Uint32Array.from([0, 1, 0, 2, 0, 1, 1, 3, 3, 0]),
    bytes: Uint32Array.from([10, 20, 30, 1000]),
    footprintBytes: 1060,
  }
  // FIFO in 40 bytes: 0 1 | 0 hit, 2 takes the place of 0 and 1, 0, 1 takes that of 2, 1 hit, 3 too large twice, 0 hit.
  const { objects, bytes } = replay(work, new Fifo(), 40)
  t.equal(objects, 3 / 8)
  t.equal(bytes, (10 + 20 + 10) / (10 + 30 + 10 + 20 + 20 + 1000 + 1000 + 10))
})

t.test('a workload numbers objects anew and knows their sizes', async (t) => {
  const make = () =>
    new PopularityTrace({ name: 'x', seed: 1, requests: 5000, objects: 900, skew: 1 })
  const work = workload(make(), 5000)
  const ids = new Uint32Array(5000)
  make().fill(ids)
  t.equal(work.bytes.length, new Set(ids).size)
  t.equal(work.bytes[work.ids[77]], make().bytesOf(ids[77]))
  t.equal(
    work.footprintBytes,
    work.bytes.reduce((sum, bytes) => sum + bytes, 0),
  )
})

t.test('the comparison has a cell for every trace, size and policy', async (t) => {
  const results = comparePolicies({ seed: 1, requests: 20_000, objects: 2000 })
  t.equal(results.length, 7 * CAPACITY_SHARES.length * POLICIES.length)
  for (const { ratios } of results) {
    t.ok(ratios.objects >= 0 && ratios.objects < 1, `${ratios.objects}`)
  }
  const of = (policy: string) =>
    results.filter((one) => one.policy === policy).reduce((sum, one) => sum + one.ratios.objects, 0)
  t.ok(of('S3-FIFO') > of('LRU'), 'the memory tier’s order is better than LRU')
  t.ok(of('LRU') > of('FIFO'), 'and LRU than FIFO')
  const lines = comparisonTable(results).split('\n')
  t.equal(lines.length, 2 + 7 * CAPACITY_SHARES.length + 2)
  for (const line of lines) t.equal(line.split('|').length, 2 + 2 + POLICIES.length, line)
})
