import { availableParallelism } from 'node:os'
import { resolve } from 'node:path'
import { parseAddress } from './address.ts'
import type {
  Config,
  ListenConfig,
  ListenerConfig,
  LogLevel,
  RedisConfig,
  WarmConfig,
} from './config.ts'
import { normaliseTenant } from './normalise-tenant.ts'
import type { Problems } from './problems.ts'
import type { WrittenConfig } from './schema.ts'
import {
  type ConfigSources,
  readAdminTokens,
  readNamedFile,
  readRedisPassword,
  readSealKeys,
} from './secrets.ts'
import { parseDurationMs, parseRatePerSecond, parseSizeBytes } from './units.ts'
import { canonicalCidr } from './value-kinds.ts'

/** From what was written to what is used: units to numbers, files to contents, names to their canonical form. */
export function normalise(
  written: WrittenConfig,
  file: string,
  sources: ConfigSources,
  problems: Problems,
): Config | undefined {
  // Parts that are wrong are missing from `written`; the checks that can still be made are made one part at a time.
  const tenants = (written.tenants ?? []).flatMap((tenant, index) => {
    const path = `tenants[${index}]`
    return problems.hasErrorUnder(path) ? [] : [normaliseTenant(tenant, path, sources, problems)]
  })
  const tokens = readAdminTokens(written.admin?.tokens ?? [], sources, problems)
  const redisConfig = problems.hasErrorUnder('redis')
    ? undefined
    : normaliseRedis(written.redis, sources, problems)
  const warmConfig = problems.hasErrorUnder('warm')
    ? undefined
    : normaliseWarm(written.warm, sources, problems)
  const sealKeys = problems.hasErrorUnder('certificates')
    ? []
    : readSealKeys(written.certificates ?? {}, sources, problems)
  if (problems.errors.length > 0) return undefined
  const { limits, timeouts, memory, disk, purge, logging } = written
  return {
    file,
    listen: normaliseListen(written),
    trustedProxies: (written.trustedProxies ?? []).map(canonicalCidr),
    workers: typeof written.workers === 'number' ? written.workers : availableParallelism(),
    user: written.user,
    group: written.group,
    watch: written.watch ?? false,
    memory: {
      maxSizeBytes: bytes(memory?.maxSize),
      maxObjectBytes: bytes(memory?.maxObjectSize),
    },
    redis: redisConfig,
    disk:
      disk === undefined
        ? undefined
        : {
            path: resolve(sources.folder, disk.path),
            maxSizeBytes: bytes(disk.maxSize),
            minFreeBytes: bytes(disk.minFree),
          },
    admin: { tokens },
    purge: {
      whenCutOff: purge?.whenCutOff ?? 'serve',
      purgeFrom: (purge?.purgeFrom ?? []).map(canonicalCidr),
      maxPending: given(purge?.maxPending),
      maxPendingAgeMs: milliseconds(purge?.maxPendingAge),
    },
    warm: warmConfig,
    limits: {
      maxHeaderBytes: bytes(limits?.maxHeaderSize),
      maxHeaderCount: given(limits?.maxHeaderCount),
      maxTargetBytes: bytes(limits?.maxTargetSize),
      maxRequestsPerConnection: given(limits?.maxRequestsPerConnection),
      maxConcurrentStreams: given(limits?.maxConcurrentStreams),
      maxStreamResets: given(limits?.maxStreamResets),
      maxConnections: given(limits?.maxConnections),
      maxConnectionsPerAddress: given(limits?.maxConnectionsPerAddress),
      maxRequestBodyBytes:
        limits?.maxRequestBodySize === 'unlimited' ? undefined : bytes(limits?.maxRequestBodySize),
      minBodyBytesPerSecond: bytes(limits?.minBodyRate),
    },
    timeouts: {
      headerMs: milliseconds(timeouts?.header),
      idleMs: milliseconds(timeouts?.idle),
      tlsHandshakeMs: milliseconds(timeouts?.tlsHandshake),
      bodyMs: milliseconds(timeouts?.body),
      bodyRateWindowMs: milliseconds(timeouts?.bodyRateWindow),
      streamResetWindowMs: milliseconds(timeouts?.streamResetWindow),
      writeMs: milliseconds(timeouts?.write),
      drainMs: milliseconds(timeouts?.drain),
    },
    tls: {
      policy: written.tls?.policy ?? 'intermediate',
      ticketRotationMs: milliseconds(written.tls?.ticketRotation),
      unknownServerName: written.tls?.unknownServerName ?? 'refuse',
    },
    certificates: { sealKeys },
    http2PriorKnowledge: written.http2PriorKnowledge ?? false,
    logging: {
      level: (logging?.level ?? 'info') satisfies LogLevel,
      access: {
        output: logOutput(given(logging?.access?.output), sources.folder),
        truncateAddresses: logging?.access?.truncateAddresses ?? false,
        redactQuery: logging?.access?.redactQuery ?? false,
      },
    },
    tenants,
  }
}

function normaliseRedis(
  redis: WrittenConfig['redis'],
  sources: ConfigSources,
  problems: Problems,
): RedisConfig | undefined {
  if (redis === undefined) return undefined
  return {
    url: redis.url,
    cluster: redis.cluster ?? [],
    sentinels: redis.sentinels ?? [],
    sentinelName: redis.sentinelName,
    prefix: redis.prefix ?? '',
    username: redis.username,
    password: readRedisPassword(redis, sources, problems),
    caPem:
      redis.caFile === undefined
        ? undefined
        : readNamedFile(redis.caFile, 'redis.caFile', sources, problems),
    deadlineMs: milliseconds(redis.deadline),
    collapseMs: redis.collapse === undefined ? undefined : milliseconds(redis.collapse),
    maxObjectBytes: bytes(redis.maxObjectSize),
  }
}

function normaliseWarm(
  warm: WrittenConfig['warm'],
  sources: ConfigSources,
  problems: Problems,
): WarmConfig | undefined {
  if (warm === undefined) return undefined
  const { from, tokenFile } = warm
  const token =
    tokenFile === undefined
      ? undefined
      : readNamedFile(tokenFile, 'warm.tokenFile', sources, problems)?.trim()
  return {
    source: warmSource(from, token, sources),
    ratePerSecond: given(parseRatePerSecond(given(warm.rate))),
    atMostMs: milliseconds(warm.atMost),
  }
}

/** An admin API is named by its address alone, a sitemap by its path. */
function warmSource(
  from: string,
  token: string | undefined,
  sources: ConfigSources,
): WarmConfig['source'] {
  if (!/^https?:\/\//i.test(from) || !URL.canParse(from)) {
    return { kind: 'file', path: resolve(sources.folder, from) }
  }
  return new URL(from).pathname === '/'
    ? { kind: 'sibling', admin: from, token }
    : { kind: 'sitemap', url: from }
}

function normaliseListen(written: WrittenConfig): ListenConfig {
  const { http = [], https = [], http3 = false, admin = [] } = written.listen ?? {}
  const httpsListeners = https.map(listener)
  return {
    http: http.map(listener),
    https: httpsListeners,
    http3: Array.isArray(http3) ? http3.map(listener) : http3 === true ? httpsListeners : [],
    admin: admin.map(listener),
  }
}

function listener(item: string | { address: string; proxyProtocol?: boolean }): ListenerConfig {
  const text = typeof item === 'string' ? item : item.address
  const address = parseAddress(text)
  if (address === undefined) throw new TypeError(`'${text}' was not checked to be an address.`)
  return { ...address, proxyProtocol: typeof item === 'string' ? false : !!item.proxyProtocol }
}

function logOutput(output: string, folder: string): string {
  return output === 'stdout' || output === 'off' ? output : resolve(folder, output)
}

function milliseconds(text: string | undefined): number {
  return given(parseDurationMs(given(text)))
}

function bytes(text: string | undefined): number {
  return given(parseSizeBytes(given(text)))
}

/** The walk has filled in every default; a value that is missing all the same is a mistake in the schema. */
function given<Value>(value: Value | undefined): Value {
  if (value === undefined) throw new TypeError('An option without a value has no default.')
  return value
}
