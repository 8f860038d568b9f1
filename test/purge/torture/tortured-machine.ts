import { request } from 'node:http'
import type { Receipt } from '@larder/purge-bus'
import type { FilteringLink } from '../../support/filtering-link.ts'
import { type LarderProcess, waitFor } from '../../support/larder-process.ts'

/** After a worker has died, its connections may be found cut for so long. */
const CUTS_FOR_MS = 30_000
/** For a worker that was killed while others start; the machine has other work to do. */
const REPLACED_WITHIN_MS = 60_000

/** A proxy with its own link to Redis. */
export class TorturedMachine {
  readonly index: number
  readonly larder: LarderProcess
  readonly link: FilteringLink
  readonly port: number
  /** Its name in receipts. */
  readonly name: string
  /** Times a worker was killed or stopped. */
  disturbances = 0
  #disturbedAtMs = Number.NEGATIVE_INFINITY

  constructor(index: number, larder: LarderProcess, link: FilteringLink) {
    this.index = index
    this.larder = larder
    this.link = link
    this.port = larder.httpPort
    const said = /"machine":"([^"]+)"/.exec(larder.stderr)
    if (said === null) throw new Error(`It does not say its name:\n${larder.stderr}`)
    this.name = said[1]
  }

  /** A worker has been killed or stopped a moment ago. */
  get mayHaveCut(): boolean {
    return performance.now() - this.#disturbedAtMs < CUTS_FOR_MS
  }

  /** Null while it has none to spare. */
  async someWorker(index: number): Promise<number | null> {
    const workers = await this.larder.workers()
    if (!workers.every(({ state }) => state === 'serving')) return null
    return workers[index % workers.length].pid ?? null
  }

  signal(pid: number, signal: 'SIGKILL' | 'SIGSTOP' | 'SIGCONT'): void {
    this.disturbed()
    process.kill(pid, signal)
  }

  disturbed(): void {
    this.disturbances++
    this.#disturbedAtMs = performance.now()
  }

  /** All serve, and none of them is `pid`. */
  async replaced(pid: number): Promise<void> {
    await waitFor(async () => {
      const workers = await this.larder.workers()
      return workers.every((worker) => worker.pid !== pid && worker.state === 'serving')
    }, REPLACED_WITHIN_MS)
    this.disturbed()
  }

  async post(message: unknown): Promise<{ status: number; body: Receipt }> {
    const response = await fetch(`${this.larder.adminUrl}/api/v1/purge`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(message),
    })
    // What the admin API answers to a purge.
    return { status: response.status, body: (await response.json()) as Receipt }
  }

  /** By the door for requests; rejects when its worker dies meanwhile. */
  async purge(url: URL, soft: boolean): Promise<{ status: number; body: Receipt }> {
    return new Promise((resolve, reject) => {
      const headers = { host: url.host, ...(soft ? { 'larder-soft-purge': '1' } : {}) }
      const where = { host: '127.0.0.1', port: this.port, path: url.pathname }
      const sent = request({ ...where, method: 'PURGE', headers, agent: false }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (piece: string) => {
          text += piece
        })
        response.on('error', reject)
        response.on('end', () =>
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) }),
        )
      })
      sent.on('error', reject)
      sent.setTimeout(25_000, () => sent.destroy(new Error('no receipt in 25 s')))
      sent.end()
    })
  }

  async connected(): Promise<void> {
    await waitFor(async () => {
      const response = await fetch(`${this.larder.adminUrl}/readyz`)
      return /"purges":"connected"/.test(await response.text())
    }, 30_000)
  }
}
