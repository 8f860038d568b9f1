import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, writeFileSync } from 'node:fs'
import { get } from 'node:https'
import { join } from 'node:path'
import { DevelopmentAuthority } from '@larder/certs'
import type { Test } from 'tap'
import { temporaryFolder, waitFor } from './larder-process.ts'
import { startNameServer } from './name-server.ts'
import { skipWithout } from './programs.ts'
import { freePort } from './redis-server.ts'

/** For `t.test`: why tests with an ACME authority are not run here, or false. */
export const withoutPebble = skipWithout('pebble', 'pebble')

export interface PebbleOptions {
  /** Where it validates: all names lead to 127.0.0.1. */
  readonly httpPort?: number
  readonly tlsPort?: number
  /** In per cent. */
  readonly refusedNonces?: number
  /** In per cent: names that it does not ask about again. */
  readonly reusedAuthorizations?: number
  readonly validitySeconds?: number
  /** kid → HMAC key, base64url; with any, accounts need one. */
  readonly externalAccounts?: Readonly<Record<string, string>>
  readonly blockedNames?: readonly string[]
}

/** Debian's ACME authority for tests, on free ports; it forgets everything when it ends. */
export class Pebble {
  readonly directoryUrl: string
  /** Whom a client has to trust to talk to it. */
  readonly caPem: string
  /** The same as a file. */
  readonly caFile: string
  output = ''
  readonly #config: string
  readonly #nameServer: string
  readonly #managementUrl: string
  readonly #options: PebbleOptions
  #child: ChildProcess | null = null

  constructor(
    ports: { readonly acme: number; readonly management: number },
    files: { readonly config: string; readonly ca: string },
    nameServer: string,
    options: PebbleOptions,
  ) {
    this.directoryUrl = `https://localhost:${ports.acme}/dir`
    this.#managementUrl = `https://localhost:${ports.management}`
    this.caFile = files.ca
    this.caPem = readFileSync(files.ca, 'utf8')
    this.#config = files.config
    this.#nameServer = nameServer
    this.#options = options
  }

  /** Starts it, again after `kill`. */
  async start(): Promise<this> {
    const { refusedNonces = 0, reusedAuthorizations = 0 } = this.#options
    const words = ['-config', this.#config, '-dnsserver', this.#nameServer, '-strict']
    const child = spawn('pebble', words, {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: {
        ...process.env,
        PEBBLE_VA_NOSLEEP: '1',
        PEBBLE_WFE_NONCEREJECT: `${refusedNonces}`,
        PEBBLE_AUTHZREUSE: `${reusedAuthorizations}`,
      },
    })
    this.#child = child
    let output = ''
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text
        this.output += text
      })
    }
    await waitFor(async () => {
      if (child.exitCode !== null) throw new Error(`pebble has ended:\n${output}`)
      return (await this.#fetch(this.directoryUrl).catch(() => '')) !== ''
    })
    return this
  }

  async kill(): Promise<void> {
    const child = this.#child
    this.#child = null
    if (child === null || child.exitCode !== null || child.signalCode !== null) return
    const gone = once(child, 'exit')
    child.kill('SIGKILL')
    await gone
  }

  /** Whom a client has to trust to accept what it issues; another one after each start. */
  rootPem(): Promise<string> {
    return this.#fetch(`${this.#managementUrl}/roots/0`)
  }

  /** How often it has been asked for this. */
  asked(what: 'new-account' | 'new-order' | 'finalize'): number {
    const path = {
      'new-account': '/sign-me-up',
      'new-order': '/order-plz',
      finalize: '/finalize-order/',
    }
    return this.output.split(`POST ${path[what]}`).length - 1
  }

  #fetch(url: string): Promise<string> {
    return new Promise((resolve, reject) => {
      const sent = get(url, { ca: this.caPem, agent: false }, (response) => {
        let text = ''
        response.setEncoding('utf8').on('data', (piece: string) => {
          text += piece
        })
        response.on('end', () => resolve(text))
        response.on('error', reject)
      })
      sent.on('error', reject)
    })
  }
}

export async function startPebble(t: Test, options: PebbleOptions = {}): Promise<Pebble> {
  const folder = temporaryFolder(t)
  const authority = new DevelopmentAuthority(folder)
  await authority.certificateFor('pebble', ['localhost'])
  const ports = { acme: await freePort(), management: await freePort() }
  const { httpPort = 9, tlsPort = 9, validitySeconds, externalAccounts, blockedNames } = options
  const config = join(folder, 'pebble.json')
  writeFileSync(
    config,
    JSON.stringify({
      pebble: {
        listenAddress: `127.0.0.1:${ports.acme}`,
        managementListenAddress: `127.0.0.1:${ports.management}`,
        certificate: join(folder, 'pebble.crt'),
        privateKey: join(folder, 'pebble.key'),
        httpPort,
        tlsPort,
        externalAccountBindingRequired: externalAccounts !== undefined,
        externalAccountMACKeys: externalAccounts,
        domainBlocklist: blockedNames,
        certificateValidityPeriod: validitySeconds,
      },
    }),
  )
  const { address } = await startNameServer(t, ['127.0.0.1'])
  const files = { config, ca: authority.certificateFile }
  const pebble = new Pebble(ports, files, address, options)
  t.teardown(() => pebble.kill())
  return pebble.start()
}
