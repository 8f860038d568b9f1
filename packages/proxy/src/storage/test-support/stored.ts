import { DEFAULT_RULE } from '../../caching/cache-rule.ts'
import { reusePolicy } from '../../caching/may-store.ts'
import { responseDirectives } from '../../caching/targeted-cache-control.ts'
import { variantKey } from '../../caching/vary.ts'
import { Fields } from '../../http/fields.ts'
import type { StoredMetadata, StoredPart } from '../stored-response.ts'

export const NOW = Date.UTC(2026, 5, 15, 12)

export interface MetadataSketch {
  readonly key?: string
  readonly keyExtra?: string
  readonly vary?: string
  readonly request?: readonly (readonly [string, string])[]
  readonly fields?: readonly (readonly [string, string])[]
  readonly part?: StoredPart
  readonly responseAt?: number
  readonly tags?: readonly string[]
}

/** Metadata of a response that is fresh for a minute. */
export function metadata(sketch: MetadataSketch = {}): StoredMetadata {
  const { key = 'k', keyExtra = '', request = [], part, responseAt = NOW } = sketch
  const fields = Fields.from([['cache-control', 'max-age=60'], ...(sketch.fields ?? [])])
  if (sketch.vary !== undefined) fields.add('vary', sketch.vary)
  const status = part === undefined ? 200 : 206
  const controls = responseDirectives(fields)
  return {
    key,
    keyExtra,
    variant: variantKey(sketch.vary, Fields.from(request)),
    status,
    fields,
    responseAt,
    ageBaseAt: responseAt,
    freshUntilAt: responseAt + 60_000,
    policy: reusePolicy(status, fields, controls, DEFAULT_RULE, responseAt),
    part,
    tags: sketch.tags ?? [],
    purgeSequence: 0,
  }
}
