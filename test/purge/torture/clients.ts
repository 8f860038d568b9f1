import { Agent, type IncomingMessage, request } from 'node:http'
import { setTimeout as wait } from 'node:timers/promises'
import { bodyOf, LEGIBLE_BYTES, type Page, versionIn } from './page.ts'
import type { Promises } from './promises.ts'
import type { Random } from './random.ts'
import type { TorturedMachine } from './tortured-machine.ts'

/** Longer than a worker that hangs is left alone, and its successor takes to start. */
const TIMEOUT_MS = 25_000

interface Asked {
  readonly method: string
  readonly headers: Readonly<Record<string, string>>
}

interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: Buffer
}

export interface Asking {
  readonly machines: readonly TorturedMachine[]
  readonly pages: readonly Page[]
  readonly promises: Promises
  readonly random: Random
  readonly isOver: () => boolean
}

/** What clients have seen. */
export interface Seen {
  answers: number
  hits: number
  retries: number
}

/** Asks for one page after the other, and holds every answer against what was promised before the request. */
export async function keepAsking(asking: Asking, seen: Seen): Promise<void> {
  const { machines, pages, random, isOver } = asking
  const agent = new Agent({ keepAlive: true, maxSockets: 1 })
  while (!isOver()) {
    const page = random.pick(pages)
    const asked = question(page, random)
    const machine = random.pick(machines)
    await ask(asking, machine, page, asked, random.chance(0.5) ? agent : undefined, seen)
    await wait(random.between(2, 40))
  }
  agent.destroy()
}

/** A killed worker may cut an answer; then asking once more must do. */
async function ask(
  { promises }: Asking,
  machine: TorturedMachine,
  page: Page,
  asked: Asked,
  agent: Agent | undefined,
  seen: Seen,
): Promise<void> {
  for (const isRetry of [false, true]) {
    const oldest = promises.oldestFor(machine.index, page)
    const { disturbances } = machine
    const name = `machine ${machine.index}, ${JSON.stringify(asked.headers)}`
    try {
      const answer = await exchange(machine.port, page, asked, isRetry ? undefined : agent)
      const by = `${answer.status}, ${answer.headers['cache-status']}`
      const wrong = judge(page, asked, answer, oldest.version, promises.versionOf(page))
      promises.note(page, `${name}: ${by}: ${wrong ?? 'right'}`)
      if (wrong !== null) {
        promises.violated(page, `${name}: ${by}: ${wrong}; the oldest by ${oldest.purge}`)
      }
      seen.answers++
      if (/; hit/.test(String(answer.headers['cache-status']))) seen.hits++
      return
    } catch (error) {
      promises.note(page, `${name}: ${error}`)
      const isExcused = isRetry ? machine.disturbances !== disturbances : machine.mayHaveCut
      if (!isExcused) promises.violated(page, `${name}: ${isRetry ? 'again ' : ''}${error}`)
      if (isRetry) return
      seen.retries++
    }
  }
}

function question(page: Page, random: Random): Asked {
  const plain = { host: page.host }
  const kind = random.next()
  if (kind < 0.15) {
    const first = random.between(0, page.sizeBytes - LEGIBLE_BYTES - 1)
    const last = random.between(first + LEGIBLE_BYTES, page.sizeBytes - 1)
    return { method: 'GET', headers: { ...plain, range: `bytes=${first}-${last}` } }
  }
  if (kind < 0.3) {
    const version = random.between(1, 5)
    return { method: 'GET', headers: { ...plain, 'if-none-match': `"v${version}"` } }
  }
  if (kind < 0.33) return { method: 'GET', headers: { ...plain, 'cache-control': 'no-cache' } }
  return { method: 'GET', headers: plain }
}

function exchange(port: number, page: Page, asked: Asked, agent?: Agent): Promise<Answer> {
  const { path } = page
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port, path, agent: agent ?? false, ...asked }
    const sent = request(options, (response) => {
      const pieces: Buffer[] = []
      response.on('data', (piece: Buffer) => pieces.push(piece))
      response.on('error', reject)
      response.on('end', () => {
        const { statusCode: status = 0, headers } = response
        resolve({ status, headers, body: Buffer.concat(pieces) })
      })
    })
    sent.on('error', reject)
    sent.setTimeout(TIMEOUT_MS, () => sent.destroy(new Error(`no answer in ${TIMEOUT_MS} ms`)))
    sent.end()
  })
}

/** Why this is no right answer; null when it is one. `newest`: the current version when it had come. */
export function judge(
  page: Page,
  { headers: asked }: Pick<Asked, 'headers'>,
  { status, headers, body }: Answer,
  oldest: number,
  newest: number,
): string | null {
  if (status === 304) {
    if (asked['if-none-match'] !== headers.etag) return `304 for ${headers.etag}`
    return ageOf(Number(/^"v(\d+)"$/.exec(String(headers.etag))?.[1]), oldest, newest)
  }
  if (status !== 200 && status !== 206) return `an odd status: ${body.toString().slice(0, 200)}`
  const version = versionIn(body)
  if (version === null) return `no version in a body of ${body.length} octets`
  const whole = bodyOf(page, version)
  let expected = whole
  if (status === 206) {
    const [, first, last, size] =
      /^bytes (\d+)-(\d+)\/(\d+)$/.exec(String(headers['content-range'])) ?? []
    if (asked.range !== `bytes=${first}-${last}`) return `another range than ${asked.range}`
    if (Number(size) !== whole.length) return `a part of ${size} octets`
    expected = whole.subarray(Number(first), Number(last) + 1)
  }
  if (!expected.equals(body)) return `mixed or torn: ${body.length} octets of version ${version}`
  if (page.hasEtag && headers.etag !== `"v${version}"`) {
    return `version ${version} under the entity tag ${headers.etag}`
  }
  return ageOf(version, oldest, newest)
}

function ageOf(version: number, oldest: number, newest: number): string | null {
  if (!(version <= newest)) return `version ${version}, which there is not yet`
  return version < oldest ? `version ${version}, and ${oldest} is the oldest allowed` : null
}
