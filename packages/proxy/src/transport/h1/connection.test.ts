import t from 'tap'
import { Fields } from '../../http/fields.ts'
import { exchangeRaw, parseResponses, RawClient } from './support/raw-client.ts'
import { readyAnswer, respondText, startServer } from './support/server-under-test.ts'

const GET = 'GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n'
const LAST = 'GET /last HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\n\r\n'

t.test('HTTP/1.1 persists by default and ends when asked (RFC 9112 §9.3)', async (t) => {
  const { port, door } = await startServer(t)
  const client = await RawClient.connect(port)
  await client.send(GET).receive('no body')
  const text = await client.send(LAST).rest()
  const [first, last] = parseResponses(text)
  t.equal(first.fields.get('connection'), undefined)
  t.equal(last.fields.get('connection'), 'close')
  t.ok(first.fields.has('date'))
  t.same(door.requests, ['GET /a', 'GET /last'])
  t.same(door.ends, [
    { complete: true, bytesSent: 7 },
    { complete: true, bytesSent: 7 },
  ])
})

t.test('Connection options are read in any case, among others', async (t) => {
  const { port } = await startServer(t)
  const text = await exchangeRaw(
    port,
    'GET / HTTP/1.1\r\nHost: a.test\r\nConnection: foo, CLOSE\r\n\r\n',
  )
  t.equal(parseResponses(text)[0].fields.get('connection'), 'close')
})

t.test('pipelined requests are answered in order, one exchange at a time', async (t) => {
  const { port, door } = await startServer(t)
  let open = 0
  door.answer = (exchange) => {
    t.equal(++open, 1)
    setImmediate(() => {
      open--
      respondText(exchange, exchange.request.target)
    })
  }
  const requests = Array.from({ length: 20 }, (_, i) => GET.replace('/a', `/${i}`)).join('')
  const responses = parseResponses(await exchangeRaw(port, requests + LAST))
  t.same(
    responses.map(({ body }) => body),
    [...Array.from({ length: 20 }, (_, i) => `/${i}`), '/last'],
  )
})

t.test(
  'pipelined hits of the fast door leave together, in order, with misses between',
  async (t) => {
    const { port, door } = await startServer(t)
    door.ready = (view) =>
      view.target.startsWith('/hit') ? readyAnswer(Buffer.from(view.target)) : null
    const paths = ['/hit1', '/hit2', '/miss', '/hit3']
    const requests = paths.map((path) => GET.replace('/a', path)).join('')
    const text = await exchangeRaw(port, requests + LAST.replace('/last', '/hit4'))
    const responses = parseResponses(text)
    t.same(
      responses.map(({ body }) => body),
      ['/hit1', '/hit2', 'no body', '/hit3', '/hit4'],
    )
    t.equal(responses[4].fields.get('connection'), 'close')
    t.match(responses[0].fields.get('cache-status'), /^Larder; hit; ttl=\d+$/)
    t.equal(responses[0].fields.get('age'), '0')
    t.same(door.requests, ['GET /miss'])
    t.equal(door.answeredBytes, 20)
  },
)

t.test('a large hit is sent whole and in order', async (t) => {
  const { port, door } = await startServer(t)
  const body = Buffer.alloc(1_000_000, 'abcdefghij\n')
  door.ready = (view) =>
    view.target === '/last' ? readyAnswer(Buffer.from('!')) : readyAnswer(body)
  const responses = parseResponses(await exchangeRaw(port, GET + GET + LAST))
  t.equal(responses[0].body, body.toString('latin1'))
  t.equal(responses[1].body, body.toString('latin1'))
  t.equal(responses[2].body, '!')
})

t.test('HEAD gets the head alone, from either door (RFC 9110 §9.3.2)', async (t) => {
  const { port, door } = await startServer(t)
  door.ready = (view) => (view.target === '/hit' ? readyAnswer(Buffer.from('hidden')) : null)
  const head =
    'HEAD /hit HTTP/1.1\r\nHost: a.test\r\n\r\nHEAD /miss HTTP/1.1\r\nHost: a.test\r\n\r\n'
  const text = await exchangeRaw(port, head + LAST)
  const responses = parseResponses(text, ['HEAD', 'HEAD', 'GET'])
  t.equal(responses.length, 3)
  t.equal(responses[0].fields.get('content-length'), '6')
  t.equal(responses[1].fields.get('content-length'), '7')
  t.notMatch(text, 'hidden')
})

t.test('204 and 304 have no body and 204 no length (RFC 9110 §8.6)', async (t) => {
  const { port, door } = await startServer(t)
  door.answer = (exchange) => {
    const status = exchange.request.target === '/last' ? 304 : 204
    exchange.respond(
      { status, fields: Fields.from([['content-length', '5']]) },
      Buffer.from('hello'),
    )
  }
  const [first, second] = parseResponses(await exchangeRaw(port, GET + LAST))
  t.equal(first.fields.get('content-length'), undefined)
  t.equal(first.fields.get('transfer-encoding'), undefined)
  t.equal(second.fields.get('content-length'), '5')
})

t.test('HTTP/1.0 persists only when asked and the length is known', async (t) => {
  const { port, door } = await startServer(t)
  const plain = await exchangeRaw(port, 'GET / HTTP/1.0\r\n\r\n')
  t.equal(parseResponses(plain)[0].fields.get('connection'), 'close')
  t.equal(door.exchanges[0].request.authority, '')

  const kept = 'GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n'
  const twice = parseResponses(await exchangeRaw(port, `${kept}GET /2 HTTP/1.0\r\n\r\n`))
  t.equal(twice.length, 2)
  t.equal(twice[0].fields.get('connection'), 'keep-alive')

  door.answer = (exchange) => {
    exchange.inform(103, new Fields())
    const writer = exchange.respondStreaming({ status: 200, fields: new Fields() })
    writer.write(Buffer.from('until the end'))
    writer.end(Fields.from([['x', 'y']]))
  }
  const streamed = await exchangeRaw(port, kept)
  const [response] = parseResponses(streamed)
  t.equal(response.body, 'until the end')
  t.equal(response.fields.get('connection'), 'close')
  t.equal(response.fields.get('transfer-encoding'), undefined)
})

t.test('the view of a hit shows what the request says', async (t) => {
  const { port, door } = await startServer(t)
  const seen: unknown[] = []
  door.ready = (view) => {
    seen.push([
      view.authority,
      view.target,
      view.acceptEncoding,
      view.ifNoneMatch,
      view.unusual,
      [...view.fields],
    ])
    return readyAnswer(Buffer.from('x'))
  }
  const request = (more: string) =>
    `GET /%41?q HTTP/1.1\r\nHOST: A.test:80\r\nAccept-Encoding: gzip\r\naccept-encoding:br \r\nX-Odd: \t v\r\n${more}\r\n`
  const fields = [
    ['accept-encoding', 'gzip'],
    ['accept-encoding', 'br'],
    ['x-odd', 'v'],
  ]
  const plain = ['a.test', '/A?q', 'gzip, br', undefined, false, fields]
  await exchangeRaw(
    port,
    request('') + request('') + request('') + request('Range: bytes=0-1\r\nConnection: close\r\n'),
  )
  t.same(seen.slice(0, 3), [plain, plain, plain])
  t.match(seen[3], ['a.test', '/A?q', 'gzip, br', undefined, true])
})

t.test(
  '100 (Continue) is sent when the body is wanted, not before (RFC 9110 §10.1.1)',
  async (t) => {
    const { port, door } = await startServer(t)
    const head =
      'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nExpect: 100-Continue\r\nConnection: close\r\n\r\n'
    const client = await RawClient.connect(port)
    await client.send(head).receive('HTTP/1.1 100 Continue\r\n\r\n')
    const [interim, final] = parseResponses(await client.send('hi').rest())
    t.equal(interim.status, 100)
    t.equal(final.body, 'hi')

    const [eager] = parseResponses(await exchangeRaw(port, `${head}hi`))
    t.equal(eager.status, 200)

    door.answer = (exchange) => respondText(exchange, 'not wanted')
    const [refused] = parseResponses(await exchangeRaw(port, head.replace('close', 'keep-alive')))
    t.equal(refused.body, 'not wanted')
    t.equal(refused.fields.get('connection'), 'close')
  },
)

t.test('another expectation is answered with 417, and HTTP/1.0 has none', async (t) => {
  const { port } = await startServer(t)
  const text = await exchangeRaw(port, 'GET / HTTP/1.1\r\nHost: a.test\r\nExpect: 200-ok\r\n\r\n')
  t.equal(parseResponses(text)[0].status, 417)
  const old = await exchangeRaw(
    port,
    'POST / HTTP/1.0\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\nhi',
  )
  t.equal(parseResponses(old)[0].body, 'hi')
})

t.test('a body is a body for every method', async (t) => {
  const { port, door } = await startServer(t)
  for (const method of ['GET', 'HEAD', 'OPTIONS', 'DELETE', 'TRACE', 'FOO']) {
    const head = `${method} / HTTP/1.1\r\nHost: a.test\r\n`
    const counted = `${head}Content-Length: ${GET.length}\r\n\r\n${GET}`
    const chunked = `${head}Transfer-Encoding: Chunked\r\n\r\n${GET.length.toString(16)}\r\n${GET}\r\n0\r\n\r\n`
    door.requests.length = 0
    const text = await exchangeRaw(port, counted + chunked + LAST)
    t.same(door.requests, [`${method} /`, `${method} /`, 'GET /last'], method)
    t.equal(parseResponses(text, [method, method, 'GET']).length, 3)
    t.same(
      door.bodies.splice(0).map((body) => body.text),
      [GET, GET],
    )
  }
})

t.test(
  'trailers are handed on, but for those that a trailer must not be (RFC 9110 §6.5.1)',
  async (t) => {
    const { port, door } = await startServer(t)
    door.answer = (exchange) => {
      door.consume(exchange, () => {
        const writer = exchange.respondStreaming({ status: 200, fields: new Fields() })
        writer.write(Buffer.from('a'))
        writer.write(Buffer.from('bc'))
        writer.end(
          Fields.from([
            ['x-sum', '1'],
            ['content-length', '4'],
          ]),
        )
      })
    }
    const body =
      '2;a="\\"\r"\r\n'.replace('\r"', '"') +
      'hi\r\n0\r\nX-Check: 7\r\nHost: evil.test\r\nAuthorization: x\r\n\r\n'
    const text = await exchangeRaw(
      port,
      `POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n${body}`,
    )
    t.same(door.bodies[0].trailers, [['x-check', '7']])
    const [response] = parseResponses(text)
    t.equal(response.body, 'abc')
    t.equal(response.fields.get('trailer:x-sum'), '1')
    t.notOk(response.fields.has('trailer:content-length'))
  },
)

t.test('interim responses go out ahead of the final one, 101 and late ones do not', async (t) => {
  const { port, door } = await startServer(t)
  door.answer = (exchange) => {
    exchange.inform(103, Fields.from([['link', '</a.css>']]))
    exchange.inform(101, Fields.from([['upgrade', 'websocket']]))
    respondText(exchange, 'final')
    exchange.inform(103, new Fields())
  }
  const responses = parseResponses(await exchangeRaw(port, LAST))
  t.same(
    responses.map(({ status }) => status),
    [103, 200],
  )
  t.equal(responses[0].fields.get('link'), '</a.css>')
})

t.test('a status that no final response has goes out as 500', async (t) => {
  const { port, door } = await startServer(t)
  for (const status of [100, 101, 199, 20, 600, Number.NaN]) {
    door.answer = (exchange) => exchange.respond({ status, fields: new Fields() }, null)
    t.equal(parseResponses(await exchangeRaw(port, LAST))[0].status, 500)
  }
})

t.test('what follows an aborted exchange in the input is not served', async (t) => {
  const { port, door } = await startServer(t)
  door.answer = (exchange) => {
    exchange.respondStreaming({ status: 200, fields: new Fields() }).write(Buffer.from('part'))
    exchange.abort()
  }
  const client = await RawClient.connect(port)
  await client.send(GET + GET + GET).until(() => client.closed)
  t.same(door.requests, ['GET /a'])
  t.equal(door.ends.length, 1)
})

t.test('a client that has ended its side still gets its answers', async (t) => {
  const { port, door } = await startServer(t)
  door.answer = (exchange) => setImmediate(() => respondText(exchange, 'late'))
  const client = await RawClient.connect(port)
  client.send(GET + GET).socket.end()
  t.equal(parseResponses(await client.rest()).length, 2)
})

t.test('a client that goes away ends its exchange at once', async (t) => {
  const { port, door } = await startServer(t)
  const gone = new Promise((resolve) => {
    door.answer = (exchange) => {
      exchange.onClose = resolve
      client.socket.resetAndDestroy()
    }
  })
  const client = await RawClient.connect(port)
  client.send(GET)
  t.same(await gone, { complete: false, bytesSent: 0 })
})

t.test('the response is held to its Content-Length', async (t) => {
  const { port, door } = await startServer(t)
  const fields = Fields.from([['content-length', '5']])
  door.answer = (exchange) =>
    exchange.respond({ status: 200, fields }, Buffer.from('hello surplus'))
  const [long] = parseResponses(
    await exchangeRaw(port, GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')),
  )
  t.equal(long.body, 'hello')

  door.answer = (exchange) => {
    const writer = exchange.respondStreaming({ status: 200, fields })
    writer.write(Buffer.from('hel'))
    setImmediate(() => writer.end())
  }
  const client = await RawClient.connect(port)
  await client.send(GET).until(() => client.closed)
  t.ok(client.reset)
  t.throws(() => parseResponses(client.received))
  t.equal(door.ends[1].complete, false)
})

t.test('an end that is said after the last octet has left ends the exchange', async (t) => {
  const { port, door } = await startServer(t)
  const fields = Fields.from([['content-length', '5']])
  let left = Promise.withResolvers<void>()
  door.answer = async (exchange) => {
    const writer = exchange.respondStreaming({ status: 200, fields })
    writer.write(Buffer.from('hello'))
    await left.promise
    writer.end()
  }
  const client = await RawClient.connect(port)
  for (let request = 1; request <= 3; request++) {
    client.received = ''
    await client.send(GET).receive('hello')
    t.equal(door.ends.length, request - 1)
    left.resolve()
    left = Promise.withResolvers()
  }
  // The last one meets a client that has said all it had to say.
  client.socket.end()
  await client.rest()
  t.equal(door.ends.length, 3)
  t.ok(door.ends.every((end) => end.complete && end.bytesSent === 5))
})

t.test('an aborted response cannot be taken for a whole one', async (t) => {
  const { port, door } = await startServer(t)
  door.answer = (exchange) => {
    const writer = exchange.respondStreaming({ status: 200, fields: new Fields() })
    writer.write(Buffer.from('part'))
    setImmediate(() => exchange.abort())
  }
  const client = await RawClient.connect(port)
  await client.send(GET).until(() => client.closed)
  t.throws(() => parseResponses(client.received))

  door.answer = (exchange) => exchange.abort()
  t.equal(await exchangeRaw(port, GET), '')
  t.equal(door.ends.length, 2)
  t.notOk(door.ends.some((end) => end.complete))
})

t.test('a writer is stopped when the client does not read, and goes on when it does', async (t) => {
  const { port, door, sockets } = await startServer(t)
  const chunk = Buffer.alloc(32 * 1024, 'x')
  const total = 400 * chunk.length
  let stops = 0
  door.answer = (exchange) => {
    const writer = exchange.respondStreaming({ status: 200, fields: new Fields() })
    let left = total
    const pump = () => {
      while (left > 0) {
        left -= chunk.length
        if (!writer.write(chunk)) {
          stops++
          t.ok(sockets[0].writableLength <= 256 * 1024)
          return
        }
      }
      writer.end()
    }
    writer.onDrain = pump
    pump()
  }
  const [response] = parseResponses(
    await exchangeRaw(port, GET.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n')),
  )
  t.equal(response.body.length, total)
  t.ok(stops > 10)
  t.same(door.ends, [{ complete: true, bytesSent: total }])
})

t.test('fields of the connection and values that break lines do not leave', async (t) => {
  const { port, door } = await startServer(t)
  door.answer = (exchange) =>
    respondText(exchange, 'x', [
      ['transfer-encoding', 'chunked'],
      ['connection', 'x-secret'],
      ['upgrade', 'h2c'],
      ['x-split', 'a\r\nset-cookie: b'],
      ['x-wide', 'a\u010d\u010ab'],
      ['bad name', 'x'],
      ['x-kept', 'caf\u00e9'],
    ])
  const text = await exchangeRaw(port, LAST)
  const [{ fields }] = parseResponses(text)
  t.same([...fields.keys()].sort(), ['connection', 'content-length', 'date', 'x-kept'])
  t.equal(fields.get('connection'), 'close')
})

t.test('an answer before the end of the request body ends the connection behind it', async (t) => {
  const { port, door } = await startServer(t)
  door.answer = (exchange) => respondText(exchange, 'early')
  const head = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\n'
  const client = await RawClient.connect(port)
  const [response] = parseResponses(await client.send(head + 'x'.repeat(500_000)).rest())
  t.equal(response.body, 'early')
  t.equal(response.fields.get('connection'), 'close')

  // A small rest that is already here is read over instead.
  const small = `POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: ${GET.length}\r\n\r\n${GET}`
  door.requests.length = 0
  t.equal(parseResponses(await exchangeRaw(port, small + LAST)).length, 2)
  t.same(door.requests, ['POST /', 'GET /last'])
})

t.test('a body flows only as fast as its sink takes it', async (t) => {
  const { port, door, sockets } = await startServer(t)
  const total = 8 * 1024 * 1024
  let received = 0
  let chunksWhilePaused = 0
  door.answer = (exchange) => {
    let paused = false
    exchange.body?.consume({
      onChunk(chunk) {
        received += chunk.length
        if (paused) chunksWhilePaused++
        paused = true
        exchange.body?.pause()
        setImmediate(() => {
          paused = false
          exchange.body?.resume()
        })
      },
      onEnd: () => respondText(exchange, String(received)),
      onAbort: () => t.fail('aborted'),
    })
  }
  const head = `POST / HTTP/1.1\r\nHost: a.test\r\nConnection: close\r\nContent-Length: ${total}\r\n\r\n`
  const text = await exchangeRaw(port, head + 'x'.repeat(total))
  t.equal(parseResponses(text)[0].body, String(total))
  t.equal(chunksWhilePaused, 0)
  t.equal(sockets.length, 1)
})

t.test('draining finishes what is under way and closes what stays idle', async (t) => {
  const { port, door, connections, advance } = await startServer(t)
  const idle = await RawClient.connect(port)
  await idle.send(GET).receive('no body')
  door.answer = (exchange) => {
    connections[1].drain()
    setImmediate(() => respondText(exchange, 'finished'))
  }
  const busy = await RawClient.connect(port)
  const [response] = parseResponses(await busy.send(GET + GET).rest())
  t.equal(response.body, 'finished')
  t.equal(response.fields.get('connection'), 'close')
  connections[0].drain()
  advance(1200)
  t.equal(parseResponses(await idle.rest()).length, 1)
})

t.test('a request on its way to an idle connection is answered by a drain', async (t) => {
  const { port, connections } = await startServer(t)
  const client = await RawClient.connect(port)
  await client.send(GET).receive('no body')
  connections[0].drain()
  const [, second] = parseResponses(await client.send(GET).rest())
  t.equal(second.body, 'no body')
  t.equal(second.fields.get('connection'), 'close')
})

t.test('a door that throws costs one connection, not the process', async (t) => {
  const { port, door } = await startServer(t)
  const warned = new Promise((resolve) => process.once('warning', resolve))
  door.answer = () => {
    throw new Error('mistake in the pipeline')
  }
  t.equal(parseResponses(await exchangeRaw(port, GET))[0].status, 500)
  t.match(await warned, { message: 'mistake in the pipeline' })
  door.answer = (exchange) => {
    exchange.onClose = () => {
      throw new Error('mistake in onClose')
    }
    respondText(exchange, 'fine')
  }
  const responses = parseResponses(await exchangeRaw(port, GET))
  t.same(
    responses.map(({ status }) => status),
    [200],
  )
})

t.test('the last allowed request of a connection says so', async (t) => {
  const { port } = await startServer(t, { maxRequestsPerConnection: 2 })
  const responses = parseResponses(await exchangeRaw(port, GET + GET + GET))
  t.equal(responses.length, 2)
  t.equal(responses[1].fields.get('connection'), 'close')
})
