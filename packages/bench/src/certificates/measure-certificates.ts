import { join } from 'node:path'
import { connect } from 'node:tls'
import { CertificateStore } from '@larder/certs'
import { loadConfigText } from '../../../proxy/src/config/load.ts'
import { createLogger } from '../../../proxy/src/observability/logger.ts'
import { CertificateService } from '../../../proxy/src/supervisor/certificates/certificate-service.ts'
import { writeCertificate } from '../certificate.ts'
import { startLarder } from '../peers.ts'
import { cpuSeconds, ownResidentBytes, untilQuiet, workerOf } from '../processes.ts'
import { nameOf, writeManyPairs } from './many-certificates.ts'

/** What a folder of certificates costs as it grows: the start, memory, and the look-up of a handshake. */

export interface CertificateFigures {
  readonly names: number
  /** From the start of the process to the first handshake with one of the names, ms. */
  readonly startMs: number
  /** CPU time of all its processes until then, s. */
  readonly startCpuSeconds: number
  /** When it serves, and when it has read the names of all certificates. */
  readonly primaryBytes: readonly [number, number]
  readonly workerBytes: readonly [number, number]
  /** CPU time for a name that is held, µs, by round. */
  readonly heldMicros: readonly number[]
  /** The same for a name that nobody has. */
  readonly unknownMicros: readonly number[]
  /** The same for a name that is asked for the first time: files read and checked, context made. */
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
    const startCpuSeconds = cpuSeconds(larder.pid)
    const worker = workerOf(larder.pid)
    const memory = () => [ownResidentBytes(larder.pid), ownResidentBytes(worker)] as const
    const atStart = memory()
    await untilQuiet(larder.pid, 180_000)
    const later = memory()
    return {
      startMs,
      startCpuSeconds,
      primaryBytes: [atStart[0], later[0]] as const,
      workerBytes: [atStart[1], later[1]] as const,
    }
  } finally {
    await larder.stop()
  }
}

async function measureLookups(folder: string, certificates: string, names: number, rounds: number) {
  const figures = {
    heldMicros: [] as number[],
    unknownMicros: [] as number[],
    firstMicros: [] as number[],
  }
  const inUse = Math.min(IN_USE, names)
  const wanted = Array.from({ length: inUse }, (_, i) => nameOf(Math.floor((i * names) / inUse)))
  for (let round = 0; round < rounds; round++) {
    const service = serviceFor(folder, certificates)
    try {
      await service.start()
      const image = service.join({ name: `${round}`, send: () => {} })
      const store = new CertificateStore({
        names: image,
        ask: (pattern) => service.ask(pattern),
        maxContexts: 5_000,
      })
      let begun = process.cpuUsage()
      for (const name of wanted) {
        if ((await store.contextFor(name)) === null) throw new Error(`no certificate for ${name}`)
      }
      figures.firstMicros.push(microsSince(begun) / inUse)
      begun = process.cpuUsage()
      for (let i = 0; i < LOOKUPS; i++) store.contextFor(wanted[i % inUse])
      figures.heldMicros.push(microsSince(begun) / LOOKUPS)
      begun = process.cpuUsage()
      for (let i = 0; i < LOOKUPS; i++) store.contextFor(`x${i}.random.test`)
      figures.unknownMicros.push(microsSince(begun) / LOOKUPS)
    } finally {
      await service.stop()
    }
  }
  return figures
}

/** CPU time of this process. */
function microsSince(begun: NodeJS.CpuUsage): number {
  const { user, system } = process.cpuUsage(begun)
  return user + system
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
