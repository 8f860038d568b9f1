import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { freePorts, LOAD_CORE } from './peers.ts'
import { start, stop, untilListening } from './processes.ts'

const SCRIPT = join(dirname(fileURLToPath(import.meta.url)), 'origin-server.ts')

export interface Origin {
  readonly port: number
  /** Requests that it has answered so far. */
  count(): Promise<number>
  stop(): Promise<void>
}

/** `origin-server.ts` as a process of its own, on the core of the load. */
export async function startOrigin(folder: string): Promise<Origin> {
  const [port] = await freePorts(1)
  const child = start(
    LOAD_CORE,
    [process.execPath, SCRIPT, String(port)],
    join(folder, 'origin.out'),
  )
  await untilListening(port)
  return {
    port,
    count: async () => Number(await (await fetch(`http://127.0.0.1:${port}/count`)).text()),
    stop: () => stop(child),
  }
}
