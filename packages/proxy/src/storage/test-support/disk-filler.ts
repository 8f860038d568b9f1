import { createHash } from 'node:crypto'
import { DiskTier } from '../disk/disk-tier.ts'
import { patterned } from '../shared-tier.contract.ts'
import { metadata } from './stored.ts'

/**
 * A process that stores as fast as it can until it is killed, a key twice now and then, with a validation or a removal
 * in between: `node disk-filler.ts <folder> <seed>`. The body of a key tells by itself whether it is right.
 */
const [, , path, seed] = process.argv

/** Keys of one process. */
export const KEYS = 1000

export function keyOf(seed: string | number, i: number): string {
  return `${seed} ${i}`
}

/** Bytes of the body are told by the key and by the field x-round. */
export function bodyFor(key: string, round: number): Buffer {
  const digest = createHash('sha1').update(`${key} ${round}`).digest()
  const kind = digest[0] % 50
  const bytes =
    kind === 0 ? 1_100_000 : kind < 5 ? 70_000 + digest[1] * 100 : digest.readUInt16BE(1)
  return patterned(bytes, digest.readUInt32BE(4))
}

if (path !== undefined && process.argv[1].endsWith('disk-filler.ts')) await fill()

async function fill(): Promise<void> {
  const tier = new DiskTier({ path, maxSizeBytes: 1024 ** 3, onState: console.error })
  for (let i = 0; ; i++) {
    const key = keyOf(seed, i % KEYS)
    const round = Math.floor(i / KEYS)
    const fields = [['x-round', String(round)]] as const
    const insertion = tier.insert(metadata({ key, fields }), undefined)
    const body = bodyFor(key, round)
    insertion?.write(body.subarray(0, 10_000))
    insertion?.write(body.subarray(10_000))
    insertion?.commit()
    if (i % 7 === 0) {
      const [stored] = await tier.lookUp(keyOf(seed, (i >> 1) % KEYS))
      if (stored !== undefined) await tier.freshen(stored, stored.metadata)
    }
    if (i % 13 === 0) await tier.removeKey(keyOf(seed, (i >> 2) % KEYS))
    if (i % 16 === 0) await new Promise((resolve) => setImmediate(resolve))
    if (i === 200) process.send?.('under way')
  }
}
