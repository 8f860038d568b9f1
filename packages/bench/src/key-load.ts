import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { LOAD_CORE, type Peer } from './peers.ts'

const CLIENT = join(dirname(fileURLToPath(import.meta.url)), 'key-load-client.ts')

/** Requests for `keys` keys from `firstKey` on, one after the other unless `random`. */
export interface KeyLoad {
  readonly sizeBytes: number
  readonly firstKey: number
  readonly keys: number
  readonly requests: number
  readonly connections: number
  readonly random?: boolean
  /** Each key so many times in a row. */
  readonly repeat?: number
}

/** Runs `key-load-client.ts` on the core of the load; rejects when an answer was not the expected 200. */
export async function runKeys(peer: Peer, load: KeyLoad): Promise<void> {
  const { sizeBytes, firstKey, keys, requests, connections, random = false, repeat = 1 } = load
  const words = {
    port: peer.httpPort,
    size: sizeBytes,
    first: firstKey,
    keys,
    requests,
    connections,
    repeat,
  }
  const flags = Object.entries(words).map(([name, value]) => `--${name}=${value}`)
  if (random) flags.push('--random')
  const command = ['-c', String(LOAD_CORE), process.execPath, CLIENT, ...flags]
  const answered = await new Promise<string>((resolve, reject) => {
    execFile('taskset', command, (error, stdout, stderr) =>
      error === null ? resolve(stdout) : reject(new Error(`${peer.name} ${stderr}`)),
    )
  })
  if (Number(answered) !== requests) {
    throw new Error(`${peer.name} answered ${answered.trim()} of ${requests} requests`)
  }
}
