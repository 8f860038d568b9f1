import type { Config } from '../config/config.ts'

/** What is configured and accepted, but not done yet: one honest line each. */
export function unsupportedNotices(config: Config): string[] {
  const notices: string[] = []
  if (config.listen.http3.length > 0) {
    notices.push('http3 is configured but this version has no HTTP/3; it is ignored')
  }
  return notices
}

/** Options that differ and take a restart of the whole proxy. */
export function changesNeedingRestart(before: Config, after: Config): string[] {
  const rows: [name: string, of: (config: Config) => unknown][] = [
    ['listen.admin', (config) => config.listen.admin],
    ['workers', (config) => config.workers],
    ['user', (config) => config.user],
    ['group', (config) => config.group],
    ['watch', (config) => config.watch],
    ['memory', (config) => config.memory],
    ['redis', (config) => config.redis],
    ['disk', (config) => config.disk],
    ['warm', (config) => config.warm],
    ['logging.level', (config) => config.logging.level],
  ]
  return rows
    .filter(([, of]) => JSON.stringify(of(before)) !== JSON.stringify(of(after)))
    .map(([name]) => name)
}
