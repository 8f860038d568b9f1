import { join } from 'node:path'
import { connect } from 'node:tls'
import { CertificateStore } from '@larder/certs'
import { loadConfigText } from '../../../proxy/src/config/load.ts'
import { createLogger } from '../../../proxy/src/observability/logger.ts'
import { CertificateService } from '../../../proxy/src/supervisor/certificates/certificate-service.ts'
import { writeCertificate } from '../certificate.ts'
import { startLarder } from '../peers.ts'
import { ownResidentBytes, untilQuiet, workerOf } from '../processes.ts'
import { nameOf, writeManyPairs } from './many-certificates.ts'

/** What a folder of certificates costs as it grows: the start, memory, and the look-up of a handshake. */

export interface CertificateFigures {
  readonly names: number
  /** From the start of the process to the first handshake with one of the names, ms. */
  readonly startMs: number
  /** When it serves, and when it has read the names of all certificates. */
  readonly primaryBytes: readonly [number, number]
  readonly workerBytes: readonly [number, number]
  /** A name that is held, µs, by round. */
  readonly heldMicros: readonly number[]
  /** A name that nobody has, µs, by round. */
  readonly unknownMicros: readonly number[]
  /** A name for the first time: files read and checked, context made; µs each, by round. */
  readonly firstMicros: readonly number[]
}

const IN_USE = 100
const LOOKUPS = 200_000

export async function measureCertificates(
  folder: string,
  counts: readonly number[],
  rounds: number,
): Promise<CertificateFigures[]> {
  await writeCertificate(folder)
  const results: CertificateFigures[] = []
  for (const names of counts) {
    const certificates = join(folder, `certs-${names}`)
    await writeManyPairs(certificates, names)
    results.push({
      names,
      ...(await measureProcess(folder, certificates, names)),
      ...(await measureLookups(folder, certificates, names, rounds)),
    })
    console.log(`done: ${names} names`)
  }
  return results
}

async function measureProcess(folder: string, certificates: string, names: number) {
  const options = { certificates: { folder: certificates } }
  const startedAt = performance.now()
  const larder = await startLarder({ folder, originPort: 1 }, { name: 'Larder', options })
  try {
    await handshake(larder.httpsPort, nameOf(names - 1))
    const startMs = performance.now() - startedAt
    const worker = workerOf(larder.pid)
    const memory = () => [ownResidentBytes(larder.pid), ownResidentBytes(worker)] as const
    const atStart = memory()
    await untilQuiet(larder.pid, 180_000)
    const later = memory()
    return {
      startMs,
      primaryBytes: [atStart[0], later[0]] as const,
      workerBytes: [atStart[1], later[1]] as const,
    }
  } finally {
    await larder.stop()
  }
}

async function measureLookups(folder: string, certificates: string, names: number, rounds: number) {
  const service = serviceFor(folder, certificates)
  await service.start()
  const figures = {
    heldMicros: [] as number[],
    unknownMicros: [] as number[],
    firstMicros: [] as number[],
  }
  const inUse = Math.min(IN_USE, names)
  const wanted = Array.from({ length: inUse }, (_, i) => nameOf(Math.floor((i * names) / inUse)))
  try {
    for (let round = 0; round < rounds; round++) {
      const image = service.join({ name: `${round}`, send: () => {} })
      const store = new CertificateStore({
        names: image,
        ask: (pattern) => service.ask(pattern),
        maxContexts: 5_000,
      })
      let startedAt = performance.now()
      for (const name of wanted) {
        if ((await store.contextFor(name)) === null) throw new Error(`no certificate for ${name}`)
      }
      figures.firstMicros.push(((performance.now() - startedAt) * 1000) / inUse)
      startedAt = performance.now()
      for (let i = 0; i < LOOKUPS; i++) store.contextFor(wanted[i % inUse])
      figures.heldMicros.push(((performance.now() - startedAt) * 1000) / LOOKUPS)
      startedAt = performance.now()
      for (let i = 0; i < LOOKUPS; i++) store.contextFor(`x${i}.random.test`)
      figures.unknownMicros.push(((performance.now() - startedAt) * 1000) / LOOKUPS)
    }
  } finally {
    await service.stop()
  }
  return figures
}

function serviceFor(folder: string, certificates: string): CertificateService {
  const written = {
    listen: { http: ['127.0.0.1:0'] },
    certificates: { folder: certificates },
    tenants: [{ id: 'bench', hosts: ['*'], origins: [{ url: 'http://127.0.0.1:1' }] }],
  }
  const loaded = loadConfigText(JSON.stringify(written), join(folder, 'store.json'))
  if (!loaded.ok) throw new Error(loaded.problems[0]?.message)
  const { config } = loaded
  const logger = createLogger({ level: 'error' })
  return new CertificateService({ config, stateFolder: join(folder, 'state'), logger })
}

function handshake(port: number, servername: string): Promise<void> {
  return new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', servername, rejectUnauthorized: false }
    const socket = connect(options, () => {
      const isRight = socket.getPeerCertificate().subjectaltname === `DNS:${servername}`
      socket.resume().end()
      socket.once('close', () =>
        isRight ? resolve() : reject(new Error(`not the certificate of ${servername}`)),
      )
    })
    socket.once('error', reject)
  })
}
