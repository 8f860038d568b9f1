import { isIP } from 'node:net'
import { answerableChallenges } from './normalise-acme.ts'
import type { Problems } from './problems.ts'
import type { WrittenConfig } from './schema.ts'

/** Names of one certificate: what the well-known authorities allow. */
const MAX_NAMES = 100

/** What an order would be refused for, told before it is made. */
export function checkAcme(written: WrittenConfig, problems: Problems): void {
  const { acme } = written
  const isGood = acme !== undefined && !problems.hasErrorUnder('acme')
  if (isGood) checkDirectory(acme.directory ?? '', problems)
  let isUsed = false
  for (const [index, tenant] of (written.tenants ?? []).entries()) {
    const path = `tenants[${index}]`
    if (problems.hasErrorUnder(path) || tenant.certificate !== 'acme') continue
    isUsed = true
    if (acme === undefined) {
      problems.error(
        `${path}.certificate`,
        "'acme' needs to know the authority: write acme: { email: ops@example.com, termsAgreed: true } beside tenants.",
      )
    }
    checkNames(tenant.hosts, `${path}.hosts`, problems)
  }
  if (!isUsed || !isGood) return
  if (acme.termsAgreed !== true) {
    problems.error(
      'acme.termsAgreed',
      "Authorities issue to those who agree to their terms of service. Read them (the directory names them under 'meta'), then write termsAgreed: true.",
    )
  }
  if (answerableChallenges(written).length === 0 && !problems.hasErrorUnder('listen')) {
    problems.error(
      'acme.challenges',
      'No listener could answer: http-01 needs listen.http (reached on port 80), tls-alpn-01 needs listen.https (on port 443).',
    )
  }
}

function checkDirectory(directory: string, problems: Problems): void {
  if (URL.canParse(directory) && new URL(directory).protocol === 'https:') return
  problems.error(
    'acme.directory',
    `Expected the https URL of a directory such as 'https://acme-v02.api.letsencrypt.org/directory', got '${directory.slice(0, 80)}'.`,
  )
}

function checkNames(hosts: readonly string[], path: string, problems: Problems): void {
  for (const [index, host] of hosts.entries()) {
    if (host.includes('*')) {
      problems.error(
        `${path}[${index}]`,
        `'${host}' cannot have a certificate by ACME: names with '*' are validated through the DNS only. List the names, or give { certFile, keyFile }.`,
      )
    } else if (isIP(host.replace(/^\[|\]$/g, '')) !== 0) {
      problems.error(
        `${path}[${index}]`,
        `'${host}' is an address; certificates by ACME are for names.`,
      )
    }
  }
  if (hosts.length > MAX_NAMES) {
    problems.error(
      path,
      `A certificate by ACME has at most ${MAX_NAMES} names, these are ${hosts.length}. Make it several tenants.`,
    )
  }
}
