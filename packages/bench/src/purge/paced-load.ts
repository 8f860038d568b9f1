import { Agent, request } from 'node:http'
import { type Latencies, latencies } from './percentile.ts'

/**
 * A process that asks at a steady pace, whether answers come or not, and tells how long they took; ended by its parent's
 * disconnecting.
 */
export interface PacedLoad {
  readonly ports: readonly number[]
  readonly paths: readonly string[]
  readonly requestsPerSecond: number
}

/** Since the last question, which is any message of its parent. */
export interface LoadReport {
  readonly answers: Latencies
  /** What went wrong, and how often. */
  readonly errors: Readonly<Record<string, number>>
}

const TICK_MS = 10
const CONNECTIONS_PER_PORT = 16

const { ports, paths, requestsPerSecond }: PacedLoad = JSON.parse(process.argv[2])
const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS_PER_PORT })
const startedAt = performance.now()
let sent = 0
let took: number[] = []
let errors: Record<string, number> = {}

setInterval(() => {
  const due = ((performance.now() - startedAt) / 1e3) * requestsPerSecond
  while (sent < due) ask(sent++)
}, TICK_MS)

process.on('message', () => {
  const report: LoadReport = { answers: latencies(took), errors }
  took = []
  errors = {}
  process.send?.(report)
})
process.on('disconnect', () => process.exit())

function ask(index: number): void {
  const askedAt = performance.now()
  const port = ports[index % ports.length]
  const path = paths[index % paths.length]
  const sending = request({ host: '127.0.0.1', port, path, agent }, (response) => {
    response.on('error', failed)
    response.on('end', () => {
      if (response.statusCode === 200) took.push(performance.now() - askedAt)
      else failed(response.statusCode)
    })
    response.resume()
  })
  sending.on('error', failed)
  sending.end()
}

function failed(why: unknown): void {
  const name = String(why)
  errors[name] = (errors[name] ?? 0) + 1
}
