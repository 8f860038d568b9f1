import { createServer } from 'node:http'

/**
 * The origin of the scenarios that fill tiers: `/<size in octets>/<number>`, with the fields that an ordinary site
 * sends; every body differs from every other, so that no tier can share it. `/count` tells how many it has sent.
 * Argument: the port.
 */

const LAST_MODIFIED = 'Tue, 03 Nov 2026 09:12:44 GMT'
const PATTERN = Buffer.alloc(10 * 1024 * 1024, '0123456789abcdef')

let sent = 0

createServer((request, response) => {
  const path = request.url ?? '/'
  if (path === '/count') {
    response.end(String(sent))
    return
  }
  sent++
  const size = Number(/^\/(\d+)\//.exec(path)?.[1] ?? 0)
  const own = Buffer.from(path.padEnd(64)).subarray(0, size)
  response.writeHead(200, {
    'content-type': 'image/png',
    'cache-control': 'public, max-age=86400',
    'last-modified': LAST_MODIFIED,
    etag: `"${Buffer.from(path).toString('hex')}"`,
    'content-length': size,
  })
  response.cork()
  response.write(own)
  response.end(PATTERN.subarray(0, size - own.length))
  response.uncork()
}).listen(Number(process.argv[2]), '127.0.0.1')
