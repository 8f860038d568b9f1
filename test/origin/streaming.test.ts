import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import t, { type Test } from 'tap'
import { onBoth, startEdge } from '../support/edge.ts'

const NO_STORE = { 'Cache-Control': 'no-store' }
const LARGE_BYTES = 100 * 1024 * 1024
/** The kernel's buffers of two connections, and ours. */
const MAX_UNDER_WAY_BYTES = 24 * 1024 * 1024

t.test('an upload to an origin that reads slowly is held back at the client', async (t) => {
  const upload = { sent: 0, received: 0, mostUnderWay: 0 }
  const port = await startServer(t, (socket) => {
    readSlowly(socket, (bytes) => {
      upload.received += bytes
      upload.mostUnderWay = Math.max(upload.mostUnderWay, upload.sent - upload.received)
      if (upload.received > LARGE_BYTES) socket.end('HTTP/1.1 204 No Content\r\n\r\n')
    })
  })
  const origins = [{ url: `http://127.0.0.1:${port}` }]
  const edge = await startEdge(t, 'h1', { tenant: { origins } })
  const client = connect(edge.ports.http, '127.0.0.1')
  t.teardown(() => client.destroy())
  client.write(`PUT /large HTTP/1.1\r\nHost: a\r\nContent-Length: ${LARGE_BYTES}\r\n\r\n`)
  writeLarge(client, (bytes) => {
    upload.sent += bytes
  })
  const [answer] = await once(client, 'data')
  t.match(String(answer), /^HTTP\/1.1 204 /)
  t.ok(
    upload.mostUnderWay < MAX_UNDER_WAY_BYTES,
    `${upload.mostUnderWay} bytes were sent and not received`,
  )
})

t.test('a download to a client that reads slowly is held back at the origin', async (t) => {
  const download = { sent: 0, received: 0, mostUnderWay: 0 }
  const port = await startServer(t, (socket) => {
    socket.resume()
    socket.write(`HTTP/1.1 200 OK\r\nContent-Length: ${LARGE_BYTES}\r\n\r\n`)
    writeLarge(socket, (bytes) => {
      download.sent += bytes
    })
  })
  const origins = [{ url: `http://127.0.0.1:${port}` }]
  const edge = await startEdge(t, 'h1', { tenant: { origins } })
  const client = connect(edge.ports.http, '127.0.0.1')
  t.teardown(() => client.destroy())
  client.write('GET /large HTTP/1.1\r\nHost: a\r\n\r\n')
  await new Promise<void>((resolve) => {
    readSlowly(client, (bytes) => {
      download.received += bytes
      download.mostUnderWay = Math.max(download.mostUnderWay, download.sent - download.received)
      if (download.received > LARGE_BYTES) resolve()
    })
  })
  t.ok(
    download.mostUnderWay < MAX_UNDER_WAY_BYTES,
    `${download.mostUnderWay} bytes were sent and not received`,
  )
})

onBoth('trailers go both ways (RFC 9110 §6.5)', async (t, edge) => {
  edge.origin.answers('/trailers', (wire) => {
    wire
      .head(200, { ...NO_STORE, 'Transfer-Encoding': 'chunked' })
      .chunk('content')
      .lastChunk({ 'X-Checksum': 'abc', 'Content-Length': '5', 'Set-Cookie': 'a=b' })
  })
  const answer = await edge.get('/trailers', { TE: 'trailers' })
  t.equal(answer.text, 'content')
  t.equal(answer.trailers.get('x-checksum'), 'abc')
  t.notOk(answer.trailers.has('content-length'), 'framing has no place in trailers')
  t.notOk(answer.trailers.has('set-cookie'))
})

t.test(
  'trailers of a request reach the origin, but for those that would change its meaning (RFC 9110 §6.5.1)',
  async (t) => {
    const seen: string[] = []
    const port = await startServer(t, (socket) => {
      socket.on('data', (chunk) => {
        seen.push(chunk.toString('latin1'))
        if (seen.join('').endsWith('\r\n\r\n') && seen.join('').includes('\r\n0\r\n')) {
          socket.end('HTTP/1.1 204 No Content\r\n\r\n')
        }
      })
    })
    const origins = [{ url: `http://127.0.0.1:${port}` }]
    const edge = await startEdge(t, 'h1', { tenant: { origins } })
    const client = connect(edge.ports.http, '127.0.0.1')
    t.teardown(() => client.destroy())
    client.write(
      'POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n',
    )
    client.write('X-Checksum: 1\r\nHost: evil\r\nContent-Length: 9\r\n\r\n')
    await once(client, 'data')
    t.match(seen.join(''), /\r\n\r\n3\r\nabc\r\n0\r\nx-checksum: 1\r\n\r\n$/)
  },
)

onBoth(
  '103 (Early Hints) is passed on without fields of its connection (RFC 8297 §2)',
  async (t, edge) => {
    edge.origin.answers('/hints', (wire) => {
      wire
        .interim(100)
        .interim(103, { Link: '</a.css>; rel=preload', Connection: 'x-hop', 'X-Hop': '1' })
        .answer({ fields: NO_STORE, body: 'after' })
    })
    const answer = await edge.get('/hints')
    t.match([answer.status, answer.text], [200, 'after'])
    t.same(
      answer.interim.map(({ status, fields }) => [status, fields.list]),
      [[103, ['link', '</a.css>; rel=preload']]],
    )
  },
)

onBoth('a client that leaves ends a fetch that was for it alone', async (t, edge) => {
  let gone = false
  edge.origin.answers('/alone', (wire) => {
    wire.socket.on('close', () => {
      gone = true
      edge.origin.noticed()
    })
  })
  const exchange = edge.open({ method: 'POST', path: '/alone', body: 'x' })
  await edge.origin.untilAsked(1)
  exchange.leave()
  await edge.origin.until(() => gone)
  t.ok(gone)
})

onBoth('fields of one connection go no further, either way (RFC 9110 §7.6.1)', async (t, edge) => {
  const hop = {
    'Keep-Alive': 'timeout=5',
    'Proxy-Connection': 'keep-alive',
    'Proxy-Authenticate': 'Basic',
    'X-Kept': 'yes',
  }
  edge.origin.answers('/hop', {
    fields: { ...NO_STORE, ...hop, Connection: 'X-Hop', 'X-Hop': 'secret', Upgrade: 'h2c' },
  })
  const answer = await edge.get('/hop')
  for (const name of ['keep-alive', 'proxy-connection', 'proxy-authenticate', 'x-hop', 'upgrade']) {
    t.notOk(answer.fields.has(name), `the client sees no ${name}`)
  }
  t.equal(answer.fields.get('x-kept'), 'yes')
})

t.test('60 hung fetches leave another tenant alone, and end in 504', async (t) => {
  const quick = await startServer(t, (socket) => {
    socket.on('data', () => socket.write('HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nquick'))
  })
  const edge = await startEdge(t, 'h2', {
    tenant: {
      hosts: ['hung.test'],
      originMaxConnections: 20,
      originTimeouts: { firstByte: '500ms', connect: '5s' },
    },
    otherTenants: [
      {
        id: 'other',
        hosts: ['*'],
        origins: [{ url: `http://127.0.0.1:${quick}` }],
        certificate: 'self-signed',
      },
    ],
  })
  edge.origin.answers('/hung', () => {})
  const hung = Array.from({ length: 60 }, (_, i) =>
    edge.request({ path: `/hung?${i}`, host: 'hung.test' }),
  )
  await edge.origin.untilAsked(20)
  for (let i = 0; i < 50; i++) {
    const startedAt = performance.now()
    t.equal((await edge.get(`/quick?${i}`)).text, 'quick')
    const tookMs = performance.now() - startedAt
    t.ok(tookMs < 200, `${tookMs} ms`)
  }
  const statuses = (await Promise.all(hung)).map(({ status }) => status)
  t.ok(
    statuses.every((status) => status === 504),
    statuses.join(' '),
  )
})

t.test('a full queue answers 503 with Retry-After (RFC 9110 §15.6.4)', async (t) => {
  const edge = await startEdge(t, 'h2', { tenant: { originMaxConnections: 1 } })
  edge.origin.answers('/hung', () => {})
  const waiting = Array.from({ length: 5 }, (_, i) => edge.open({ path: `/hung?${i}` }))
  await edge.origin.untilAsked(1)
  const refused = await edge.get('/hung?more')
  t.equal(refused.status, 503)
  t.match(refused.fields.get('retry-after'), /^[0-9]+$/)
  for (const exchange of waiting) exchange.leave()
})

async function startServer(t: Test, serve: (socket: Socket) => void): Promise<number> {
  const server = createServer((socket) => {
    socket.on('error', () => {})
    t.teardown(() => socket.destroy())
    serve(socket)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  t.teardown(() => server.close())
  // A server that listens on TCP has an address with a port.
  return (server.address() as AddressInfo).port
}

/** One piece per few turns of the event loop. */
function readSlowly(socket: Socket, onRead: (bytes: number) => void): void {
  socket.on('data', (chunk) => {
    onRead(chunk.length)
    socket.pause()
    setImmediate(() => setImmediate(() => setImmediate(() => socket.resume())))
  })
}

function writeLarge(socket: Socket, onWrite: (bytes: number) => void): void {
  const piece = Buffer.alloc(64 * 1024)
  let left = LARGE_BYTES
  const goOn = () => {
    while (left > 0 && socket.writable) {
      left -= piece.length
      onWrite(piece.length)
      if (!socket.write(piece)) return void socket.once('drain', goOn)
    }
  }
  goOn()
}
