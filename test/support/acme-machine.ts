import { once } from 'node:events'
import { createServer as createHttpServer } from 'node:http'
import type { AddressInfo, Server } from 'node:net'
import { createServer as createTlsServer } from 'node:tls'
import type { CertificateVault } from '@larder/certs'
import {
  AcmeSession,
  type ChallengeBoard,
  ChallengeBook,
  type ChallengeKind,
  type ExternalAccount,
  FolderAccountStore,
  type Lease,
  LocalLease,
  type RenewalEvent,
  Renewer,
} from '@larder/certs/acme'
import { ChallengeRegistry } from '@larder/certs/challenges'
import type { Test } from 'tap'
import { FolderVault } from './folder-vault.ts'
import { temporaryFolder } from './larder-process.ts'
import type { Pebble } from './pebble.ts'

/** Listens where an authority validates: HTTP, and TLS with the protocol `acme-tls/1`. */
export interface ChallengeServers {
  readonly registry: ChallengeRegistry
  readonly httpPort: number
  readonly tlsPort: number
  /** How often the authority has looked, and how. */
  readonly looked: Record<ChallengeKind, number>
}

export async function startChallengeServers(t: Test): Promise<ChallengeServers> {
  const registry = new ChallengeRegistry()
  const looked: Record<ChallengeKind, number> = { 'http-01': 0, 'tls-alpn-01': 0 }
  const http = createHttpServer((request, response) => {
    looked['http-01']++
    const answer = registry.answerTo(request.url ?? '')
    response.statusCode = answer === null ? 404 : 200
    response.end(answer ?? '')
  })
  const tls = createTlsServer({
    ALPNProtocols: ['acme-tls/1'],
    SNICallback: (name, done) => {
      looked['tls-alpn-01']++
      done(null, registry.challengeContextFor(name) ?? undefined)
    },
  })
  tls.on('tlsClientError', () => {})
  return {
    registry,
    looked,
    httpPort: await listening(t, http),
    tlsPort: await listening(t, tls),
  }
}

async function listening(t: Test, server: Server): Promise<number> {
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  // A server that listens on TCP has an address with a port.
  return (server.address() as AddressInfo).port
}

export interface AcmeMachineOptions {
  readonly challenges?: readonly ChallengeKind[]
  readonly names?: readonly string[]
  readonly registry?: ChallengeRegistry
  /** In place of what a machine that is alone has. */
  readonly board?: ChallengeBoard
  readonly vault?: CertificateVault
  readonly lease?: Lease
  readonly externalAccount?: ExternalAccount
  readonly directoryUrl?: string
  readonly keyType?: 'p256' | 'p384' | 'rsa2048'
  readonly termsAgreed?: boolean
  readonly clock?: { ms: number }
}

/** One machine that keeps the certificate 'site' fresh. */
export interface AcmeMachine {
  readonly renewer: Renewer
  readonly vault: CertificateVault
  readonly events: RenewalEvent[]
  readonly accountFolder: string
  /** Moves time; the real one without it. */
  readonly clock: { ms: number }
}

export function acmeMachine(
  t: Test,
  pebble: Pebble,
  options: AcmeMachineOptions = {},
): AcmeMachine {
  const folder = temporaryFolder(t)
  const accountFolder = `${folder}/accounts`
  const {
    clock = { ms: Date.now() },
    challenges = ['http-01'],
    registry,
    keyType = 'p256',
  } = options
  const now = () => clock.ms
  const events: RenewalEvent[] = []
  const vault = options.vault ?? new FolderVault(`${folder}/certificates`)
  const session = new AcmeSession({
    directoryUrl: options.directoryUrl ?? pebble.directoryUrl,
    contacts: ['ops@larder.test'],
    termsAgreed: options.termsAgreed ?? true,
    externalAccount: options.externalAccount,
    caPem: pebble.caPem,
    accounts: new FolderAccountStore(accountFolder),
    now,
  })
  const board =
    options.board ?? new ChallengeBook({ tell: async (answers) => registry?.replaceAll(answers) })
  const renewer = new Renewer({
    session,
    vault,
    board,
    lease: options.lease ?? new LocalLease(now),
    keyType,
    challenges,
    now,
    random: () => 0.5,
    onEvent: (event) => events.push(event),
  })
  renewer.setTargets([{ id: 'site', names: options.names ?? ['www.a.test', 'a.test'] }])
  t.teardown(async () => {
    await renewer.stop()
    await session.close()
  })
  return { renewer, vault, events, accountFolder, clock }
}
