import { deserialize, serialize } from 'node:v8'
import type { NumberMap } from './number-map.ts'
import type { NumberedPurge, PurgeMessage } from './purge-message.ts'
import { TenantMarks } from './tenant-marks.ts'

/** What a purge's URL means to the proxy: nothing, or the cache keys that it names, with their tenants. */
export type ResolveUrl = (
  url: string,
  type: 'url' | 'prefix',
) => readonly { readonly tenant: string; readonly key: string }[]

/** What a purge could match of a stored response. */
export interface StoredFacts {
  readonly tenant: string
  /** The primary cache key. A resolved URL equals it, a resolved prefix is a beginning of it. */
  readonly key: string
  readonly tags: readonly string[]
  /** The table's `number` when the fetch from the origin started. */
  readonly number: number
}

export type Validity = 'valid' | 'soft-purged' | 'purged'

export interface PurgeTableOptions {
  readonly resolve: ResolveUrl
  /** Default 1,000,000. */
  readonly maxEntries?: number
  /** Default 128 MiB, by estimate. */
  readonly maxBytes?: number
}

const DEFAULT_MAX_ENTRIES = 1_000_000
const DEFAULT_MAX_BYTES = 128 * 1024 * 1024
const TENANT_BYTES = 2_048
const FORMAT = 1
/** Where URLs are kept that nobody serves (yet): no tenant has this name. */
const UNRESOLVED = ''

/**
 * Which purge numbers matter still. A stored response is purged if a hard purge that matches it has a higher number
 * than it; soft-purged if a soft one has. Taking a purge in costs the same however much it covers, and nothing that
 * still matters is ever forgotten: when there is no room, the oldest numbers of the tenant with the most become one
 * number for all of that tenant.
 *
 * Purges may come in any order and more than once. URLs are kept as they came and resolved here, so that
 * `resolveAgain` follows a new configuration, and what `serialise` gives does not depend on one.
 */
export class PurgeTable {
  #resolve: ResolveUrl
  readonly #maxEntries: number
  readonly #maxBytes: number
  readonly #tenants = new Map<string, TenantMarks>()
  #allHard = 0
  #allSoft = 0
  /** Of URLs that nobody served and that there was no room for. */
  #unresolvedFloor = 0
  #number = 0
  #version = 0
  #folds = 0
  /** Kept up to date by `#recount`: exact after each batch. */
  #entries = 0
  #bytes = 0

  constructor(options: PurgeTableOptions) {
    this.#resolve = options.resolve
    this.#maxEntries = options.maxEntries ?? DEFAULT_MAX_ENTRIES
    this.#maxBytes = options.maxBytes ?? DEFAULT_MAX_BYTES
  }

  /** The highest number applied: what a fetch that starts now has to note. */
  get number(): number {
    return this.#number
  }

  /** Changes whenever an answer of `validity` could. */
  get version(): number {
    return this.#version
  }

  get stats(): {
    readonly entries: number
    readonly bytes: number
    readonly tenants: number
    /** Times that numbers were folded for want of room. */
    readonly folds: number
  } {
    const { size } = this.#tenants
    return { entries: this.#entries, bytes: this.#bytes, tenants: size, folds: this.#folds }
  }

  apply(purges: readonly NumberedPurge[]): void {
    if (purges.length === 0) return
    for (const { number, message } of purges) {
      this.#mark(number, message)
      if (number > this.#number) this.#number = number
      this.#keepWithinBounds()
    }
    this.#version++
  }

  /** Everything with a lower number counts as purged. */
  raiseFloor(number: number): void {
    if (number > this.#number) this.#number = number
    this.#purgeAll(number, false)
    this.#version++
  }

  validity(stored: StoredFacts): Validity {
    const { number, key, tags } = stored
    if (number >= this.#number) return 'valid'
    if (this.#allHard > number) return 'purged'
    const tenant = this.#tenants.get(stored.tenant)
    if (tenant?.hard.covers(key, tags, number)) return 'purged'
    if (this.#allSoft > number || tenant?.soft.covers(key, tags, number)) return 'soft-purged'
    return 'valid'
  }

  /**
   * Whether a response may be purged, softly or not, of which nothing is known yet but its key: any tag could be among
   * its own.
   */
  mayCover({ tenant, key, number }: Omit<StoredFacts, 'tags'>): boolean {
    if (number >= this.#number) return false
    const known = this.#tenants.get(tenant)
    if (known !== undefined) {
      if (Math.max(known.hard.highestTag, known.soft.highestTag) > number) return true
    }
    return this.validity({ tenant, key, tags: [], number }) !== 'valid'
  }

  /** The last soft purge that covers it; 0 when none does. */
  softNumber({ tenant, key, tags }: StoredFacts): number {
    return Math.max(this.#allSoft, this.#tenants.get(tenant)?.soft.highestOf(key, tags) ?? 0)
  }

  /** Nothing is stored any more that has a lower number: purges up to it have nothing left to do. */
  forgetBelow(number: number): void {
    for (const [id, tenant] of this.#tenants) {
      this.#changing(tenant, () => {
        tenant.hard.dropUpTo(number)
        tenant.soft.dropUpTo(number)
      })
      const highest = Math.max(tenant.hard.number, tenant.soft.number)
      if (tenant.size === 0 && highest <= number) this.#dropTenant(id)
    }
  }

  /** After the configuration has changed: the same URLs may mean other keys. */
  resolveAgain(resolve: ResolveUrl = this.#resolve): void {
    this.#resolve = resolve
    const sources: [message: 'url' | 'prefix', source: string, number: number, soft: boolean][] = []
    for (const tenant of this.#tenants.values()) {
      this.#changing(tenant, () => {
        for (const marks of [tenant.hard, tenant.soft]) {
          const soft = marks === tenant.soft
          for (const [text, number] of marks.urlSources.entries())
            sources.push(['url', text, number, soft])
          for (const [text, number] of marks.prefixSources.entries())
            sources.push(['prefix', text, number, soft])
          for (const map of [marks.keys, marks.prefixes.numbers]) map.clear()
          for (const map of [marks.urlSources, marks.prefixSources]) map.clear()
          marks.prefixes.forgetLengths()
        }
      })
    }
    sources.sort((a, b) => a[2] - b[2])
    for (const [type, source, number, soft] of sources) {
      this.#markSource(type, source, number, soft)
      this.#keepWithinBounds()
    }
    if (this.#unresolvedFloor > 0) {
      // One of the forgotten ones may be of a host that is served now.
      this.#purgeAll(this.#unresolvedFloor, false)
      this.#unresolvedFloor = 0
    }
    this.#version++
  }

  /** All of it, for a new worker or for the disk. */
  serialise(): Buffer {
    const tenants = [...this.#tenants].map(([id, { hard, soft }]) => [
      id,
      ...[hard, soft].map((marks) => ({
        number: marks.number,
        tags: new Map(marks.tags.entries()),
        urls: new Map(marks.urlSources.entries()),
        prefixes: new Map(marks.prefixSources.entries()),
      })),
    ])
    return serialize({
      format: FORMAT,
      number: this.#number,
      all: [this.#allHard, this.#allSoft],
      unresolvedFloor: this.#unresolvedFloor,
      tenants,
    })
  }

  /** Throws when the bytes are not what `serialise` gave. */
  static restore(bytes: Uint8Array, options: PurgeTableOptions): PurgeTable {
    const table = new PurgeTable(options)
    table.merge(bytes)
    return table
  }

  /** Takes in what another table has said with `serialise`, beside what is here. */
  merge(bytes: Uint8Array): void {
    const held = readSerialised(bytes)
    // First of all: what is not the highest of both makes nothing superfluous.
    this.#number = Math.max(this.#number, held.number)
    this.#purgeAll(held.all[0], false)
    this.#purgeAll(held.all[1], true)
    this.#unresolvedFloor = Math.max(this.#unresolvedFloor, held.unresolvedFloor)
    for (const [id, hard, soft] of held.tenants) {
      for (const marks of [hard, soft]) {
        const isSoft = marks === soft
        if (marks.number > 0) this.#purgeTenant(id, marks.number, isSoft)
        for (const [tag, number] of marks.tags) this.#markTag(id, tag, number, isSoft)
        for (const [url, number] of marks.urls) this.#markSource('url', url, number, isSoft)
        for (const [url, number] of marks.prefixes) this.#markSource('prefix', url, number, isSoft)
        this.#keepWithinBounds()
      }
    }
    this.#version++
  }

  #mark(number: number, message: PurgeMessage): void {
    const { soft } = message
    switch (message.type) {
      case 'url':
        for (const url of message.urls)
          this.#markSource('url', sourceOf(url, message.tenant), number, soft)
        return
      case 'prefix':
        for (const prefix of message.prefixes)
          this.#markSource('prefix', sourceOf(prefix, message.tenant), number, soft)
        return
      case 'tag':
        for (const tag of message.tags) this.#markTag(message.tenant, tag, number, soft)
        return
      case 'tenant':
        this.#purgeTenant(message.tenant, number, soft)
        return
      case 'all':
        this.#purgeAll(number, soft)
    }
  }

  #markTag(id: string, tag: string, number: number, soft: boolean): void {
    const tenant = this.#tenant(id)
    const marks = soft ? tenant.soft : tenant.hard
    marks.highestTag = Math.max(marks.highestTag, number)
    this.#raising(marks.tags, () => marks.tags.raise(tag, number))
  }

  #markSource(type: 'url' | 'prefix', source: string, number: number, soft: boolean): void {
    const { url, only } = readSource(source)
    const meant = this.#resolve(url, type).filter(({ tenant }) => only === '' || only === tenant)
    const owner = this.#tenant(meant[0]?.tenant ?? UNRESOLVED)
    const owned = soft ? owner.soft : owner.hard
    const sources = type === 'url' ? owned.urlSources : owned.prefixSources
    this.#raising(sources, () => sources.raise(source, number))
    for (const { tenant: id, key } of meant) {
      const tenant = this.#tenant(id)
      const marks = soft ? tenant.soft : tenant.hard
      if (type === 'url') this.#raising(marks.keys, () => marks.keys.raise(key, number))
      else this.#markPrefix(id, key, number, soft)
    }
  }

  #markPrefix(id: string, key: string, number: number, soft: boolean): void {
    const tenant = this.#tenant(id)
    const { prefixes } = soft ? tenant.soft : tenant.hard
    let taken = false
    this.#raising(prefixes.numbers, () => {
      taken = prefixes.raise(key, number)
    })
    if (!taken) this.#purgeTenant(id, number, soft)
  }

  #purgeTenant(id: string, number: number, soft: boolean): void {
    const tenant = this.#tenant(id)
    const marks = soft ? tenant.soft : tenant.hard
    if (number <= marks.number) return
    marks.number = number
    this.#changing(tenant, () => {
      for (const superfluous of soft ? [tenant.soft] : [tenant.hard, tenant.soft]) {
        if (number >= this.#number) superfluous.clear()
      }
    })
  }

  #purgeAll(number: number, soft: boolean): void {
    if (soft) this.#allSoft = Math.max(this.#allSoft, number)
    else this.#allHard = Math.max(this.#allHard, number)
    // Whatever else there is has a lower number, and nothing to add.
    if (!soft && number >= this.#number && number > 0) {
      this.#tenants.clear()
      this.#entries = 0
      this.#bytes = 0
    }
  }

  #keepWithinBounds(): void {
    while (this.#entries > this.#maxEntries || this.#bytes > this.#maxBytes) {
      this.#folds++
      const [id, tenant] = this.#largestTenant()
      if (tenant.size === 0) {
        // Nothing but tenants: the one that came first makes room.
        this.#foldTenant()
        continue
      }
      let folded = 0
      this.#changing(tenant, () => {
        folded = tenant.foldOldest()
      })
      if (id === UNRESOLVED) this.#unresolvedFloor = Math.max(this.#unresolvedFloor, folded)
      else tenant.hard.number = Math.max(tenant.hard.number, folded)
    }
  }

  #largestTenant(): [string, TenantMarks] {
    let largest: [string, TenantMarks] | undefined
    let size = -1
    for (const entry of this.#tenants) {
      if (entry[1].size <= size) continue
      size = entry[1].size
      largest = entry
    }
    if (largest === undefined) throw new Error('a table without tenants has no entries')
    return largest
  }

  #foldTenant(): void {
    for (const [id, { hard, soft }] of this.#tenants) {
      this.#allHard = Math.max(this.#allHard, hard.number, soft.number)
      this.#dropTenant(id)
      return
    }
  }

  #tenant(id: string): TenantMarks {
    const known = this.#tenants.get(id)
    if (known !== undefined) return known
    const tenant = new TenantMarks()
    this.#tenants.set(id, tenant)
    this.#entries++
    this.#bytes += TENANT_BYTES
    return tenant
  }

  #dropTenant(id: string): void {
    if (!this.#tenants.delete(id)) return
    this.#entries--
    this.#bytes -= TENANT_BYTES
  }

  #raising(map: NumberMap, change: () => void): void {
    const { size, bytes } = map
    change()
    this.#entries += map.size - size
    this.#bytes += map.bytes - bytes
  }

  #changing(tenant: TenantMarks, change: () => void): void {
    const { size, bytes } = tenant
    change()
    this.#entries += tenant.size - size
    this.#bytes += tenant.bytes - bytes
  }
}

/** A URL and the tenant it is meant for; neither holds a space. */
function sourceOf(url: string, tenant: string | undefined): string {
  return `${tenant ?? ''} ${url}`
}

function readSource(source: string): { url: string; only: string } {
  const space = source.indexOf(' ')
  return { url: source.slice(space + 1), only: source.slice(0, space) }
}

interface SerialisedMarks {
  readonly number: number
  readonly tags: Map<string, number>
  readonly urls: Map<string, number>
  readonly prefixes: Map<string, number>
}

interface Serialised {
  readonly format: number
  readonly number: number
  readonly all: readonly [number, number]
  readonly unresolvedFloor: number
  readonly tenants: readonly (readonly [string, SerialisedMarks, SerialisedMarks])[]
}

function readSerialised(bytes: Uint8Array): Serialised {
  // Only ever bytes of our own, which carried a checksum where they could have changed.
  const held = deserialize(bytes) as Serialised
  if (held?.format === FORMAT) return held
  throw new Error(`a purge table of format ${held?.format}; this version reads ${FORMAT}`)
}
