import { deflateRawSync, inflateRawSync } from 'node:zlib'
import type { FreshnessSource } from '../caching/freshness.ts'
import { Fields } from '../http/fields.ts'
import { isSliced, type StoredMetadata, type StoredPart } from './stored-response.ts'

/**
 * Metadata as bytes for the tiers outside the process. Field sections repeat the same names and values everywhere:
 * deflate with a dictionary of them takes a typical section from 600 bytes to some 150, for 10 µs.
 */
export const METADATA_VERSION = 2

const DICTIONARY = Buffer.from(
  [
    '"strict-transport-security","max-age=31536000; includeSubDomains; preload"',
    '"x-frame-options","SAMEORIGIN","DENY","referrer-policy","strict-origin-when-cross-origin"',
    '"content-security-policy","default-src \'self\'","permissions-policy","x-xss-protection"',
    '"access-control-allow-origin","*","access-control-allow-methods","x-powered-by","server","nginx"',
    '"surrogate-key","surrogate-control","cdn-cache-control","larder-cache-control","cache-tag"',
    '"application/json","application/javascript","text/css","image/png","image/jpeg","image/webp"',
    '"font/woff2","video/mp4","text/plain","accept-language","content-language","origin","cookie"',
    '"x-content-type-options","nosniff","accept-ranges","bytes","content-encoding","gzip","br"',
    '"last-modified","Mon, Tue, Wed, Thu, Fri, Sat, Sun, 01 Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec',
    ' 2026 00:00:00 GMT","expires","age","etag","W/\\"","vary","accept-encoding","date"',
    '"cache-control","public, max-age=31536000, immutable","max-age=3600","max-age=60","s-maxage="',
    ',"set-cookie"],"max-age","heuristic","default","rule","expires",[0,1,null,[],[],"",200,["date","',
    'content-type","text/html; charset=utf-8","content-length","1024"',
  ].join(''),
)

type PackedPart =
  | [first: number, completeLength: number]
  | [first: number, completeLength: number, sliceBytes: number, generation: string]

type Packed = [
  key: string,
  keyExtra: string,
  variantNames: readonly string[],
  variantValues: readonly (string | null)[],
  status: number,
  fields: readonly string[],
  responseAt: number,
  ageBaseAt: number,
  freshUntilAt: number,
  freshness: [lifetimeMs: number, source: FreshnessSource],
  flags: number,
  staleWhileRevalidateMs: number,
  staleIfErrorMs: number | null,
  withheldFields: readonly string[],
  part: PackedPart | null,
  purgeSequence: number,
  tags: readonly string[],
]

export function packMetadata(metadata: StoredMetadata): Buffer {
  const { policy, part, variant } = metadata
  const packed: Packed = [
    metadata.key,
    metadata.keyExtra,
    variant.names,
    variant.values.map((value) => value ?? null),
    metadata.status,
    metadata.fields.list,
    metadata.responseAt,
    metadata.ageBaseAt,
    metadata.freshUntilAt,
    [policy.freshness.lifetimeMs, policy.freshness.source],
    (policy.alwaysValidate ? 1 : 0) | (policy.mayServeStale ? 2 : 0) | (policy.immutable ? 4 : 0),
    policy.staleWhileRevalidateMs,
    policy.staleIfErrorMs ?? null,
    policy.withheldFields,
    part === undefined ? null : packPart(part),
    // A fraction is this process's own: what it fetched since then is older to all others (`PurgeBus`).
    Math.floor(metadata.purgeSequence),
    metadata.tags,
  ]
  return deflateRawSync(Buffer.from(JSON.stringify(packed), 'utf8'), { dictionary: DICTIONARY })
}

/** More than any metadata that was packed within the limits of a field section. */
const MAX_UNPACKED_BYTES = 4 * 1024 * 1024

/** Throws for bytes that no `packMetadata` of this version has made. */
export function unpackMetadata(bytes: Buffer): StoredMetadata {
  const text = inflateRawSync(bytes, {
    dictionary: DICTIONARY,
    maxOutputLength: MAX_UNPACKED_BYTES,
  }).toString('utf8')
  // Whoever reads this has checked the sum over the bytes: their shape is the one written above.
  const packed = JSON.parse(text) as Packed
  if (!Array.isArray(packed) || packed.length !== 17)
    throw new TypeError('metadata of another shape')
  const flags = packed[10]
  return {
    key: packed[0],
    keyExtra: packed[1],
    variant: { names: packed[2], values: packed[3].map((value) => value ?? undefined) },
    status: packed[4],
    fields: new Fields([...packed[5]]),
    responseAt: packed[6],
    ageBaseAt: packed[7],
    freshUntilAt: packed[8],
    policy: {
      freshness: { lifetimeMs: packed[9][0], source: packed[9][1] },
      alwaysValidate: (flags & 1) !== 0,
      mayServeStale: (flags & 2) !== 0,
      immutable: (flags & 4) !== 0,
      staleWhileRevalidateMs: packed[11],
      staleIfErrorMs: packed[12] ?? undefined,
      withheldFields: packed[13],
    },
    part: packed[14] === null ? undefined : unpackPart(packed[14]),
    purgeSequence: packed[15],
    tags: packed[16],
  }
}

function packPart({ first, completeLength, slices }: StoredPart): PackedPart {
  if (slices === undefined) return [first, completeLength]
  return [first, completeLength, slices.bytes, slices.generation]
}

function unpackPart([first, completeLength, bytes, generation]: PackedPart): StoredPart {
  if (bytes === undefined || generation === undefined) return { first, completeLength }
  return { first, completeLength, slices: { bytes, generation } }
}

/** Tells variants and parts of one key apart: 32 bits over what makes them different. */
export function slotText(metadata: StoredMetadata): string {
  const { variant, keyExtra, part } = metadata
  const kind = part === undefined ? 0 : isSliced(metadata) ? 2 : 1
  return JSON.stringify([keyExtra, variant.names, variant.values, kind])
}
