/** Every metric there is. `docs/metrics.md` is written from this table. */
export interface MetricRow {
  readonly name: string
  readonly type: 'counter' | 'gauge' | 'histogram'
  /** Who counts it: each worker (the primary adds them up) or the primary itself. */
  readonly by: 'worker' | 'primary'
  readonly labels: readonly string[]
  readonly help: string
}

export const METRICS = [
  {
    name: 'larder_requests_total',
    type: 'counter',
    by: 'worker',
    labels: ['tenant', 'cache', 'status_class', 'protocol'],
    help: 'Requests answered, by what the cache did (hit, or the reason it was forwarded).',
  },
  {
    name: 'larder_response_bytes_total',
    type: 'counter',
    by: 'worker',
    labels: [],
    help: 'Response body bytes handed to clients.',
  },
  {
    name: 'larder_request_duration_seconds',
    type: 'histogram',
    by: 'worker',
    labels: [],
    help: 'From the complete request head to the last byte of the response.',
  },
  {
    name: 'larder_first_byte_seconds',
    type: 'histogram',
    by: 'worker',
    labels: [],
    help: 'From the complete request head to the head of the response.',
  },
  {
    name: 'larder_refused_requests_total',
    type: 'counter',
    by: 'worker',
    labels: ['reason'],
    help: 'Requests and connections refused before the pipeline saw them.',
  },
  {
    name: 'larder_connections',
    type: 'gauge',
    by: 'worker',
    labels: ['protocol'],
    help: 'Open client connections.',
  },
  {
    name: 'larder_collapsed_requests_total',
    type: 'counter',
    by: 'worker',
    labels: [],
    help: 'Requests that waited for the origin request of another.',
  },
  {
    name: 'larder_origin_requests_total',
    type: 'counter',
    by: 'worker',
    labels: ['tenant', 'outcome'],
    help: 'Requests to origins, by status class or kind of failure.',
  },
  {
    name: 'larder_origin_bytes_total',
    type: 'counter',
    by: 'worker',
    labels: [],
    help: 'Response body bytes received from origins.',
  },
  {
    name: 'larder_origin_first_byte_seconds',
    type: 'histogram',
    by: 'worker',
    labels: [],
    help: 'From the start of an origin request to the head of its response.',
  },
  {
    name: 'larder_memory_bytes',
    type: 'gauge',
    by: 'worker',
    labels: [],
    help: 'Bytes held by the memory tiers.',
  },
  {
    name: 'larder_memory_objects',
    type: 'gauge',
    by: 'worker',
    labels: [],
    help: 'Stored responses in the memory tiers.',
  },
  {
    name: 'larder_memory_evictions_total',
    type: 'counter',
    by: 'worker',
    labels: [],
    help: 'Stored responses that made room for others.',
  },
  {
    name: 'larder_tier_up',
    type: 'gauge',
    by: 'worker',
    labels: ['tier'],
    help: 'Workers for which the tier works: below the number of workers it is off for some.',
  },
  {
    name: 'larder_tier_failures_total',
    type: 'counter',
    by: 'worker',
    labels: ['tier', 'kind'],
    help: 'What went wrong in a tier behind memory; each was a miss, none an error to a client.',
  },
  {
    name: 'larder_disk_bytes',
    type: 'gauge',
    by: 'primary',
    labels: [],
    help: 'Space that the disk tier uses, index included.',
  },
  {
    name: 'larder_disk_evictions_total',
    type: 'counter',
    by: 'primary',
    labels: ['kind'],
    help: 'Segments and files that made room, and records written again because they were in use.',
  },
  {
    name: 'larder_disk_indexes_set_aside_total',
    type: 'counter',
    by: 'primary',
    labels: [],
    help: 'Times that the index of the disk tier was replaced by an empty one because processes died of it.',
  },
  {
    name: 'larder_workers',
    type: 'gauge',
    by: 'primary',
    labels: ['state'],
    help: 'Worker slots, by state; only those in state serving answer requests.',
  },
  {
    name: 'larder_worker_restarts_total',
    type: 'counter',
    by: 'primary',
    labels: ['slot'],
    help: 'Workers that ended without being told to.',
  },
  {
    name: 'larder_worker_crash_loop',
    type: 'gauge',
    by: 'primary',
    labels: ['slot'],
    help: '1 while the worker of the slot dies again and again.',
  },
  {
    name: 'larder_worker_resident_bytes',
    type: 'gauge',
    by: 'primary',
    labels: ['slot'],
    help: 'Resident memory of the worker.',
  },
  {
    name: 'larder_worker_event_loop_lag_seconds',
    type: 'gauge',
    by: 'primary',
    labels: ['slot'],
    help: '99th percentile of the delay of the event loop over the last second.',
  },
  {
    name: 'larder_config_reloads_total',
    type: 'counter',
    by: 'primary',
    labels: ['result'],
    help: 'Configurations applied or refused since the start.',
  },
  {
    name: 'larder_purge_number',
    type: 'gauge',
    by: 'primary',
    labels: [],
    help: 'Number of the last purge that is in force on this machine.',
  },
  {
    name: 'larder_purge_bus',
    type: 'gauge',
    by: 'primary',
    labels: ['state'],
    help: '1 for the state that the purge bus is in: connected, catching-up or cut-off.',
  },
  {
    name: 'larder_purges_waiting',
    type: 'gauge',
    by: 'primary',
    labels: ['for'],
    help: 'Purges that wait for Redis (redis), for their time (time), or were put aside (dead-letter).',
  },
  {
    name: 'larder_purge_entries',
    type: 'gauge',
    by: 'primary',
    labels: [],
    help: 'URLs, prefixes, tags and tenants whose purges may still matter.',
  },
  {
    name: 'larder_purge_folds_total',
    type: 'counter',
    by: 'primary',
    labels: [],
    help: 'Times that purges of a tenant became one for all of it, for want of room.',
  },
  {
    name: 'larder_acme_orders_total',
    type: 'counter',
    by: 'primary',
    labels: ['result'],
    help: 'Certificates ordered by ACME on this machine: issued, or failed and to be tried again.',
  },
  {
    name: 'larder_acme_certificates',
    type: 'gauge',
    by: 'primary',
    labels: ['state'],
    help: 'Certificates by ACME: issued, awaited (none yet), and of both those whose last order failed (failing).',
  },
  {
    name: 'larder_acme_next_attempt_timestamp_seconds',
    type: 'gauge',
    by: 'primary',
    labels: [],
    help: 'When the next certificate by ACME is looked at, renewed or ordered again; seconds since 1970.',
  },
  {
    name: 'larder_acme_first_expiry_timestamp_seconds',
    type: 'gauge',
    by: 'primary',
    labels: [],
    help: 'When the first certificate by ACME expires; seconds since 1970.',
  },
  {
    name: 'larder_uptime_seconds',
    type: 'gauge',
    by: 'primary',
    labels: [],
    help: 'Since the primary started.',
  },
] as const satisfies readonly MetricRow[]

export type MetricName = (typeof METRICS)[number]['name']

export function metricRow(name: string): MetricRow | undefined {
  return METRICS.find((row) => row.name === name)
}
