import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { type LarderProcess, startLarder, startOrigin } from '../support/larder-process.ts'
import { runProgram, skipWithout } from '../support/programs.ts'

const skip = skipWithout('curl', 'curl')
const BODY = 'The quick brown fox jumps over the lazy dog.'

async function start(t: import('tap').Test): Promise<LarderProcess> {
  const origin = await startOrigin(t, (request, response) => {
    if (request.method === 'POST') {
      let length = 0
      request.on('data', (chunk: Buffer) => {
        length += chunk.length
      })
      request.on('end', () => response.end(`${length} octets`))
    } else if (request.url === '/trailers') {
      response.writeHead(200, { trailer: 'x-sum', 'cache-control': 'no-store' })
      response.write(BODY)
      response.addTrailers({ 'x-sum': '44' })
      response.end()
    } else {
      response.setHeader('cache-control', 'max-age=600')
      response.setHeader('etag', '"fox"')
      response.setHeader('content-length', BODY.length)
      response.end(BODY)
    }
  })
  const tenants = [
    { id: 'a', hosts: ['localhost'], origins: [{ url: origin }], certificate: 'self-signed' },
  ]
  const words = ['--http', '[::1]:0', '--https', '127.0.0.1:0', '--workers', '1']
  return startLarder(t, { tenants }, words)
}

/** By its name, so that SNI and Host are those of the tenant. */
function curl(larder: LarderProcess, scheme: 'http' | 'https', words: readonly string[]) {
  const port = scheme === 'http' ? larder.httpPort : larder.httpsPort
  const authority = join(larder.folder, '.larder/authority.crt')
  const common = ['-sS', '--max-time', '20', '--cacert', authority]
  const resolve = ['--resolve', `localhost:${port}:127.0.0.1`]
  const filled = words.map((word) => word.replace('URL', `${scheme}://localhost:${port}`))
  return runProgram('curl', [...common, ...resolve, ...filled])
}

const protocols: [name: string, scheme: 'http' | 'https', version: string][] = [
  ['HTTP/1.1', 'http', '--http1.1'],
  ['HTTP/1.0', 'http', '--http1.0'],
  ['HTTP/1.1 over TLS', 'https', '--http1.1'],
  ['HTTP/2', 'https', '--http2'],
  ['HTTP/2 with prior knowledge', 'https', '--http2-prior-knowledge'],
]

t.test('curl gets a miss, then hits', { skip }, async (t) => {
  const larder = await start(t)
  for (const [name, scheme, version] of protocols) {
    const path = `URL/${encodeURIComponent(name)}`
    const { status, stdout } = await curl(larder, scheme, [version, '-i', path, path])
    t.equal(status, 0, name)
    t.match(stdout, /cache-status: Larder; fwd=uri-miss[\s\S]*cache-status: Larder; hit/, name)
    t.equal(stdout.split(BODY).length - 1, 2, name)
  }
})

t.test('curl gets ranges, conditions, heads and trailers', { skip }, async (t) => {
  const larder = await start(t)
  for (const [name, scheme, version] of protocols.filter(([name]) => name !== 'HTTP/1.0')) {
    const ask = (...words: string[]) => curl(larder, scheme, [version, ...words])
    t.match(await ask('-r', '4-8', 'URL/fox'), { status: 0, stdout: 'quick' }, name)
    t.match(
      await ask('-i', '-H', 'If-None-Match: "fox"', 'URL/fox'),
      { stdout: /^HTTP\/\S+ 304/ },
      name,
    )
    const head = await ask('-I', 'URL/fox')
    t.match(head, { status: 0, stdout: /content-length: 44/i }, name)
    t.match(await ask('-i', '--raw', 'URL/trailers'), { status: 0, stdout: /x-sum: 44/ }, name)
  }
})

t.test('curl uploads, waiting for 100 (Continue) and not', { skip }, async (t) => {
  const larder = await start(t)
  const file = join(larder.folder, 'upload')
  writeFileSync(file, Buffer.alloc(3_000_000, 'x'))
  for (const [name, scheme, version] of protocols.filter(([name]) => name !== 'HTTP/1.0')) {
    for (const expect of ['Expect: 100-continue', 'Expect:']) {
      const words = [version, '-H', expect, '--data-binary', `@${file}`, 'URL/post']
      const answer = await curl(larder, scheme, words)
      t.match(answer, { status: 0, stdout: '3000000 octets' }, `${name} ${expect}`)
    }
  }
})

t.test('curl reaches a listener on IPv6', { skip }, async (t) => {
  const larder = await start(t)
  // The second of the listeners; people are shown a name instead of a loopback address.
  const { port } = new URL(larder.urls('http')[1])
  const words = ['-sS', '-g', '-H', 'Host: localhost', `http://[::1]:${port}/fox`]
  t.match(await runProgram('curl', words), { status: 0, stdout: BODY })
})
