import { join } from 'node:path'
import { freePorts, LOAD_CORE } from './peers.ts'
import { start, stop, untilListening } from './processes.ts'

export interface Redis {
  readonly url: string
  readonly pid: number
  stop(): Promise<void>
}

/** A redis-server of its own, without a file, on the core of the load. */
export async function startRedis(folder: string): Promise<Redis> {
  const [port] = await freePorts(1)
  const options = { port, bind: '127.0.0.1', save: '', appendonly: 'no', dir: folder }
  const words = Object.entries(options).flatMap(([name, value]) => [`--${name}`, String(value)])
  const child = start(LOAD_CORE, ['redis-server', ...words], join(folder, 'redis.out'))
  await untilListening(port)
  return {
    url: `redis://127.0.0.1:${port}`,
    pid: child.pid ?? 0,
    stop: () => stop(child),
  }
}
