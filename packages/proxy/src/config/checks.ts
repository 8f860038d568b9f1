import { parseAddress } from './address.ts'
import { checkAcme } from './check-acme.ts'
import { canonicalHostPattern } from './normalise-tenant.ts'
import type { Problems } from './problems.ts'
import type { WrittenConfig } from './schema.ts'
import type { WrittenCacheRule, WrittenTenant } from './schema-tenant.ts'
import { parseDurationMs, parseSizeBytes } from './units.ts'

/** What no schema can say: values that contradict each other. Parts that the schema refused are passed over. */
export function checkConfig(written: WrittenConfig, problems: Problems): void {
  checkListeners(written, problems)
  checkTenants(written, problems)
  checkTokens(written, problems)
  checkMemory(written, problems)
  checkSlices(written, problems)
  checkAcme(written, problems)
  const { redis } = written
  if (redis !== undefined && !problems.hasErrorUnder('redis')) {
    const ways = [redis.url, redis.cluster, redis.sentinels].filter((way) => way !== undefined)
    if (ways.length !== 1) {
      problems.error('redis', 'Say where Redis is by exactly one of url, cluster and sentinels.')
    }
    for (const url of [redis.url, ...(redis.cluster ?? []), ...(redis.sentinels ?? [])]) {
      if (url === undefined) continue
      if (!URL.canParse(url) || !/^rediss?:$/.test(new URL(url).protocol)) {
        // Only its beginning: someone may have written a password into it.
        const shown = url.replace(/^([^/@]*\/\/)[^@]*@/, '$1…@')
        problems.error('redis', `'${shown}' is no Redis URL. Write redis://host:6379.`)
      } else if (new URL(url).password !== '') {
        problems.error(
          'redis',
          'A password does not belong into the text. Use passwordFile or passwordEnv.',
        )
      }
    }
    if (/[{}]/.test(redis.prefix ?? '')) {
      problems.error(
        'redis.prefix',
        'A prefix has no braces: a cluster would keep every key on one node.',
      )
    }
    if (redis.sentinels !== undefined && redis.sentinelName === undefined) {
      problems.error('redis.sentinels', "'sentinelName' is missing: which master do they watch?")
    }
  }
}

function checkListeners(written: WrittenConfig, problems: Problems): void {
  if (problems.hasErrorUnder('listen')) return
  const { http = [], https = [], http3, admin = [] } = written.listen ?? {}
  if (http.length + https.length === 0) {
    problems.error(
      'listen',
      "There is no address to listen on. Write, for example, listen: { http: ['0.0.0.0:80'] }.",
    )
  }
  if (http3 === true && https.length === 0) {
    problems.error('listen.http3', 'HTTP/3 takes its ports from listen.https, which is empty.')
  }
  const used = new Map<string, string>()
  for (const [section, items] of Object.entries({ http, https, admin })) {
    for (const [index, item] of items.entries()) {
      const path = `listen.${section}[${index}]`
      const address = parseAddress(typeof item === 'string' ? item : item.address)
      if (address === undefined) continue
      const before = used.get(address.address)
      // Port 0 is another free port each time.
      if (before !== undefined && address.port !== 0) {
        problems.error(path, `${address.address} is already taken by ${before}.`)
      }
      used.set(address.address, path)
      const proxied = typeof item !== 'string' && item.proxyProtocol
      if (proxied && (written.trustedProxies ?? []).length === 0) {
        problems.error(
          path,
          'proxyProtocol without trustedProxies would refuse every connection. List who may send PROXY headers.',
        )
      }
    }
  }
}

function checkTenants(written: WrittenConfig, problems: Problems): void {
  const ids = new Map<string, string>()
  const hosts = new Map<string, string>()
  const tenants = written.tenants ?? []
  if (tenants.length === 0 && !problems.hasErrorUnder('tenants')) {
    problems.error('tenants', 'There is no tenant: every request would be answered with 421.')
  }
  for (const [index, tenant] of tenants.entries()) {
    const path = `tenants[${index}]`
    if (problems.hasErrorUnder(path)) {
      // Still remember its names, so that the tenants after it are judged rightly.
      if (typeof tenant?.id === 'string') ids.set(tenant.id, path)
      continue
    }
    const sameId = ids.get(tenant.id)
    if (sameId !== undefined) {
      problems.error(`${path}.id`, `'${tenant.id}' is already the id of ${sameId}.`)
    }
    ids.set(tenant.id, path)
    for (const [hostIndex, host] of tenant.hosts.entries()) {
      const canonical = canonicalHostPattern(host)
      const hostPath = `${path}.hosts[${hostIndex}]`
      const sameHost = hosts.get(canonical)
      if (sameHost !== undefined) {
        problems.error(hostPath, `'${canonical}' already stands in ${sameHost}.`)
      }
      hosts.set(canonical, hostPath)
    }
    checkTenant(tenant, path, problems)
  }
}

function checkTenant(tenant: WrittenTenant, path: string, problems: Problems): void {
  if (tenant.origins.every((origin) => origin.backup)) {
    problems.error(`${path}.origins`, 'Every origin is a backup; at least one has to be none.')
  }
  const names = new Set<string>()
  for (const [index, origin] of tenant.origins.entries()) {
    const name = origin.name ?? new URL(origin.url).host
    if (names.has(name)) {
      problems.error(
        `${path}.origins[${index}]`,
        `There is another origin called '${name}'. Give one of them a name of its own.`,
      )
    }
    names.add(name)
  }
  for (const [index, rule] of (tenant.rules ?? []).entries()) {
    const rulePath = `${path}.rules[${index}]`
    if (typeof rule.cache === 'object') checkCacheRule(rule.cache, `${rulePath}.cache`, problems)
    const last = index === (tenant.rules ?? []).length - 1
    if (!last && rule.methods === undefined && /^\/?\*+$/.test(rule.path)) {
      problems.warn(rulePath, 'This rule matches everything: the rules after it never apply.')
    }
  }
}

function checkCacheRule(rule: WrittenCacheRule, path: string, problems: Problems): void {
  const least = parseDurationMs(rule.minTtl ?? '0s') ?? 0
  const greatest = parseDurationMs(rule.maxTtl ?? '') ?? Number.POSITIVE_INFINITY
  if (least > greatest) {
    problems.error(
      `${path}.minTtl`,
      `minTtl (${rule.minTtl}) is greater than maxTtl (${rule.maxTtl}).`,
    )
  }
  for (const name of ['ttl', 'defaultTtl'] as const) {
    const ttl = parseDurationMs(rule[name] ?? '')
    if (ttl !== undefined && (ttl < least || ttl > greatest)) {
      problems.error(
        `${path}.${name}`,
        `${name} (${rule[name]}) is not between minTtl (${rule.minTtl ?? '0s'}) and maxTtl (${rule.maxTtl ?? 'none'}).`,
      )
    }
  }
  const { query } = rule
  if (typeof query === 'object' && (query.keep === undefined) === (query.drop === undefined)) {
    problems.error(`${path}.query`, 'Give exactly one of keep and drop.')
  }
}

function checkTokens(written: WrittenConfig, problems: Problems): void {
  const names = new Set<string>()
  const tenantIds = new Set((written.tenants ?? []).map((tenant) => tenant?.id))
  for (const [index, token] of (written.admin?.tokens ?? []).entries()) {
    const path = `admin.tokens[${index}]`
    if (problems.hasErrorUnder(path)) continue
    if (names.has(token.name)) {
      problems.error(`${path}.name`, `There is another token called '${token.name}'.`)
    }
    names.add(token.name)
    if (token.tenant !== undefined && !tenantIds.has(token.tenant)) {
      problems.error(`${path}.tenant`, `There is no tenant '${token.tenant}'.`)
    }
    if (token.tenant !== undefined && token.role === 'admin') {
      problems.error(
        `${path}.role`,
        "A token of one tenant cannot be 'admin': that role is about the whole machine. Use certificates, purge or read.",
      )
    }
  }
}

/** A slice must fit somewhere, or ranges would be cut in slices that nobody keeps. */
function checkSlices(written: WrittenConfig, problems: Problems): void {
  if (written.disk !== undefined || problems.hasErrorUnder('memory')) return
  const { maxObjectSize = '' } = written.memory ?? {}
  const room = parseSizeBytes(maxObjectSize) ?? 0
  for (const [index, tenant] of (written.tenants ?? []).entries()) {
    const path = `tenants[${index}]`
    if (problems.hasErrorUnder(path)) continue
    for (const [ruleIndex, { cache }] of (tenant.rules ?? []).entries()) {
      const slice = typeof cache === 'object' ? cache.slice : undefined
      if (slice === undefined || (parseSizeBytes(slice) ?? 0) <= room) continue
      problems.warn(
        `${path}.rules[${ruleIndex}].cache.slice`,
        `Slices of ${slice} fit into no tier: there is no disk, and memory.maxObjectSize is ${maxObjectSize}. Nothing is sliced until there is room.`,
      )
    }
  }
}

function checkMemory(written: WrittenConfig, problems: Problems): void {
  if (problems.hasErrorUnder('memory')) return
  const { maxSize = '', maxObjectSize = '' } = written.memory ?? {}
  const whole = parseSizeBytes(maxSize) ?? 0
  const one = parseSizeBytes(maxObjectSize) ?? 0
  if (one > whole) {
    problems.error(
      'memory.maxObjectSize',
      `maxObjectSize (${maxObjectSize}) is greater than maxSize (${maxSize}).`,
    )
  }
}
