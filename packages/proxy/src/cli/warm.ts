import { parseAddress } from '../config/address.ts'
import { parseDurationMs, parseRatePerSecond } from '../config/units.ts'
import { type DoorPlace, ProxyDoor } from '../warm/proxy-door.ts'
import { listUrls, MAX_URLS, type WarmSource } from '../warm/url-list.ts'
import { type WarmReport, warm } from '../warm/warm.ts'
import { type Command, parseOptions, UsageError } from './command.ts'

const OPTIONS = {
  file: { type: 'string' },
  sitemap: { type: 'string' },
  'hot-of': { type: 'string' },
  http: { type: 'string', default: 'localhost:8080' },
  https: { type: 'string', default: 'localhost:8443' },
  rate: { type: 'string', default: '50/s' },
  concurrency: { type: 'string', default: '8' },
  'at-most': { type: 'string', default: '1h' },
  json: { type: 'boolean' },
} as const

const MAX_CONCURRENCY = 256

export const warmCommand: Command = {
  name: 'warm',
  summary: 'Fetch URLs through a running proxy, so that it has them',
  help: `Usage: larder warm [options] <URL>...
       larder warm [options] --file FILE
       larder warm [options] --sitemap URL|FILE
       larder warm [options] --hot-of URL

Asks the data listeners of a proxy for every URL, whatever the URL's host name leads
to. Status 1 when one could not be had. At most ${MAX_URLS} URLs.

  --file FILE        a URL per line, or a sitemap
  --sitemap URL      its pages, or those of the sitemaps that it lists
  --hot-of URL       what the proxy with this admin API uses most; LARDER_TOKEN
                     is the token for it, where one is needed
  --http ADDRESS     the proxy's listener for http: URLs, localhost:8080 without it
  --https ADDRESS    the one for https: URLs, localhost:8443 without it
  --rate RATE        requests begun at most, like 50/s (the default) or 600/m
  --concurrency N    requests under way, 8 without it
  --at-most TIME     ends after this time, 1h without it
  --json             the report as JSON

Example: larder warm --rate 20/s --sitemap https://www.example.com/sitemap.xml
`,
  async run(words) {
    const { values, positionals } = parseOptions(words, OPTIONS, MAX_URLS)
    const source = sourceOf(values, positionals)
    const ratePerSecond = parseRatePerSecond(values.rate)
    if (ratePerSecond === undefined) {
      throw new UsageError(`--rate takes a rate like 50/s or 600/m, not '${values.rate}'.`)
    }
    const concurrency = Number(values.concurrency)
    if (!Number.isInteger(concurrency) || concurrency < 1 || concurrency > MAX_CONCURRENCY) {
      throw new UsageError(`--concurrency takes a number from 1 to ${MAX_CONCURRENCY}.`)
    }
    const atMostMs = parseDurationMs(values['at-most'])
    if (atMostMs === undefined || atMostMs > 2 ** 31 - 1) {
      throw new UsageError(`--at-most takes a time like 10m, not '${values['at-most']}'.`)
    }
    const door = new ProxyDoor({
      plain: placeOf('--http', values.http),
      secure: placeOf('--https', values.https),
      concurrency,
    })
    const signal = AbortSignal.timeout(atMostMs)
    try {
      const urls = await listUrls(source, door, signal)
      const progress = process.stderr.isTTY ? showProgress : undefined
      const options = { door, ratePerSecond, concurrency, signal, onProgress: progress }
      const report = await warm(urls, options)
      if (progress !== undefined) process.stderr.write('\n')
      process.stdout.write(values.json ? `${JSON.stringify(report, null, 2)}\n` : shown(report))
      return report.failed === 0 && report.complete ? 0 : 1
    } catch (error) {
      process.stderr.write(
        `Nothing was warmed: ${error instanceof Error ? error.message : error}\n`,
      )
      return 1
    } finally {
      door.close()
    }
  },
}

function sourceOf(
  values: { readonly file?: string; readonly sitemap?: string; readonly 'hot-of'?: string },
  urls: readonly string[],
): WarmSource {
  const { file, sitemap, 'hot-of': admin } = values
  const given = [file, sitemap, admin, urls[0]].filter((one) => one !== undefined)
  if (given.length !== 1) {
    throw new UsageError('Give URLs, --file, --sitemap or --hot-of: one of them.')
  }
  if (file !== undefined) return { kind: 'file', path: file }
  if (sitemap !== undefined) {
    return /^https?:/.test(sitemap)
      ? { kind: 'sitemap', url: sitemap }
      : { kind: 'file', path: sitemap }
  }
  if (admin === undefined) return { kind: 'urls', urls }
  if (!URL.canParse(admin)) throw new UsageError(`'${admin}' is not a URL.`)
  return { kind: 'sibling', admin, token: process.env.LARDER_TOKEN }
}

function placeOf(option: string, text: string): DoorPlace {
  const address = parseAddress(text)
  if (address === undefined) {
    throw new UsageError(`${option} takes an address like 127.0.0.1:8080, not '${text}'.`)
  }
  return { host: address.host === '' ? 'localhost' : address.host, port: address.port }
}

function showProgress({ urls, fetched, failed }: WarmReport): void {
  const failures = failed === 0 ? '' : `, ${failed} failed`
  process.stderr.write(`\r${fetched + failed} of ${urls}${failures} `)
}

function shown({ urls, fetched, failed, bytes, failures, complete }: WarmReport): string {
  const lines = [`${fetched} of ${urls} URLs, ${(bytes / 1024 ** 2).toFixed(1)} MiB`]
  if (failed > 0) lines.push(`${failed} failed:`)
  for (const { url, reason } of failures) lines.push(`  ${url}: ${reason}`)
  if (failed > failures.length) lines.push(`  and ${failed - failures.length} more`)
  if (!complete) lines.push('The time was over before the last one.')
  return `${lines.join('\n')}\n`
}
