import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import { createServer } from 'node:net'
import { promisify } from 'node:util'
import { Redis } from 'ioredis'
import type { Test } from 'tap'
import { temporaryFolder, waitFor } from './larder-process.ts'
import { skipWithout } from './programs.ts'

const run = promisify(execFile)

/** For `t.test`: why tests with a real Redis are not run here, or false. */
export const withoutRedis = skipWithout('redis-server', 'redis-server')

/** A redis-server of its own on a free port, without a file on disk unless told otherwise. */
export class RedisServer {
  readonly port: number
  readonly folder: string
  readonly #words: readonly string[]
  #child: ChildProcess | null = null
  #output = ''

  constructor(port: number, folder: string, words: readonly string[]) {
    this.port = port
    this.folder = folder
    this.#words = words
  }

  get url(): string {
    return `redis://127.0.0.1:${this.port}`
  }

  /** Starts it, again after `kill`; resolves when it answers (while it may still read its database). */
  async start(words: readonly string[] = []): Promise<this> {
    const always = ['--port', `${this.port}`, '--bind', '127.0.0.1', '--dir', this.folder]
    const quick = ['--save', '', '--appendonly', 'no', '--daemonize', 'no']
    return this.#run([...always, ...quick, ...this.#words, ...words])
  }

  /** Starts it as a sentinel with this configuration file. */
  startSentinel(file: string): Promise<this> {
    return this.#run([file, '--sentinel', '--port', `${this.port}`, '--bind', '127.0.0.1'])
  }

  async #run(words: readonly string[]): Promise<this> {
    const child = spawn('redis-server', words, { stdio: ['ignore', 'pipe', 'pipe'] })
    this.#child = child
    this.#output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        this.#output += text
      })
    }
    await waitFor(() => {
      if (child.exitCode !== null) throw new Error(`redis-server has ended:\n${this.#output}`)
      return /Ready to accept connections|Server initialized|\+monitor master/.test(this.#output)
    })
    return this
  }

  /** It stops answering; its connections stay. */
  pause(): void {
    this.#child?.kill('SIGSTOP')
  }

  resume(): void {
    this.#child?.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  /** What redis-cli prints. */
  async cli(...words: readonly string[]): Promise<string> {
    const { stdout } = await run('redis-cli', ['-p', `${this.port}`, ...words])
    return stdout.trim()
  }

  /** A connection for the test itself. */
  connect(t: Test): Redis {
    const client = new Redis(this.url)
    // Servers are killed under it on purpose.
    client.on('error', () => {})
    t.teardown(() => client.disconnect())
    return client
  }
}

export async function startRedis(t: Test, words: readonly string[] = []): Promise<RedisServer> {
  const server = new RedisServer(await freePort(), temporaryFolder(t), words)
  t.teardown(() => server.kill())
  return server.start()
}

export async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer().listen(0, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    server.close()
    await once(server, 'close')
    // A cluster needs the port 10 000 above it as well.
    if (address !== null && typeof address === 'object' && address.port < 55_000) {
      return address.port
    }
  }
}
