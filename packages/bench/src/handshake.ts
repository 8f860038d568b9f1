import { execFile } from 'node:child_process'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { HandshakeLoad, HandshakeResult } from './handshake-client.ts'
import { freePorts, LOAD_CORE, SERVER_CORE, startLarder } from './peers.ts'
import { cpuSeconds, start, stop, untilListening } from './processes.ts'
import type { Measured } from './report.ts'

const HERE = dirname(fileURLToPath(import.meta.url))
const run = promisify(execFile)
const CONCURRENCY = 8

/** CPU time of a handshake, beside the least that Node can do in the same run. Rounds of both alternate. */

export interface MeasuredHandshakes extends Measured {
  /** Per second, one figure per round; the client has a core of its own, and is the slower one. */
  readonly rates: readonly number[]
}

interface HandshakePeer {
  readonly name: string
  readonly port: number
  readonly pid: number
  stop(): Promise<void>
}

type Case = Pick<HandshakeLoad, 'resumed' | 'version' | 'group' | 'count'> & { name: string }

function cases(quick: boolean): Case[] {
  const full = { resumed: false, count: quick ? 200 : 2000 }
  const resumed = { resumed: true, count: quick ? 200 : 3000 }
  const [old, current] = [{ version: 'TLSv1.2' }, { version: 'TLSv1.3' }] as const
  return [
    { name: 'full, TLS 1.3, X25519', ...full, ...current, group: 'X25519' },
    { name: 'full, TLS 1.3, X25519MLKEM768', ...full, ...current, group: 'X25519MLKEM768' },
    // In TLS 1.2 the curve of the certificate has to be among them (RFC 8422 §5.1.1).
    { name: 'full, TLS 1.2, X25519', ...full, ...old, group: 'X25519:prime256v1' },
    { name: 'resumed, TLS 1.3, X25519', ...resumed, ...current, group: 'X25519' },
    { name: 'resumed, TLS 1.2', ...resumed, ...old, group: 'X25519:prime256v1' },
  ]
}

export async function measureHandshakes(
  folder: string,
  quick: boolean,
): Promise<MeasuredHandshakes[]> {
  const larder = await startLarder({ folder, originPort: 1 })
  const peers: HandshakePeer[] = [{ ...larder, port: larder.httpsPort, stop: () => larder.stop() }]
  const results: MeasuredHandshakes[] = []
  try {
    peers.push(await startBare(folder))
    for (const each of cases(quick)) {
      const rounds = peers.map(() => [] as number[])
      const rates = peers.map(() => [] as number[])
      for (const peer of peers) await measure(peer, { ...each, count: 200 })
      for (let round = 0; round < (quick ? 1 : 5); round++) {
        for (const [index, peer] of peers.entries()) {
          const { microseconds, rate } = await measure(peer, each)
          rounds[index].push(microseconds)
          rates[index].push(rate)
        }
      }
      for (const [index, { name }] of peers.entries()) {
        const figures = { rounds: rounds[index], rates: rates[index] }
        results.push({ caseName: each.name, peer: name, ...figures })
      }
      console.log(`done: ${each.name}`)
    }
  } finally {
    for (const peer of peers) await peer.stop()
  }
  return results
}

async function startBare(folder: string): Promise<HandshakePeer> {
  const [port] = await freePorts(1)
  const words = [process.execPath, join(HERE, 'handshake-server.ts'), String(port), folder]
  const child = start(SERVER_CORE, words, join(folder, 'bare.out'))
  await untilListening(port)
  const name = `bare Node ${process.versions.node}`
  return { name, port, pid: child.pid ?? 0, stop: () => stop(child) }
}

async function measure(
  peer: HandshakePeer,
  { resumed, version, group, count }: Omit<Case, 'name'>,
): Promise<{ microseconds: number; rate: number }> {
  const load: HandshakeLoad = {
    port: peer.port,
    count,
    concurrency: CONCURRENCY,
    resumed,
    version,
    group,
  }
  const words = [process.execPath, join(HERE, 'handshake-client.ts'), JSON.stringify(load)]
  const before = cpuSeconds(peer.pid)
  const { stdout } = await run('taskset', ['-c', String(LOAD_CORE), ...words])
  const microseconds = ((cpuSeconds(peer.pid) - before) * 1e6) / count
  const result: HandshakeResult = JSON.parse(stdout)
  if (result.resumed !== (resumed ? count : 0)) {
    throw new Error(`${peer.name}: ${result.resumed} of ${count} handshakes were resumed`)
  }
  return { microseconds, rate: count / result.seconds }
}
