import { createServer } from 'node:http'
import { contentFor } from './content.ts'
import { runKeys } from './key-load.ts'
import { type Load, run } from './load.ts'
import { type Peer, startPeers } from './peers.ts'
import { cpuSeconds } from './processes.ts'
import type { Measured } from './report.ts'

/** CPU time of a server for one answer that it has in its cache. Rounds of all servers alternate. */

export interface HitOptions {
  readonly folder: string
  readonly quick: boolean
}

const KIB = 1024

function cases(quick: boolean): (Load & { name: string })[] {
  const scale = quick ? 0.25 : 1
  const many = quick ? 10_000 : 100_000
  const small = { sizeBytes: KIB, connections: 16, requests: 60_000 * scale }
  const large = { sizeBytes: 100 * KIB, connections: 16, requests: 8_000 * scale }
  const h1 = { protocol: 'HTTP/1.1', streams: 1 } as const
  const tls = { protocol: 'HTTP/1.1 + TLS', streams: 1 } as const
  const h2 = { protocol: 'HTTP/2 + TLS', streams: 32 } as const
  return [
    { name: '1 KiB, HTTP/1.1', ...h1, ...small, keys: 1 },
    { name: '1 KiB, HTTP/1.1 + TLS', ...tls, ...small, keys: 1 },
    { name: '1 KiB, HTTP/2 + TLS, 1 stream', ...h2, ...small, streams: 1, keys: 1 },
    {
      name: '1 KiB, HTTP/2 + TLS, 32 streams',
      ...h2,
      ...small,
      requests: 120_000 * scale,
      keys: 1,
    },
    { name: `1 KiB of ${many} keys, HTTP/1.1`, ...h1, ...small, requests: many, keys: many },
    {
      name: `1 KiB of ${many} keys, HTTP/2 + TLS, 32 streams`,
      ...h2,
      ...small,
      // h2load gives the list of keys to each connection: one alone goes through all of them.
      connections: 1,
      requests: many,
      keys: many,
    },
    { name: '100 KiB, HTTP/1.1', ...h1, ...large, keys: 1 },
    { name: '100 KiB, HTTP/1.1 + TLS', ...tls, ...large, keys: 1 },
    { name: '100 KiB, HTTP/2 + TLS, 32 streams', ...h2, ...large, keys: 1 },
  ]
}

export async function measureHits({ folder, quick }: HitOptions): Promise<Measured[]> {
  const origin = createServer((request, response) => {
    const content = contentFor(request.url ?? '/')
    response.setHeader('content-type', 'application/octet-stream')
    response.setHeader('cache-control', 'max-age=86400')
    response.setHeader('content-length', content.length)
    response.end(content)
  })
  origin.listen(0, '127.0.0.1')
  await new Promise((resolve) => origin.once('listening', resolve))
  const address = origin.address()
  const originPort = typeof address === 'object' && address !== null ? address.port : 0
  const peers = await startPeers({ folder, originPort })
  const results: Measured[] = []
  try {
    for (const load of cases(quick)) {
      // Fills the cache, and lets a just-in-time compiler do its work.
      for (const peer of peers) await send(peer, load, folder)
      const rounds = peers.map(() => [] as number[])
      for (let round = 0; round < 5; round++) {
        for (const [index, peer] of peers.entries()) {
          rounds[index].push(await microsecondsPerRequest(peer, load, folder))
        }
      }
      for (const [index, peer] of peers.entries()) {
        results.push({ caseName: load.name, peer: peer.name, rounds: rounds[index] })
      }
      console.log(`done: ${load.name}`)
    }
  } finally {
    for (const peer of peers) await peer.stop()
    origin.close()
    origin.closeAllConnections()
  }
  return results
}

/** Every key once, where there are many; h2load for the rest. */
function send(peer: Peer, load: Load, folder: string): Promise<void> {
  if (load.keys === 1 || load.protocol !== 'HTTP/1.1') return run(peer, load, folder)
  const { sizeBytes, keys, requests, connections } = load
  return runKeys(peer, { sizeBytes, firstKey: 0, keys, requests, connections })
}

async function microsecondsPerRequest(peer: Peer, load: Load, folder: string): Promise<number> {
  const before = cpuSeconds(peer.pid)
  await send(peer, load, folder)
  return ((cpuSeconds(peer.pid) - before) * 1e6) / load.requests
}
