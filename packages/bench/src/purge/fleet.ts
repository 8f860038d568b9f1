import { type ChildProcess, fork, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdirSync, openSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts } from '../peers.ts'
import { stop, untilListening } from '../processes.ts'
import type { PacedLoad } from './paced-load.ts'
import type { Publisher } from './publisher.ts'

const LARDER = fileURLToPath(new URL('../../../proxy/src/cli/main.ts', import.meta.url))

export interface FleetOptions {
  readonly folder: string
  readonly machines: number
  readonly workers: number
  readonly originPort: number
}

export interface FleetMachine {
  readonly httpPort: number
  readonly adminUrl: string
  /** Of its primary. */
  readonly pid: number
}

/** Several proxies, each with workers and a folder of its own, and one Redis; all on this computer, on all its cores. */
export interface Fleet {
  readonly redisUrl: string
  readonly machines: readonly FleetMachine[]
  startLoad(load: Omit<PacedLoad, 'ports'>): Promise<ChildProcess>
  startPublisher(): Promise<ChildProcess>
  stop(): Promise<void>
}

export async function startFleet(options: FleetOptions): Promise<Fleet> {
  const { folder, machines: count } = options
  const children: ChildProcess[] = []
  const stopAll = async () => {
    // The bus's last words need Redis, which was started first.
    for (const child of children.toReversed()) {
      if (child.connected) child.disconnect()
      await stop(child)
    }
  }
  const forked = async (file: string, words: PacedLoad | Publisher) => {
    const path = fileURLToPath(new URL(file, import.meta.url))
    const child = fork(path, [JSON.stringify(words)], { execArgv: [] })
    children.push(child)
    return child
  }
  try {
    const [redisPort, ...ports] = await freePorts(1 + count * 2)
    children.push(spawnQuietly(folder, 'redis', 'redis-server', redisWords(redisPort, folder)))
    await untilListening(redisPort)
    const redisUrl = `redis://127.0.0.1:${redisPort}`
    const machines: FleetMachine[] = []
    for (let index = 0; index < count; index++) {
      const [httpPort, adminPort] = [ports[index * 2], ports[index * 2 + 1]]
      const own = join(folder, `machine-${index}`)
      mkdirSync(own)
      writeFileSync(join(own, 'larder.json'), config(options, redisUrl, httpPort, adminPort))
      const child = spawnQuietly(own, 'larder', process.execPath, [
        LARDER,
        'start',
        '--config',
        'larder.json',
      ])
      children.push(child)
      await untilListening(adminPort)
      await untilListening(httpPort)
      const adminUrl = `http://127.0.0.1:${adminPort}`
      machines.push({ httpPort, adminUrl, pid: child.pid ?? 0 })
    }
    return {
      redisUrl,
      machines,
      startLoad: (load) =>
        forked('./paced-load.ts', { ...load, ports: machines.map(({ httpPort }) => httpPort) }),
      async startPublisher() {
        const child = await forked('./publisher.ts', {
          redisUrl,
          folder: join(folder, 'publisher'),
        })
        await once(child, 'message')
        return child
      },
      stop: stopAll,
    }
  } catch (error) {
    await stopAll()
    throw error
  }
}

/** Resident, of one process; 0 when it has gone. */
export function residentMiB(pid: number): number {
  const text = readFileSync(`/proc/${pid}/status`, 'utf8')
  return Number(/^VmRSS:\s+(\d+)/m.exec(text)?.[1] ?? 0) / 1024
}

function redisWords(port: number, folder: string): string[] {
  const options = { port, bind: '127.0.0.1', save: '', appendonly: 'no', dir: folder }
  return Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
}

function config(
  { workers, originPort }: FleetOptions,
  redisUrl: string,
  httpPort: number,
  adminPort: number,
): string {
  return JSON.stringify({
    listen: { http: [`127.0.0.1:${httpPort}`], admin: [`127.0.0.1:${adminPort}`] },
    workers,
    redis: { url: redisUrl },
    logging: { access: { output: 'off' } },
    tenants: [{ id: 'bench', hosts: ['*'], origins: [{ url: `http://127.0.0.1:${originPort}` }] }],
  })
}

function spawnQuietly(
  folder: string,
  name: string,
  program: string,
  words: readonly string[],
): ChildProcess {
  const output = openSync(join(folder, `${name}.out`), 'a')
  return spawn(program, words, { cwd: folder, stdio: ['ignore', output, output] })
}
