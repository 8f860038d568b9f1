export {
  createPurgeClient,
  type PurgeClient,
  type PurgeClientCall,
  type PurgeClientOptions,
} from './client.ts'
export { PurgeRefusedError } from './client-transport.ts'
export { type EmbeddedBusOptions, embeddedBus } from './embedded/embedded-bus.ts'
export { type ParsedPurge, parsePurge } from './parse-purge.ts'
export type {
  BusState,
  BusStatus,
  DeadLetter,
  PublishOptions,
  PurgeBus,
  PurgeBusEvents,
} from './purge-bus.ts'
export { PurgeNotKeptError, PurgeOverloadError } from './purge-bus.ts'
export type { NumberedPurge, PurgeMessage, PurgeScope } from './purge-message.ts'
export {
  PurgeTable,
  type PurgeTableOptions,
  type ResolveUrl,
  type StoredFacts,
  type Validity,
} from './purge-table.ts'
export type { MissingWorker, Receipt } from './receipt.ts'
export { redisBus } from './redis/redis-bus.ts'
export type { RedisBusOptions } from './redis/redis-bus-options.ts'
export type { RedisPlace } from './redis/redis-place.ts'
