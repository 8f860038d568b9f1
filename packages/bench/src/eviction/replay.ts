import type { EvictionOrder } from '../../../proxy/src/storage/eviction/eviction-order.ts'
import { mixed } from '../traces/random.ts'
import type { Trace } from '../traces/trace.ts'

/** A trace in memory, its objects numbered anew in the order in which they are first asked for. */
export interface Workload {
  readonly name: string
  readonly ids: Uint32Array
  /** Of the objects, by id. */
  readonly bytes: Uint32Array
  /** All objects once: the bytes of a cache that never has to evict. */
  readonly footprintBytes: number
}

export interface HitRatios {
  /** Of requests. */
  readonly objects: number
  /** Of bytes asked for. */
  readonly bytes: number
}

/** Requests that only fill the cache: they are not counted. */
const WARM_UP_SHARE = 0.2

export function workload(trace: Trace, requests: number): Workload {
  const ids = new Uint32Array(requests)
  trace.fill(ids)
  const numbers = new Int32Array(trace.idLimit).fill(-1)
  const bytes: number[] = []
  let footprintBytes = 0
  for (let i = 0; i < requests; i++) {
    const id = ids[i]
    if (numbers[id] === -1) {
      const size = trace.bytesOf(id)
      footprintBytes += size
      numbers[id] = bytes.push(size) - 1
    }
    ids[i] = numbers[id]
  }
  return { name: trace.name, ids, bytes: Uint32Array.from(bytes), footprintBytes }
}

/** What a cache of `capacityBytes` has of the workload when it evicts in this order. Larger objects are not stored. */
export function replay(
  { ids, bytes }: Workload,
  order: EvictionOrder,
  capacityBytes: number,
): HitRatios {
  const slotOf = new Int32Array(bytes.length).fill(-1)
  const idOf: number[] = []
  const counts = { requests: 0, hits: 0, bytes: 0, hitBytes: 0 }
  const countedFrom = Math.floor(ids.length * WARM_UP_SHARE)
  let heldBytes = 0
  for (let i = 0; i < ids.length; i++) {
    const id = ids[i]
    const size = bytes[id]
    const held = slotOf[id] !== -1
    if (i >= countedFrom) {
      counts.requests++
      counts.bytes += size
      if (held) counts.hits++
      if (held) counts.hitBytes += size
    }
    if (held) order.visit(slotOf[id])
    else if (size <= capacityBytes) {
      while (heldBytes + size > capacityBytes) {
        const slot = order.victim()
        const evicted = idOf[slot]
        order.remove(slot)
        slotOf[evicted] = -1
        heldBytes -= bytes[evicted]
      }
      heldBytes += size
      slotOf[id] = order.add(mixed(id), size, false)
      idOf[slotOf[id]] = id
    }
  }
  return { objects: counts.hits / counts.requests, bytes: counts.hitBytes / counts.bytes }
}
