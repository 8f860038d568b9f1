import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { createSecureServer, type ServerHttp2Stream } from 'node:http2'
import { contentFor } from './content.ts'

/** The least that Node can do: the same octets from its own servers. Arguments: HTTP port, HTTPS port, folder. */

const [httpPort, httpsPort, folder] = process.argv.slice(2)

function answer(request: IncomingMessage, response: ServerResponse): void {
  const content = contentFor(request.url ?? '/')
  response.writeHead(200, {
    'content-type': 'application/octet-stream',
    'cache-control': 'max-age=86400',
    'content-length': content.length,
  })
  response.end(content)
}

createServer(answer).listen(Number(httpPort), '127.0.0.1')

const secure = createSecureServer({
  key: readFileSync(`${folder}/server.key`),
  cert: readFileSync(`${folder}/server.crt`),
  allowHTTP1: true,
})
secure.on('request', (request, response) => {
  // HTTP/1.1 comes here alone, as node:http has it; HTTP/2 is answered on its stream, which costs less.
  if (request.httpVersionMajor === 1) {
    answer(request as unknown as IncomingMessage, response as unknown as ServerResponse)
  }
})
secure.on('stream', (stream: ServerHttp2Stream, fields) => {
  const content = contentFor(String(fields[':path']))
  stream.on('error', () => {})
  stream.respond({
    ':status': 200,
    'content-type': 'application/octet-stream',
    'cache-control': 'max-age=86400',
    'content-length': content.length,
  })
  stream.end(content)
})
secure.listen(Number(httpsPort), '127.0.0.1')
