import type { Test } from 'tap'
import { startProxy } from './edge.ts'
import { Http1Client } from './h1-client.ts'
import { HandClock } from './hand-clock.ts'
import { waitFor } from './larder-process.ts'
import type { RedisServer } from './redis-server.ts'
import { type ScriptedOrigin, startScriptedOrigin } from './scripted-origin.ts'

/** Workers of several machines of one PoP: they have an origin and a Redis in common, and nothing else. */
export interface Pop {
  readonly origin: ScriptedOrigin
  readonly clock: HandClock
  readonly ports: readonly number[]
  readonly clients: readonly Http1Client[]
}

export async function startPop(
  t: Test,
  workers: number,
  redis: RedisServer,
  options: Readonly<Record<string, unknown>> = {},
): Promise<Pop> {
  const clock = new HandClock()
  const origin = await startScriptedOrigin(t, clock)
  const ports: number[] = []
  for (let i = 0; i < workers; i++) {
    const config = { redis: { url: redis.url }, ...options }
    ports.push((await startProxy(t, origin.url, config, clock.clock)).http)
  }
  const clients = ports.map((port) => new Http1Client(port))
  t.teardown(() => Promise.all(clients.map((client) => client.close())))
  await isConnected(redis, workers)
  return { origin, clock, ports, clients }
}

/** Each worker has a connection to read and one to write; INFO is the last that they ask before they use it. */
function isConnected(redis: RedisServer, workers: number): Promise<void> {
  return waitFor(async () => {
    const list = await redis.cli('client', 'list')
    return list.split('\n').filter((line) => / cmd=info /.test(line)).length >= workers * 2
  })
}
