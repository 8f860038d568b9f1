import fc from 'fast-check'
import t from 'tap'
import { S3FifoCache, S3FifoModel } from '../test-support/s3-fifo-model.ts'
import { fingerprintOf, Ghosts } from './ghosts.ts'
import { S3Fifo } from './s3-fifo.ts'

const KEYS = 40

type Step = readonly ['ask' | 'remove' | 'freshen', number]

const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.tuple(
    fc.constantFrom('ask', 'ask', 'ask', 'ask', 'remove', 'freshen'),
    fc.nat({ max: KEYS - 1 }),
  ),
  { maxLength: 400 },
)

t.test('S3-FIFO evicts in the order of its paper, with one use to stay', async (t) => {
  fc.assert(
    fc.property(steps, (list) => {
      const cache = new S3FifoCache(1000)
      const model = new S3FifoModel(1000)
      for (const [kind, key] of list) {
        cache[kind](key)
        model[kind](key)
        if (String([...cache.keys].sort()) !== String(model.keys.sort())) return false
      }
      return true
    }),
    { numRuns: 1000, seed: 11 },
  )
  t.pass('for 1,000 sequences')
})

t.test('what is asked for once leaves before what is used, however much comes', async (t) => {
  const cache = new S3FifoCache(1000)
  for (let key = 0; key < 5; key++) cache.ask(key)
  for (let key = 0; key < 5; key++) cache.ask(key)
  for (let key = 100; key < 1100; key++) cache.ask(key)
  for (let key = 0; key < 5; key++) t.ok(cache.keys.has(key), `${key} is still there`)
})

t.test('back soon after its eviction it stays; much later it is new again', async (t) => {
  const order = new S3Fifo()
  for (let key = 1; key <= 3; key++) order.add(key, 10, true)
  const evict = (key: number) => {
    const slot = order.add(key, 10, false)
    t.equal(order.victim(), slot, 'on probation')
    order.remove(slot)
  }
  evict(100)
  const back = order.add(100, 10, false)
  evict(101)
  order.remove(back)
  for (let key = 102; key <= 104; key++) evict(key)
  evict(101)
})

t.test('what is removed for another reason than eviction is not remembered', async (t) => {
  const order = new S3Fifo()
  for (let key = 1; key <= 3; key++) order.add(key, 10, true)
  order.remove(order.add(100, 10, false))
  const slot = order.add(100, 10, false)
  t.equal(order.victim(), slot)
})

t.test('no search for a victim is longer than its bound, though all was used', async (t) => {
  const order = new S3Fifo()
  const slots = Array.from({ length: 5000 }, (_, i) => order.add(i, 10, false))
  for (const slot of slots) for (let use = 0; use < 3; use++) order.visit(slot)
  const first = order.victim()
  t.not(first, -1)
  order.remove(first)
  const left = new Set(slots)
  left.delete(first)
  while (left.size > 0) {
    const slot = order.victim()
    if (!left.delete(slot)) throw new Error(`slot ${slot} is not held`)
    order.remove(slot)
  }
  t.equal(order.victim(), -1, 'all of them leave, one by one')
})

t.test('ghosts: many are remembered, in their order, and the table grows with them', async (t) => {
  const ghosts = new Ghosts()
  const count = 50_000
  const fingerprints = Array.from({ length: count }, (_, i) => fingerprintOf(`key ${i}`))
  for (const fingerprint of fingerprints) ghosts.add(fingerprint, count)
  const known = fingerprints.filter((fingerprint) => ghosts.take(fingerprint, count)).length
  t.ok(known > count * 0.85, `${known} of ${count}`)
  t.notOk(ghosts.take(fingerprints[count - 1], count), 'taken once')
  for (const fingerprint of fingerprints.slice(0, 100)) ghosts.add(fingerprint, count)
  t.ok(ghosts.take(fingerprints[90], 10), 'the tenth from the end')
  t.notOk(ghosts.take(fingerprints[89], 10), 'the eleventh')
})

t.test('fingerprints of keys that differ in little spread over all places', async (t) => {
  const buckets = new Array(64).fill(0)
  for (let i = 0; i < 64_000; i++) buckets[fingerprintOf(`acme\nhttps://a.test/tiles/${i}`) & 63]++
  for (const count of buckets) t.ok(Math.abs(count - 1000) < 200, `${count} of 1,000`)
})
