import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { LOAD_CORE, type Peer } from './peers.ts'

export type Protocol = 'HTTP/1.1' | 'HTTP/1.1 + TLS' | 'HTTP/2 + TLS'

export interface Load {
  readonly protocol: Protocol
  /** Requests at once on each connection. */
  readonly streams: number
  readonly connections: number
  readonly sizeBytes: number
  readonly keys: number
  readonly requests: number
}

/** Runs h2load on its own core; throws when an answer was not a 200 or did not come. */
export async function run(peer: Peer, load: Load, folder: string): Promise<void> {
  const { protocol, streams, connections, requests } = load
  const file = join(
    folder,
    `urls-${peer.name}-${protocol}-${load.sizeBytes}-${load.keys}`.replaceAll(/[ /+]/g, '_'),
  )
  writeFileSync(file, urls(peer, load))
  const words = ['-n', requests, '-c', connections, '-m', streams, '-i', file].map(String)
  if (protocol !== 'HTTP/2 + TLS') words.unshift('--h1')
  const text = await new Promise<string>((resolve, reject) => {
    execFile('taskset', ['-c', String(LOAD_CORE), 'h2load', ...words], (error, stdout) =>
      error === null ? resolve(stdout) : reject(error),
    )
  })
  if (!text.includes(`status codes: ${requests} 2xx`)) {
    throw new Error(`${peer.name} did not answer all of ${protocol}:\n${text}`)
  }
}

function urls(peer: Peer, { protocol, sizeBytes, keys }: Load): string {
  const origin =
    protocol === 'HTTP/1.1'
      ? `http://localhost:${peer.httpPort}`
      : `https://localhost:${peer.httpsPort}`
  let text = ''
  for (let key = 0; key < keys; key++) text += `${origin}/${sizeBytes}/${key}\n`
  return text
}
