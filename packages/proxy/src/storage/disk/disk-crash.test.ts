import { type ChildProcess, fork } from 'node:child_process'
import { once } from 'node:events'
import t, { type Test } from 'tap'
import { bodyOf } from '../shared-tier.contract.ts'
import { diskTier, temporaryFolder } from '../test-support/disk.ts'
import { numbersFrom } from '../test-support/disk-files.ts'
import { bodyFor, KEYS, keyOf } from '../test-support/disk-filler.ts'
import { DiskIndex } from './disk-index.ts'
import type { DiskTier } from './disk-tier.ts'

/** Two processes are killed in each; more for a longer look. */
const ROUNDS = Number(process.env.DISK_CRASH_ROUNDS ?? 25)
t.setTimeout(60_000 + ROUNDS * 10_000)
const FILLER = new URL('../test-support/disk-filler.ts', import.meta.url)

t.test('a process killed while it stores costs misses, never wrong bytes', async (t) => {
  const path = temporaryFolder(t)
  const random = numbersFrom(4)
  let found = 0
  for (let round = 0; round < ROUNDS; round++) {
    const children = ['a', 'b'].map((name) => filler(t, path, `${round}${name}`))
    await Promise.all(children.map((child) => once(child, 'message')))
    await killed(children[0], random(300))
    await killed(children[1], random(100))
    const { tier, states } = diskTier(t, { path })
    found += (await verify(t, tier, `${round}a`)) + (await verify(t, tier, `${round}b`))
    t.equal(tier.corrupt, 0, 'what the index names is whole')
    t.same(states, [])
    await tier.close()
  }
  const index = new DiskIndex(path, 1024 ** 3)
  t.teardown(() => index.close())
  t.comment(`${ROUNDS} rounds, ${found} responses verified`)
  t.ok(found > ROUNDS * 50)
  t.ok(index.scan(undefined, 1_000_000).length >= found)
})

function filler(t: Test, path: string, seed: string): ChildProcess {
  const child = fork(FILLER, [path, seed])
  t.teardown(() => child.kill('SIGKILL'))
  return child
}

/** The moment of its death is the test's dice: any moment must do. */
async function killed(child: ChildProcess, afterMs: number): Promise<void> {
  setTimeout(() => child.kill('SIGKILL'), afterMs)
  await once(child, 'exit')
}

/** Every response that is found is, byte for byte, one that was stored under its key. */
async function verify(t: Test, tier: DiskTier, seed: string): Promise<number> {
  let found = 0
  for (let i = 0; i < KEYS; i++) {
    const key = keyOf(seed, i)
    const [stored] = await tier.lookUp(key)
    if (stored === undefined) continue
    found++
    const round = Number(stored.metadata.fields.get('x-round'))
    const isRight = (await bodyOf(stored)).equals(bodyFor(key, round))
    if (stored.metadata.key !== key || !isRight) t.fail(`wrong bytes for ${key}`)
  }
  return found
}
