import type { CertificateSet, NamesImage, TicketKeySet } from '@larder/certs'
import type { ChallengeAnswers } from '@larder/certs/challenges'
import type { BusState, NumberedPurge, PurgeMessage } from '@larder/purge-bus'
import type { Config } from '../config/config.ts'
import type { MetricsSnapshot } from '../observability/metrics.ts'
import type { PurgeAnswer } from '../purge/purge-request.ts'
import type { DiskCensus } from '../storage/disk/disk-census.ts'
import type { EvictorCounts } from '../storage/disk/evictor.ts'
import type { Census } from '../storage/memory-census.ts'

/**
 * What goes over the channels between the primary and a worker or the process that evicts. Structured clones: typed
 * arrays stay what they are.
 */

export interface WorkerListener {
  readonly kind: 'http' | 'https'
  /** Names the listener on both sides. */
  readonly address: string
  readonly proxyProtocol: boolean
}

/** Where the sockets between the workers are, and how many workers there are. */
export interface PeerPlace {
  readonly folder: string
  readonly slots: number
}

/** Numeric ids: names are looked up once, by the primary. */
export interface Identity {
  readonly uid: number
  readonly gid: number
}

/** Where a worker listens by itself when the primary could not make the socket. */
export interface ListenOptions {
  readonly host: string
  readonly port: number
  readonly ipv6Only: boolean
  readonly reusePort: true
}

/** What is to be counted of what is stored. */
export interface CensusQuery {
  /** How many of the hottest keys. */
  readonly top: number
  /** Of this tenant alone. */
  readonly tenant?: string
  /** What this would purge, and nothing else; named, so that it counts once. */
  readonly purge?: PurgeMessage
}

export type ToWorker =
  | {
      readonly type: 'start'
      readonly slot: number
      /** Without certificates: those are asked for. */
      readonly config: Config
      /** Which names have a certificate; what follows comes as messages. */
      readonly certificateNames: NamesImage
      /** Where the sockets between the workers are. */
      readonly peers: PeerPlace
      /** Purges in force (`PurgeTable.serialise`); those that follow come as messages. */
      readonly purgeTable: Uint8Array
      /** Of session tickets; those that follow come as messages. */
      readonly ticketKeys: TicketKeySet
      /** What to become once everything is open; undefined = stay. */
      readonly identity: Identity | undefined
    }
  /** Comes with a listening handle unless `options` is there. */
  | {
      readonly type: 'listen'
      readonly listener: WorkerListener
      readonly options: ListenOptions | undefined
    }
  | { readonly type: 'close-listener'; readonly address: string }
  | { readonly type: 'configure'; readonly id: number; readonly config: Config }
  | { readonly type: 'invalidate'; readonly keys: readonly string[] }
  | { readonly type: 'ticket-keys'; readonly keys: TicketKeySet }
  | { readonly type: 'purges'; readonly purges: readonly NumberedPurge[] }
  /** Everything with a lower number counts as purged. */
  | { readonly type: 'purge-floor'; readonly number: number }
  /** Also says that the primary lives. */
  | {
      readonly type: 'purge-bus'
      readonly state: BusState['kind']
      /** As in `BusStatus`. */
      readonly pendingAfter: number | null
    }
  | { readonly type: 'purge-answer'; readonly id: number; readonly answer: PurgeAnswer }
  /** All that validating authorities may ask for now; `challenges-known` answers it. May come before the start. */
  | { readonly type: 'challenges'; readonly id: number; readonly answers: ChallengeAnswers }
  /** All names that have a certificate. */
  | { readonly type: 'certificate-names'; readonly names: NamesImage }
  /** What these names have is new, changed or gone; `certificates-seen` answers it. */
  | {
      readonly type: 'certificates-changed'
      readonly number: number
      readonly names: readonly string[]
      readonly hasFallback: boolean
    }
  | { readonly type: 'certificate'; readonly id: number; readonly set: CertificateSet | null }
  /** What memory holds; `census` answers it. */
  | { readonly type: 'take-census'; readonly id: number; readonly query: CensusQuery }
  | { readonly type: 'drain'; readonly deadlineMs: number }

export type FromWorker =
  | { readonly type: 'started' }
  | { readonly type: 'start-failed'; readonly message: string }
  | { readonly type: 'listening'; readonly address: string }
  | { readonly type: 'listen-failed'; readonly address: string; readonly message: string }
  | { readonly type: 'configured'; readonly id: number; readonly error: string | undefined }
  | WorkerBeat
  /** Stored responses that an unsafe request has invalidated (RFC 9111 §4.4), for the other workers. */
  | { readonly type: 'invalidated'; readonly keys: readonly string[] }
  /** All purges up to this number are in force here. */
  | { readonly type: 'purged'; readonly number: number }
  /** A client's PURGE request; `purge-answer` answers it. */
  | { readonly type: 'purge'; readonly id: number; readonly message: PurgeMessage }
  /** A name or wildcard that a client wants; `certificate` answers it. */
  | { readonly type: 'ask-certificate'; readonly id: number; readonly pattern: string }
  /** Nothing that these changes made old is served any more. */
  | { readonly type: 'certificates-seen'; readonly number: number }
  | { readonly type: 'census'; readonly id: number; readonly census: Census }
  | { readonly type: 'challenges-known'; readonly id: number }
  | { readonly type: 'drained' }

/** Once per second: proof of life, and the numbers. */
export interface WorkerBeat {
  readonly type: 'beat'
  readonly metrics: MetricsSnapshot | undefined
  readonly residentBytes: number
  /** 99th percentile since the last beat. */
  readonly eventLoopLagSeconds: number
  /** Places on disk that were read: pairs of segment and offset. */
  readonly diskHits: readonly number[]
}

export const BEAT_INTERVAL_MS = 1000

/** What the process that evicts from the disk tier has to know. */
export interface EvictionSettings {
  readonly path: string
  readonly maxSizeBytes: number
  readonly minFreeBytes: number
  /** Who the workers are, when it is not the process's own user. */
  readonly owner: Identity | undefined
}

export interface DiskCensusQuery {
  readonly purge: PurgeMessage
  /** Purges in force (`PurgeTable.serialise`): what they cover is not served any more. */
  readonly purgeTable: Uint8Array
  /** Whose URLs are whose. */
  readonly tenants: Config['tenants']
}

export type EvictorCensus = DiskCensus

export type ToEvictor =
  | { readonly type: 'start'; readonly options: EvictionSettings }
  | { readonly type: 'take-census'; readonly id: number; readonly query: DiskCensusQuery }
  /** Places on disk that were read: pairs of segment and offset. */
  | { readonly type: 'hits'; readonly places: readonly number[] }

export type FromEvictor =
  /** After each round. */
  | { readonly type: 'eviction-round'; readonly counts: EvictorCounts }
  /** null when the disk cannot be read. */
  | { readonly type: 'census'; readonly id: number; readonly census: EvictorCensus | null }
  | { readonly type: 'eviction-trouble'; readonly message: string; readonly code?: string }
