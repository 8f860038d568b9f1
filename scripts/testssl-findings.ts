import { readFileSync } from 'node:fs'

/** What testssl has found above low, from its flat JSON; ends with status 1 when there is anything. */

interface Finding {
  readonly id: string
  readonly severity: string
  readonly finding: string
}

/**
 * About the certificate, which comes from the development authority here and from a public one in operation: it tells of no
 * way to revoke it.
 */
const ABOUT_THE_AUTHORITY: readonly string[] = ['cert_revocation']
/** About the OpenSSL that testssl runs on. */
const ABOUT_THE_TOOL: readonly string[] = ['engine_problem']
const PASSED_OVER = [...ABOUT_THE_AUTHORITY, ...ABOUT_THE_TOOL]

const HARMLESS: readonly string[] = ['OK', 'INFO', 'LOW', 'DEBUG']

const findings = JSON.parse(readFileSync(process.argv[2], 'utf8')) as Finding[]
const counts = new Map<string, number>()
for (const { severity } of findings) counts.set(severity, (counts.get(severity) ?? 0) + 1)
const bad = findings.filter(
  ({ id, severity }) =>
    !HARMLESS.includes(severity) && !PASSED_OVER.some((name) => id.startsWith(name)),
)
for (const { id, severity, finding } of findings) {
  if (severity === 'LOW') console.log(`LOW ${id}: ${finding}`)
}
// WARN is a check that could not be made: nobody knows what it would have found.
for (const { id, severity, finding } of bad) console.log(`${severity} ${id}: ${finding}`)
console.log([...counts].map(([severity, count]) => `${count} ${severity}`).join(', '))
if (bad.length > 0 || findings.length === 0) process.exitCode = 1
