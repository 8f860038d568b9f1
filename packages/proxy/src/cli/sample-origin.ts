import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

const SLOW_MS = 2000

/** Something to put the proxy in front of when there is no origin yet. Resolves to its URL. */
export async function startSampleOrigin(): Promise<string> {
  const server = createServer(answer)
  // It must not keep the process alive once the proxy has stopped.
  server.unref()
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject)
    server.listen(0, '127.0.0.1', resolve)
  })
  // A server that listens on TCP has an address with a port.
  const { port } = server.address() as AddressInfo
  return `http://127.0.0.1:${port}`
}

function answer(request: IncomingMessage, response: ServerResponse): void {
  request.resume()
  const path = new URL(request.url ?? '/', 'http://sample').pathname
  switch (path) {
    case '/':
      response.setHeader('cache-control', 'max-age=60')
      response.setHeader('content-type', 'text/html; charset=utf-8')
      response.end(PAGE)
      break
    case '/hello.txt':
      response.setHeader('cache-control', 'max-age=60')
      response.setHeader('etag', '"hello-1"')
      sendText(response, 'Hello from the sample origin.\n')
      break
    case '/slow':
      response.setHeader('cache-control', 'max-age=60')
      setTimeout(() => sendText(response, `This took ${SLOW_MS} ms, once.\n`), SLOW_MS)
      break
    case '/nocache':
      response.setHeader('cache-control', 'no-store')
      sendText(response, `${new Date().toISOString()}\n`)
      break
    default:
      response.statusCode = 404
      sendText(response, 'The sample origin has no such page.\n')
  }
}

function sendText(response: ServerResponse, text: string): void {
  response.setHeader('content-type', 'text/plain; charset=utf-8')
  response.end(text)
}

const PAGE = `<!doctype html>
<html lang="en">
<title>Larder</title>
<h1>Larder works</h1>
<p>This page comes from the sample origin. Try
<a href="/hello.txt">/hello.txt</a> (fresh for a minute),
<a href="/slow">/slow</a> (slow the first time) and
<a href="/nocache">/nocache</a> (never stored).</p>
</html>
`
