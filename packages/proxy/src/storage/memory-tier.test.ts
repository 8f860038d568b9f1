import fc from 'fast-check'
import t from 'tap'
import type { EvictionOrder } from './eviction/eviction-order.ts'
import { MemoryTier } from './memory-tier.ts'
import { put, storageTierContract } from './storage-tier.contract.ts'
import type { Insertion } from './storage-tier.ts'
import { metadata } from './test-support/stored.ts'

t.test('the contract of every tier', (t) => {
  storageTierContract(t, (t, maxObjectBytes) => {
    const tier = new MemoryTier(1_000_000, maxObjectBytes)
    t.teardown(() => tier.close())
    return tier
  })
  t.end()
})

t.test('what is counted is what is held: everything removed leaves nothing', async (t) => {
  const tier = new MemoryTier(1_000_000, 1000)
  put(tier, {}, 'old')
  const once = tier.bytes
  put(tier, {}, 'new')
  t.equal(tier.bytes, once, 'a replacement counts once')
  t.equal(tier.count, 1)
  put(tier, { vary: 'x-a' }, 'variant')
  tier.removeKey('k')
  t.equal(tier.bytes, 0)
  t.equal(tier.count, 0)
})

t.test('bodies under way count, too, and nothing is evicted in vain', async (t) => {
  const tier = new MemoryTier(10_000, 10_000)
  put(tier, { key: 'small' }, 'x')
  const heldBytes = tier.bytes
  const first = tier.insert(metadata({ key: 'a' }), undefined)
  const second = tier.insert(metadata({ key: 'b' }), undefined)
  t.ok(first?.write(Buffer.alloc(6000)))
  t.notOk(second?.write(Buffer.alloc(6000)), 'there is no room for both')
  t.equal(tier.bytes, 6000 + heldBytes)
  t.ok(tier.lookUp('small'))
  first?.commit()
  t.equal(tier.lookUp('a')?.body.length, 6000)
})

t.test('the variants of one key are bounded: the oldest gives way', async (t) => {
  const tier = new MemoryTier(10_000_000, 1000)
  for (let i = 0; i < 300; i++) put(tier, { vary: 'x-a', request: [['x-a', `${i}`]] }, `${i}`)
  t.equal(tier.count, 256)
  t.equal(tier.lookUp('k')?.body.toString(), '299')
})

t.test('what was used stays; what came once leaves in its order', async (t) => {
  const size = sizeOfOne()
  const tier = new MemoryTier(size * 3, 1000)
  for (const key of ['a', 'b', 'c']) put(tier, { key }, 'x')
  touch(tier, 'a')
  put(tier, { key: 'd' }, 'x')
  t.ok(tier.lookUp('a'), 'used')
  t.notOk(tier.lookUp('b'), 'the oldest that was not used')
  put(tier, { key: 'e' }, 'x')
  t.notOk(tier.lookUp('c'))
  t.equal(tier.evictions, 2)
})

t.test('what was freshened or replaced is no one-hit wonder', async (t) => {
  const size = sizeOfOne()
  const tier = new MemoryTier(size * 4, 1000)
  for (const key of ['a', 'b', 'c', 'd']) put(tier, { key }, 'x')
  const stored = tier.lookUp('a')
  if (stored === null) throw new Error('a is held')
  tier.freshen(stored, metadata({ key: 'a' }))
  put(tier, { key: 'b' }, 'y')
  for (const key of ['e', 'f', 'g', 'h']) put(tier, { key }, 'x')
  t.ok(tier.lookUp('a'), 'freshened')
  t.ok(tier.lookUp('b'), 'replaced')
})

t.test('the order of eviction is a choice', async (t) => {
  const tier = new MemoryTier(sizeOfOne() * 2, 1000, new NewestFirst())
  for (const key of ['a', 'b', 'c']) put(tier, { key }, 'x')
  t.ok(tier.lookUp('a'))
  t.notOk(tier.lookUp('b'))
})

type Step =
  | { readonly kind: 'put'; readonly key: number; readonly bytes: number }
  | { readonly kind: 'touch' | 'remove'; readonly key: number }
  | { readonly kind: 'begin'; readonly key: number; readonly bytes: number }
  | { readonly kind: 'finish' | 'give-up' }

const key = fc.nat({ max: 12 })
const bytes = fc.nat({ max: 3000 })
const steps: fc.Arbitrary<Step[]> = fc.array(
  fc.oneof(
    fc.record({ kind: fc.constant('put' as const), key, bytes }),
    fc.record({ kind: fc.constantFrom('touch' as const, 'remove' as const), key }),
    fc.record({ kind: fc.constant('begin' as const), key, bytes }),
    fc.record({ kind: fc.constantFrom('finish' as const, 'give-up' as const) }),
  ),
  { maxLength: 200 },
)

t.test('the bound holds after every step, whatever is done', async (t) => {
  fc.assert(
    fc.property(steps, (list) => {
      const tier = new MemoryTier(10_000, 2500)
      const underWay: Insertion[] = []
      for (const step of list) {
        perform(tier, underWay, step)
        if (tier.bytes > tier.maxBytes || tier.bytes < 0) return false
      }
      for (const insertion of underWay) insertion.abandon()
      for (let i = 0; i <= 12; i++) tier.removeKey(`${i}`)
      return tier.bytes === 0 && tier.count === 0
    }),
    { numRuns: 500, seed: 7 },
  )
  t.pass('for 500 sequences')
})

/** A foolish order, so that it cannot be taken for the real one. */
class NewestFirst implements EvictionOrder {
  readonly #slots: number[] = []

  add(): number {
    return this.#slots.push(this.#slots.length) - 1
  }

  visit(): void {}

  victim(): number {
    return this.#slots.at(-1) ?? -1
  }

  remove(): void {
    this.#slots.pop()
  }
}

function perform(tier: MemoryTier, underWay: Insertion[], step: Step): void {
  if (step.kind === 'put') put(tier, { key: `${step.key}` }, 'x'.repeat(step.bytes))
  else if (step.kind === 'touch') touch(tier, `${step.key}`)
  else if (step.kind === 'remove') tier.removeKey(`${step.key}`)
  else if (step.kind === 'begin') {
    const insertion = tier.insert(metadata({ key: `${step.key}` }), undefined)
    if (insertion?.write(Buffer.alloc(step.bytes))) underWay.push(insertion)
  } else if (step.kind === 'finish') underWay.shift()?.commit()
  else underWay.shift()?.abandon()
}

function touch(tier: MemoryTier, key: string): void {
  const stored = tier.lookUp(key)
  if (stored !== null) tier.touch(stored)
}

/** Bytes that the tier counts for a response with a key and a body of one character. */
function sizeOfOne(): number {
  const tier = new MemoryTier(1_000_000, 1000)
  put(tier, { key: 'a' }, 'x')
  return tier.bytes
}
