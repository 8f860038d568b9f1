import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import {
  type Agent,
  createServer,
  type IncomingMessage,
  type RequestListener,
  request,
} from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Test } from 'tap'
import type { WorkerStats } from '../../packages/proxy/src/admin/stats.ts'

const MAIN = fileURLToPath(new URL('../../packages/proxy/src/cli/main.ts', import.meta.url))
const START_TIMEOUT_MS = 30_000

export interface Answer {
  readonly status: number
  readonly headers: IncomingMessage['headers']
  readonly body: string
}

/** A whole proxy, as its own process tree in a folder of its own. */
export class LarderProcess {
  readonly child: ChildProcess
  readonly folder: string
  stdout = ''
  stderr = ''

  constructor(folder: string, words: readonly string[]) {
    this.folder = folder
    this.child = spawn(process.execPath, [MAIN, ...words], {
      cwd: folder,
      stdio: ['ignore', 'pipe', 'pipe'],
    })
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text
    })
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text
    })
  }

  /** Every URL of the banner that starts so, in its order. */
  urls(kind: 'http' | 'https'): string[] {
    const addresses = [...this.stdout.matchAll(/^ {2}(https?:\/\/\S+)$/gm)].map((match) => match[1])
    return addresses.filter((url) => url.startsWith(`${kind}:`))
  }

  get adminUrl(): string {
    return (
      /^ {2}(\S+) {2}\(admin API\)$/m.exec(this.stdout)?.[1].replace('localhost', '127.0.0.1') ?? ''
    )
  }

  get httpPort(): number {
    return Number(new URL(this.urls('http')[0]).port)
  }

  get httpsPort(): number {
    return Number(new URL(this.urls('https')[0]).port)
  }

  async started(): Promise<this> {
    await waitFor(() => {
      if (this.child.exitCode !== null) throw new Error(`It ended at once:\n${this.stderr}`)
      return this.stdout.includes('Admin API:')
    }, START_TIMEOUT_MS)
    return this
  }

  async workers(): Promise<WorkerStats[]> {
    const { body } = await get(`${this.adminUrl}/api/v1/workers`)
    return JSON.parse(body).workers
  }

  /** Resolves to the exit status, or the signal that ended it. */
  async ended(): Promise<number | string | null> {
    if (this.child.exitCode === null && this.child.signalCode === null)
      await once(this.child, 'exit')
    return this.child.exitCode ?? this.child.signalCode
  }
}

/** Runs `larder` with these words; ended, with its folder, when the test ends. */
export function spawnLarder(
  t: Test,
  words: readonly string[],
  folder = temporaryFolder(t),
): LarderProcess {
  const larder = new LarderProcess(folder, words)
  t.teardown(async () => {
    if (larder.child.exitCode !== null || larder.child.signalCode !== null) return
    larder.child.kill('SIGTERM')
    const force = setTimeout(() => larder.child.kill('SIGKILL'), 15_000)
    await larder.ended()
    clearTimeout(force)
  })
  return larder
}

/** A proxy on free ports with this configuration (`listen` is added), serving. */
export async function startLarder(
  t: Test,
  config: Readonly<Record<string, unknown>>,
  words: readonly string[] = [],
): Promise<LarderProcess> {
  const folder = temporaryFolder(t)
  writeConfig(folder, config)
  const ports = ['--http', '127.0.0.1:0', '--admin', '127.0.0.1:0', '--workers', '2']
  return spawnLarder(t, ['start', '--config', 'larder.json', ...ports, ...words], folder).started()
}

export function writeConfig(folder: string, config: Readonly<Record<string, unknown>>): void {
  const logging = { access: { output: 'off' } }
  writeFileSync(join(folder, 'larder.json'), JSON.stringify({ logging, ...config }, null, 2))
}

export function temporaryFolder(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'larder-test-'))
  t.teardown(() => rmSync(folder, { recursive: true, force: true }))
  return folder
}

/** An origin in this process; `answer` decides, and is told of every request. */
export async function startOrigin(t: Test, answer: RequestListener): Promise<string> {
  const server = createServer(answer)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  // A server that listens on TCP has an address with a port.
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
}

export interface RequestOptions {
  readonly method?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
  /** Without one, each request has a connection of its own. */
  readonly agent?: Agent
}

export function get(url: string, options: RequestOptions = {}): Promise<Answer> {
  const { method = 'GET', headers = {}, body, agent } = options
  return new Promise((resolve, reject) => {
    const sent = request(url, { method, headers, agent: agent ?? false }, (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (piece: string) => {
        text += piece
      })
      response.on('error', reject)
      response.on('end', () =>
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body: text }),
      )
    })
    sent.on('error', reject)
    sent.setTimeout(20_000, () => sent.destroy(new Error('no answer in 20 s')))
    sent.end(body)
  })
}

/** Asks again and again until it is so; order without guessing at durations. */
export async function waitFor(
  isSo: () => boolean | Promise<boolean>,
  timeoutMs = 15_000,
): Promise<void> {
  const endsAt = performance.now() + timeoutMs
  for (;;) {
    if (await isSo()) return
    if (performance.now() > endsAt) throw new Error(`Not so within ${timeoutMs} ms: ${isSo}`)
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
}
