import { PurgeTable } from '@larder/purge-bus'
import { DEFAULT_RULE } from '../../../proxy/src/caching/cache-rule.ts'
import { reusePolicy } from '../../../proxy/src/caching/may-store.ts'
import { responseDirectives } from '../../../proxy/src/caching/targeted-cache-control.ts'
import { variantKey } from '../../../proxy/src/caching/vary.ts'
import { Fields } from '../../../proxy/src/http/fields.ts'
import { Purges } from '../../../proxy/src/purge/purges.ts'
import { MemoryTier } from '../../../proxy/src/storage/memory-tier.ts'
import { StoredResponse } from '../../../proxy/src/storage/stored-response.ts'
import { median } from '../report.ts'

const GIB = 2 ** 30
const ROUNDS = 1_001

/** What a worker does to accept a purge by tag that covers `count` responses in its memory; µs, the median. */
export function microsecondsToAccept(count: number): number {
  const table = new PurgeTable({ resolve: () => [] })
  const purges = new Purges({ table, whenCutOff: 'serve', isAlone: true, now: Date.now })
  const tier = new MemoryTier(16 * GIB, 1024)
  const body = Buffer.from('x')
  for (let index = 0; index < count; index++) tier.put(stored(index, body))
  if (tier.count !== count) throw new Error(`${tier.count} of ${count} are stored`)
  const rounds: number[] = []
  for (let number = 1; number <= ROUNDS; number++) {
    const startedAt = performance.now()
    purges.apply([
      { number, message: { type: 'tag', tenant: 'bench', tags: ['all'], soft: false } },
    ])
    rounds.push((performance.now() - startedAt) * 1e3)
  }
  const last = tier.lookUp(keyOf(count - 1))
  if (last === null || purges.judge(last) !== 'purged') throw new Error('It is not purged.')
  return median(rounds)
}

const FIELDS = Fields.from([['cache-control', 'max-age=3600']])
const POLICY = reusePolicy(200, FIELDS, responseDirectives(FIELDS), DEFAULT_RULE, 0)
const VARIANT = variantKey(undefined, FIELDS)
const TAGS = ['all']

function stored(index: number, body: Buffer): StoredResponse {
  const times = { responseAt: 0, ageBaseAt: 0, freshUntilAt: 3_600_000 }
  const facts = { status: 200, fields: FIELDS, policy: POLICY, part: undefined, ...times }
  const place = { key: keyOf(index), keyExtra: '', variant: VARIANT }
  return new StoredResponse({ ...place, ...facts, tags: TAGS, purgeSequence: 0 }, body)
}

function keyOf(index: number): string {
  return `bench\nhttp\nlocalhost\n/${index}`
}
