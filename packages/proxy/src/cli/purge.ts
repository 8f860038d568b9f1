import type { Receipt } from '@larder/purge-bus'
import type { DryRun } from '../supervisor/dry-run.ts'
import { callAdmin, DEFAULT_ADMIN } from './call-admin.ts'
import { type Command, parseOptions, UsageError } from './command.ts'
import { receiptLines, receiptTable } from './receipt-table.ts'

const HELP = `Usage: larder purge [options] url <URL>...
       larder purge [options] prefix <URL>...
       larder purge [options] tag <tenant> <tag>...
       larder purge [options] tenant <tenant>
       larder purge [options] all
       larder purge --receipt ID
       larder purge --dead-letters [--replay]

What is purged is never served again, on any machine. The answer is the receipt:
which workers have it in force. The token, where one is needed, comes from the
environment variable LARDER_TOKEN.

  --soft           what is purged is stale instead: served as stale rules allow
  --wait           wait for every worker, showing who is missing; status 1 if one is
  --limit SECONDS  how long to wait, 5 without it
  --dry-run        what it would cover on this machine; changes nothing
  --at TIME        not now: 2026-11-20T18:00:00Z
  --reference REF  the same reference within 24 hours is the same purge
  --admin URL      the admin API, ${DEFAULT_ADMIN} without it
  --json           as JSON

Example: larder purge --wait tag acme p-42
`

const OPTIONS = {
  admin: { type: 'string', default: DEFAULT_ADMIN },
  soft: { type: 'boolean' },
  'dry-run': { type: 'boolean' },
  wait: { type: 'boolean' },
  limit: { type: 'string', default: '5' },
  at: { type: 'string' },
  reference: { type: 'string' },
  receipt: { type: 'string' },
  'dead-letters': { type: 'boolean' },
  replay: { type: 'boolean' },
  json: { type: 'boolean' },
} as const

/** As many URLs or tags as a purge may have, and its first words. */
const MAX_WORDS = 1_002
/** How often a receipt that is waited for is asked for. */
const POLL_MS = 200

export const purgeCommand: Command = {
  name: 'purge',
  summary: 'Purge by URL, prefix, tag or tenant, on every machine',
  help: HELP,
  async run(words) {
    const { values, positionals } = parseOptions(words, OPTIONS, MAX_WORDS)
    const { admin, json = false } = values
    if (values['dead-letters']) return deadLetters(admin, values.replay ?? false, json)
    if (values.receipt !== undefined) {
      const path = `/api/v1/purge/${encodeURIComponent(values.receipt)}`
      return show(await callAdmin({ admin, path }), json)
    }
    const limitMs = Number(values.limit) * 1000
    if (!(limitMs >= 0 && limitMs <= 3_600_000)) {
      throw new UsageError(`--limit takes seconds, at most 3600, not '${values.limit}'.`)
    }
    const body = {
      ...messageOf(positionals),
      ...(values.soft ? { soft: true } : {}),
      ...(values.at === undefined ? {} : { at: values.at }),
      ...(values.reference === undefined ? {} : { reference: values.reference }),
      wait: false,
    }
    if (values['dry-run']) {
      const dryRun = { ...body, dryRun: true }
      const path = '/api/v1/purge'
      return showDryRun(await callAdmin({ admin, path, body: dryRun, timeoutMs: 20_000 }), json)
    }
    const answer = await callAdmin({ admin, path: '/api/v1/purge', body })
    if (answer === undefined || !values.wait) return show(answer, json)
    // Our own admin API; its type is the one that the route returns.
    return follow(admin, answer as Receipt, limitMs, json)
  },
}

function messageOf([type, ...rest]: readonly string[]): Record<string, unknown> {
  switch (type) {
    case 'url':
      return { type, urls: some(rest, 'url takes URLs') }
    case 'prefix':
      return { type, prefixes: some(rest, 'prefix takes URLs') }
    case 'tag':
      return { type, tenant: rest[0], tags: some(rest.slice(1), 'tag takes a tenant and tags') }
    case 'tenant':
      if (rest.length === 1) return { type, tenant: rest[0] }
      throw new UsageError('tenant takes the id of one tenant.')
    case 'all':
      if (rest.length === 0) return { type, confirm: true }
      throw new UsageError(`all takes no further words, not '${rest.join(' ')}'.`)
    default:
      throw new UsageError(
        type === undefined ? 'What is to be purged?' : `'${type}' is no kind of purge.`,
      )
  }
}

function some(words: readonly string[], what: string): readonly string[] {
  if (words.length === 0) throw new UsageError(`${what}; there are none.`)
  return words
}

function show(answer: unknown, json: boolean): number {
  if (answer === undefined) return 1
  if (json) process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`)
  // Our own admin API; its type is the one that the route returns.
  else process.stdout.write(`${receiptLines(answer as Receipt).join('\n')}\n`)
  return 0
}

function showDryRun(answer: unknown, json: boolean): number {
  if (answer === undefined) return 1
  if (json) process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`)
  // Our own admin API; its type is the one that the route returns.
  else process.stdout.write(`${dryRunLines(answer as DryRun).join('\n')}\n`)
  return 0
}

function dryRunLines({
  responses,
  bytes,
  memory,
  disk,
  hottest,
  complete,
  exact,
}: DryRun): string[] {
  const amount = complete && exact ? '' : complete ? 'at most ' : 'more than '
  const mebibytes = (bytes / 1024 ** 2).toFixed(1)
  return [
    `${amount}${responses} stored responses, ${mebibytes} MiB: ${memory.responses} in memory, ${disk.responses} on disk`,
    ...hottest.map(({ url, uses }) => `  ${uses} uses  ${url}`),
    'Nothing was purged.',
  ]
}

/** Asks for the receipt until nobody is missing or the time is over; on a terminal the table is drawn anew each time. */
async function follow(
  admin: string,
  first: Receipt,
  limitMs: number,
  json: boolean,
): Promise<number> {
  const table = receiptTable(process.stdout, !json && process.stdout.isTTY === true)
  const endsAt = performance.now() + limitMs
  let receipt = first
  while (!isSettled(receipt) && performance.now() < endsAt) {
    table.draw(receipt)
    await new Promise((resolve) => setTimeout(resolve, POLL_MS))
    const path = `/api/v1/purge/${encodeURIComponent(first.id)}`
    const answer = await callAdmin({ admin, path })
    if (answer === undefined) return 1
    // Our own admin API; its type is the one that the route returns.
    receipt = answer as Receipt
  }
  if (json) process.stdout.write(`${JSON.stringify(receipt, null, 2)}\n`)
  else table.finish(receipt)
  return isSettled(receipt) && receipt.missing.length === 0 ? 0 : 1
}

function isSettled({ state }: Receipt): boolean {
  return state === 'applied' || state === 'scheduled'
}

async function deadLetters(admin: string, replay: boolean, json: boolean): Promise<number> {
  const answer = replay
    ? await callAdmin({ admin, path: '/api/v1/purge/dead-letters/replay', body: {} })
    : await callAdmin({ admin, path: '/api/v1/purge/dead-letters' })
  if (answer === undefined) return 1
  if (json) {
    process.stdout.write(`${JSON.stringify(answer, null, 2)}\n`)
    return 0
  }
  // Our own admin API; their types are those that the routes return.
  if (replay) {
    process.stdout.write(`${(answer as { replayed: number }).replayed} published again\n`)
    return 0
  }
  const letters = (
    answer as { deadLetters: { id: string; publishedAt: string; message: unknown }[] }
  ).deadLetters
  if (letters.length === 0) process.stdout.write('There are no dead letters.\n')
  for (const { id, publishedAt, message } of letters) {
    process.stdout.write(`${publishedAt}  ${id}  ${JSON.stringify(message)}\n`)
  }
  return 0
}
