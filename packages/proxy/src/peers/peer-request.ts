import type { SliceRequest } from '../caching/slices.ts'
import { Fields } from '../http/fields.ts'
import { endToEnd } from '../http/hop-by-hop.ts'
import type { StoredMetadata } from '../storage/stored-response.ts'
import type { ClientFacts, RequestHead } from '../transport/exchange.ts'

/**
 * What one worker tells another of a client's request, beside the request itself. The field travels over a socket that
 * only this proxy's workers can open; from clients and origins it is not believed.
 */
export const PEER_FIELD = 'larder-peer'
/** On the way back: when the answer's age counts from, and when it becomes stale, epoch ms. */
export const PEER_AGE_FIELD = 'larder-peer-age-base'
/** On the way back: tags of what is stored, JSON in base64url, and the purge number it carries. */
const PEER_TAGS_FIELD = 'larder-peer-tags'
const PEER_NUMBER_FIELD = 'larder-peer-purges'
/** On the way back: the file in which the body grows that follows. */
const PEER_FILE_FIELD = 'larder-peer-file'

interface PeerFacts {
  readonly scheme: 'http' | 'https'
  readonly authority: string
  readonly httpVersion: RequestHead['httpVersion']
  readonly client: ClientFacts
  /** The asking worker has applied purges up to this number: the answer must not be older. */
  readonly purgeNumber: number
  readonly slice?: SliceRequest
}

/** The client's fields without its own conditions and range, which the asking worker evaluates. */
export function peerFields(
  request: RequestHead,
  client: ClientFacts,
  conditions: Fields,
  purgeNumber: number,
  slice: SliceRequest | null,
): Fields {
  const facts: PeerFacts = {
    scheme: request.scheme,
    authority: request.authority,
    httpVersion: request.httpVersion,
    client,
    purgeNumber,
    ...(slice === null ? {} : { slice }),
  }
  const own = endToEnd(request.fields).without((name) => NOT_PASSED_ON.has(name))
  const host = request.authority === '' ? 'larder' : request.authority
  return new Fields([
    'host',
    host,
    PEER_FIELD,
    Buffer.from(JSON.stringify(facts)).toString('base64url'),
    ...own.list,
    ...conditions.list,
  ])
}

const NOT_PASSED_ON: ReadonlySet<string> = new Set([
  'host',
  'if-none-match',
  'if-modified-since',
  'if-range',
  'range',
  'expect',
  'content-length',
  PEER_FIELD,
])

/** The request as the client made it; null when the peer did not say. */
export function readPeerRequest(head: RequestHead): {
  request: RequestHead
  client: ClientFacts
  purgeNumber: number
  slice: SliceRequest | null
} | null {
  const text = head.fields.get(PEER_FIELD)
  if (text === undefined) return null
  let facts: PeerFacts
  try {
    // Written by a worker of this proxy: its shape is the one above.
    facts = JSON.parse(Buffer.from(text, 'base64url').toString()) as PeerFacts
  } catch {
    return null
  }
  const { scheme, authority, httpVersion, client, purgeNumber, slice = null } = facts
  const fields = head.fields.without((name) => name === PEER_FIELD)
  const request = { ...head, scheme, authority, httpVersion, fields }
  return { request, client, purgeNumber, slice }
}

/** What another worker has to know of a stored response beside its fields, so that a purge finds its copy, too. */
export function addPeerMetadata(
  fields: Fields,
  { tags, purgeSequence }: Pick<StoredMetadata, 'tags' | 'purgeSequence'>,
): void {
  fields.add(PEER_NUMBER_FIELD, String(purgeSequence))
  if (tags.length === 0) return
  fields.add(PEER_TAGS_FIELD, Buffer.from(JSON.stringify(tags)).toString('base64url'))
}

/** Of an answer whose body is being stored: where the asking worker may read what it has not kept. */
export function addPeerFile(fields: Fields, file: number | undefined): void {
  if (file !== undefined) fields.add(PEER_FILE_FIELD, String(file))
}

/** What the owner says beside its answer, and the answer without it. */
export function readPeerAnswer(received: Fields): {
  fields: Fields
  /** The owner's own member of Cache-Status. */
  cacheStatus: string
  /** Epoch ms; undefined when the answer did not come out of the owner's store. */
  ageBaseAt: number | undefined
  /** 0 when it did not say: nothing could be older. */
  purgeNumber: number
  /** Of `addPeerFile`. */
  file: number | undefined
  /** undefined when they have to be read from the fields. */
  tags: readonly string[] | undefined
} {
  const ageText = received.get(PEER_AGE_FIELD)
  const ageBaseAt = ageText === undefined ? undefined : Number(ageText)
  const lines = received.values('cache-status')
  const cacheStatus = lines.pop() ?? ''
  const numberText = received.get(PEER_NUMBER_FIELD)
  const tagsText = received.get(PEER_TAGS_FIELD)
  const fileText = received.get(PEER_FILE_FIELD)
  const fields = received.without((name) => OF_PEERS.has(name) || name === 'cache-status')
  for (const line of lines) fields.add('cache-status', line)
  return {
    fields,
    cacheStatus,
    ageBaseAt,
    purgeNumber: numberText === undefined ? 0 : Number(numberText),
    file: fileText === undefined ? undefined : Number(fileText),
    tags: numberText === undefined ? undefined : readTags(tagsText),
  }
}

const OF_PEERS: ReadonlySet<string> = new Set([
  PEER_AGE_FIELD,
  PEER_TAGS_FIELD,
  PEER_NUMBER_FIELD,
  PEER_FILE_FIELD,
])

function readTags(text: string | undefined): readonly string[] {
  // Written by `addPeerMetadata`.
  return text === undefined
    ? []
    : (JSON.parse(Buffer.from(text, 'base64url').toString()) as string[])
}
