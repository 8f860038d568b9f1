import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import t from 'tap'
import { DEFAULT_RULE } from '../../caching/cache-rule.ts'
import { reusePolicy } from '../../caching/may-store.ts'
import { responseDirectives } from '../../caching/targeted-cache-control.ts'
import { NO_VARIANT } from '../../caching/vary.ts'
import { Fields } from '../../http/fields.ts'
import type { StoredHandle } from '../shared-tier.ts'
import type { StoredMetadata } from '../stored-response.ts'
import { DiskTier } from './disk-tier.ts'

const NOW = Date.UTC(2026, 10, 20)

function metadata(key: string): StoredMetadata {
  const fields = Fields.from([
    ['cache-control', 'max-age=60'],
    ['etag', '"x"'],
  ])
  const policy = reusePolicy(200, fields, responseDirectives(fields), DEFAULT_RULE, NOW)
  return {
    key,
    keyExtra: '',
    variant: NO_VARIANT,
    status: 200,
    fields,
    responseAt: NOW,
    ageBaseAt: NOW,
    freshUntilAt: NOW + 60_000,
    policy,
    part: undefined,
    purgeSequence: 0,
  }
}

async function bodyOf(handle: StoredHandle, first = 0, end = handle.bodyLength): Promise<Buffer> {
  const pieces: Buffer[] = []
  const read = handle.read(first, end)
  for (let piece = await read.next(); piece !== null; piece = await read.next()) pieces.push(piece)
  return Buffer.concat(pieces)
}

t.test('what was committed is found, by another tier on the same folder too', async (t) => {
  const path = mkdtempSync(join(tmpdir(), 'larder-disk-'))
  t.teardown(() => rmSync(path, { recursive: true }))
  const tier = new DiskTier({ path, maxSizeBytes: 1 << 30, onState: (s, r) => t.comment(s, r) })
  for (const size of [0, 10, 5000, 70_000, 1024 * 1024, 3_000_000]) {
    const body = Buffer.alloc(size, `${size},`)
    const insertion = tier.insert(metadata(`k${size}`), size)
    for (let at = 0; at < size; at += 50_000) insertion?.write(body.subarray(at, at + 50_000))
    insertion?.commit()
    await tier.settled()
    const [handle] = await tier.lookUp(`k${size}`)
    t.ok(handle, `${size}`)
    t.ok((await bodyOf(handle)).equals(body))
    t.ok(
      (await bodyOf(handle, Math.floor(size / 3), Math.floor(size / 2))).equals(
        body.subarray(Math.floor(size / 3), Math.floor(size / 2)),
      ),
    )
  }
  await tier.close()
  const again = new DiskTier({ path, maxSizeBytes: 1 << 30, onState: (s, r) => t.comment(s, r) })
  const [handle] = await again.lookUp('k70000')
  t.equal((await bodyOf(handle)).length, 70_000)
  t.same(handle.metadata.fields.get('etag'), '"x"')
  await again.removeKey('k70000')
  t.same(await again.lookUp('k70000'), [])
  await again.close()
})
