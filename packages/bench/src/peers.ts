import type { ChildProcess } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { isInstalled, openFilesLimit, start, stop, untilListening } from './processes.ts'

const HERE = dirname(fileURLToPath(import.meta.url))
const LARDER = join(HERE, '../../proxy/src/cli/main.ts')
export const SERVER_CORE = 0
export const LOAD_CORE = 1
/** Descriptors that nginx needs for connections, where it may keep only so many files open. */
const RESERVED_FILES = 2000

/** A server under measurement. */
export interface Peer {
  readonly name: string
  readonly httpPort: number
  readonly httpsPort: number
  readonly pid: number
  stop(): Promise<void>
}

export interface Surroundings {
  /** Holds server.crt, server.key, server.pem; configurations and logs are written here. */
  readonly folder: string
  readonly originPort: number
}

/** What makes one Larder differ from another in the same comparison. */
export interface LarderVariant {
  readonly name: string
  /** Options of its configuration: `memory`, `disk`, `redis`. */
  readonly options: Readonly<Record<string, unknown>>
  /** Where the inspector of the primary would listen; that of the worker is on the port behind it. */
  readonly inspectPort?: number
}

const PLAIN: LarderVariant = { name: 'Larder', options: {} }

/** Those that this machine has, started; stopped again when one of them cannot be. */
export async function startPeers(surroundings: Surroundings): Promise<Peer[]> {
  const peers: Peer[] = []
  try {
    peers.push(await startLarder(surroundings), await startBareNode(surroundings))
    for (const name of ['nginx', 'haproxy'] as const) {
      if (isInstalled(name)) peers.push(await startConfigured(name, surroundings))
      else console.log(`${name} is not installed: left out`)
    }
  } catch (error) {
    for (const peer of peers) await peer.stop()
    throw error
  }
  return peers
}

export async function startLarder(
  { folder, originPort }: Surroundings,
  { name, options, inspectPort }: LarderVariant = PLAIN,
): Promise<Peer> {
  const [httpPort, httpsPort, adminPort] = await freePorts(3)
  const config = {
    listen: {
      http: [`127.0.0.1:${httpPort}`],
      https: [`127.0.0.1:${httpsPort}`],
      admin: [`127.0.0.1:${adminPort}`],
    },
    workers: 1,
    memory: { maxSize: '1GiB' },
    logging: { access: { output: join(folder, `${fileName(name)}-access.log`) } },
    tls: { unknownServerName: 'default' },
    tenants: [
      {
        id: 'bench',
        hosts: ['localhost', '*'],
        origins: [{ url: `http://127.0.0.1:${originPort}` }],
        certificate: { certFile: 'server.crt', keyFile: 'server.key' },
      },
    ],
    ...options,
  }
  const file = join(folder, `${fileName(name)}.json`)
  writeFileSync(file, JSON.stringify(config))
  const flags = inspectPort === undefined ? [] : [`--inspect-port=${inspectPort}`]
  const words = [process.execPath, ...flags, LARDER, 'start', '--config', file]
  const output = join(folder, `${fileName(name)}.out`)
  return peer(name, httpPort, httpsPort, start(SERVER_CORE, words, output))
}

function fileName(name: string): string {
  return name.toLowerCase().replaceAll(/[^a-z0-9]+/g, '-')
}

async function startBareNode({ folder }: Surroundings): Promise<Peer> {
  const [httpPort, httpsPort] = await freePorts(2)
  const script = join(HERE, 'bare-server.ts')
  const words = [process.execPath, script, String(httpPort), String(httpsPort), folder]
  const child = start(SERVER_CORE, words, join(folder, 'bare.out'))
  return peer(`bare Node ${process.versions.node}`, httpPort, httpsPort, child)
}

export async function startConfigured(
  name: 'nginx' | 'haproxy',
  surroundings: Surroundings,
): Promise<Peer> {
  const { folder, originPort } = surroundings
  const [httpPort, httpsPort] = await freePorts(2)
  const source = name === 'nginx' ? 'nginx.conf' : 'haproxy.cfg'
  const text = readFileSync(join(HERE, '../config', source), 'utf8')
    .replaceAll('FOLDER', folder)
    .replaceAll('HTTP_PORT', String(httpPort))
    .replaceAll('HTTPS_PORT', String(httpsPort))
    .replaceAll('ORIGIN_PORT', String(originPort))
    .replaceAll('OPEN_FILES', String(Math.min(200_000, openFilesLimit() - RESERVED_FILES)))
  const file = join(folder, source)
  writeFileSync(file, text)
  const words = name === 'nginx' ? ['nginx', '-c', file] : ['haproxy', '-f', file]
  const child = start(SERVER_CORE, words, join(folder, `${name}.out`))
  return peer(name === 'nginx' ? 'nginx' : 'HAProxy', httpPort, httpsPort, child)
}

async function peer(
  name: string,
  httpPort: number,
  httpsPort: number,
  child: ChildProcess,
): Promise<Peer> {
  try {
    await untilListening(httpPort)
    await untilListening(httpsPort)
  } catch (error) {
    await stop(child)
    throw new Error(`${name} does not start`, { cause: error })
  }
  return { name, httpPort, httpsPort, pid: child.pid ?? 0, stop: () => stop(child) }
}

/** Free a moment ago; whoever gets them has to be quick. */
export async function freePorts(count: number): Promise<number[]> {
  const servers = Array.from({ length: count }, () => createServer().listen(0, '127.0.0.1'))
  const ports: number[] = []
  for (const server of servers) {
    if (!server.listening) await new Promise((resolve) => server.once('listening', resolve))
    const address = server.address()
    ports.push(typeof address === 'object' && address !== null ? address.port : 0)
    await new Promise((resolve) => server.close(resolve))
  }
  return ports
}
