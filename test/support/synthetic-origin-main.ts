import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { contentAt } from './synthetic-content.ts'

/**
 * An origin of large representations as a process of its own. `/…?length=N&version=V`: N bytes that follow from their
 * position, with an entity tag and ranges; PUT to a path makes everything below it another version. `/.stats`: what has
 * left it so far.
 */

const PIECE_BYTES = 64 * 1024

interface Stats {
  /** Range fields of the requests, in order; '' without one. */
  readonly ranges: string[]
  /** Of bodies, taken by the kernel. */
  bytes: number
  /** Responses under way. */
  active: number
}

const stats: Stats = { ranges: [], bytes: 0, active: 0 }
let changes = 0

function serve(request: IncomingMessage, response: ServerResponse): void {
  const url = new URL(request.url ?? '/', 'http://origin')
  if (url.pathname === '/.stats') return void response.end(JSON.stringify(stats))
  if (request.method === 'PUT') {
    changes++
    request.resume()
    return void response.writeHead(204).end()
  }
  const length = Number(url.searchParams.get('length'))
  const version = changes + 1
  const tag = `"v${version}"`
  stats.ranges.push(request.headers.range ?? '')
  response.setHeader('cache-control', 'max-age=600')
  response.setHeader('content-type', 'video/mp4')
  response.setHeader('accept-ranges', 'bytes')
  response.setHeader('etag', tag)
  if (request.headers['if-none-match'] === tag) return void response.writeHead(304).end()
  const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
  const holds = (request.headers['if-range'] ?? tag) === tag
  const first = range === null || !holds ? 0 : Number(range[1])
  const last = range === null || !holds || range[2] === '' ? length - 1 : Number(range[2])
  const end = Math.min(last + 1, length)
  if (range !== null && holds) {
    response.setHeader('content-range', `bytes ${first}-${end - 1}/${length}`)
  }
  response.writeHead(range !== null && holds ? 206 : 200, { 'content-length': end - first })
  stats.active++
  response.on('close', () => stats.active--)
  send(response, first, end, version)
}

/** One piece after another, each counted when the kernel has taken it. */
function send(response: ServerResponse, first: number, end: number, version: number): void {
  if (first >= end) return void response.end()
  const bytes = contentAt(first, Math.min(PIECE_BYTES, end - first), version)
  response.write(bytes, (error) => {
    if (error) return
    stats.bytes += bytes.length
    send(response, first + bytes.length, end, version)
  })
}

const server = createServer(serve).listen(0, '127.0.0.1', () => {
  // A server that listens on TCP has an address with a port.
  process.send?.((server.address() as AddressInfo).port)
})
process.on('disconnect', () => process.exit())
