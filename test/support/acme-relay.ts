import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http'
import { createServer, request } from 'node:https'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { DevelopmentAuthority } from '@larder/certs'
import type { Test } from 'tap'
import type { Pebble } from './pebble.ts'

/** What the relay says by itself; null = what the authority says. */
export interface RelayAnswer {
  readonly status: number
  readonly headers?: OutgoingHttpHeaders
  readonly body: unknown
}

export interface AcmeRelay {
  readonly directoryUrl: string
  /** In place of the authority's own; requests by their path. */
  answer: (method: string, path: string) => RelayAnswer | null
  /** Bodies of what was sent on, by path. */
  readonly sent: { readonly path: string; readonly body: string }[]
}

/**
 * In front of an authority, under its own name: what the authority cannot be made to say, this says. The URLs in its
 * answers lead past the relay but for the directory's, so `answer` sees the directory, new orders and what it adds.
 */
export async function startAcmeRelay(
  t: Test,
  pebble: Pebble,
  extend: (directory: Record<string, unknown>, relayUrl: string) => Record<string, unknown>,
): Promise<AcmeRelay> {
  const { certPem, keyPem } = await new DevelopmentAuthority(
    join(pebble.caFile, '..'),
  ).certificateFor('relay', ['localhost'])
  const relay = { directoryUrl: '', answer: () => null, sent: [] } as unknown as AcmeRelay & {
    directoryUrl: string
  }
  const target = new URL(pebble.directoryUrl)
  const server = createServer({ cert: certPem, key: keyPem }, async (incoming, response) => {
    const path = incoming.url ?? ''
    const body = await textOf(incoming)
    const own = relay.answer(incoming.method ?? '', path)
    if (own !== null) {
      response.writeHead(own.status, { 'content-type': 'application/problem+json', ...own.headers })
      response.end(JSON.stringify(own.body))
      return
    }
    relay.sent.push({ path, body })
    const { host: _host, ...headers } = incoming.headers
    const onward = request(
      new URL(path, target),
      {
        method: incoming.method,
        // A signature names the URL that was asked for: the authority has to see the relay's.
        headers: { ...headers, host: new URL(relay.directoryUrl).host },
        ca: readFileSync(pebble.caFile),
        agent: false,
      },
      async (answer) => {
        const text = await textOf(answer)
        const { 'content-length': _length, ...fields } = answer.headers
        const isDirectory = path === target.pathname
        const shown = isDirectory
          ? JSON.stringify(extend(JSON.parse(text), new URL(relay.directoryUrl).origin))
          : text
        response.writeHead(answer.statusCode ?? 502, fields)
        response.end(shown)
      },
    )
    onward.on('error', () => response.destroy())
    onward.end(body)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => {
    server.close()
    server.closeAllConnections()
  })
  // A server that listens on TCP has an address with a port.
  const { port } = server.address() as AddressInfo
  relay.directoryUrl = `https://localhost:${port}${target.pathname}`
  return relay
}

async function textOf(message: IncomingMessage): Promise<string> {
  let text = ''
  for await (const piece of message.setEncoding('utf8')) text += piece
  return text
}
