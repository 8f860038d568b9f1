import { Cluster } from 'ioredis'
import { clusterSlot } from './cluster-slot.ts'
import type { Names } from './names.ts'
import type { RedisClient } from './redis-place.ts'

/** In a cluster: the node that has the log, 'host:port', as far as it is known; undefined elsewhere. */
export function clusterNode(client: RedisClient, names: Names): string | undefined {
  if (!(client instanceof Cluster)) return undefined
  const node = client.slots[clusterSlot(names.tag)]?.[0]
  if (node !== undefined) return node
  const [some] = client.nodes('master')
  return some === undefined ? undefined : `${some.options.host}:${some.options.port}`
}
