import t from 'tap'
import { Fields } from '../../http/fields.ts'
import { DEFAULT_LIMITS } from '../limits.ts'
import { parseResponses, RawClient } from './support/raw-client.ts'
import { readyAnswer, type ServerUnderTest, startServer } from './support/server-under-test.ts'

const { headerTimeoutMs, idleTimeoutMs, bodyRateWindowMs, bodyTimeoutMs, writeTimeoutMs } =
  DEFAULT_LIMITS
const GET = 'GET /a HTTP/1.1\r\nHost: a.test\r\n\r\n'

/** Waits for the server to have read all that the client sent. */
async function arrived(server: ServerUnderTest, bytes: number): Promise<void> {
  while ((server.sockets[0]?.bytesRead ?? -1) < bytes) await new Promise(setImmediate)
  await new Promise(setImmediate)
}

t.test('a connection that never says anything is closed without an answer', async (t) => {
  const server = await startServer(t)
  const client = await RawClient.connect(server.port)
  await arrived(server, 0)
  server.advance(headerTimeoutMs + 200)
  t.equal(await client.rest(), '')
  t.same(server.door.refusals, [])
})

t.test('a head that dribbles ends at the total time, with 408 (RFC 9110 §15.5.9)', async (t) => {
  const server = await startServer(t)
  const client = await RawClient.connect(server.port)
  client.send('GET / HTTP/1.1\r\nHost: a.test\r\n')
  await arrived(server, 30)
  for (let i = 0; i < 9; i++) {
    server.advance(headerTimeoutMs / 10)
    client.send('X: y\r\n')
    await arrived(server, 30 + 6 * (i + 1))
  }
  t.equal(client.received, '')
  server.advance(headerTimeoutMs / 10 + 200)
  const [answer] = parseResponses(await client.rest())
  t.equal(answer.status, 408)
  t.equal(answer.fields.get('connection'), 'close')
  t.same(server.door.requests, [])
})

t.test('an idle connection is closed without an answer, later than a slow head', async (t) => {
  const server = await startServer(t)
  const client = await RawClient.connect(server.port)
  await client.send(GET).receive('no body')
  await arrived(server, GET.length)
  server.advance(idleTimeoutMs - 200)
  await client.send(GET).until(() => client.received.split('no body').length === 3)
  await arrived(server, 2 * GET.length)
  server.advance(idleTimeoutMs - 200)
  t.notOk(client.ended)
  server.advance(400)
  t.equal(parseResponses(await client.rest()).length, 2)
})

t.test('a second head has a time of its own, from its first byte', async (t) => {
  const server = await startServer(t)
  const client = await RawClient.connect(server.port)
  await client.send(`${GET}GET`).receive('no body')
  await arrived(server, GET.length + 3)
  server.advance(headerTimeoutMs + 200)
  t.same(
    parseResponses(await client.rest()).map(({ status }) => status),
    [200, 408],
  )
})

t.test('a body below the minimum rate is cut, its sink aborted', async (t) => {
  const server = await startServer(t)
  const client = await RawClient.connect(server.port)
  const head = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000\r\n\r\n'
  client.send(head)
  await arrived(server, head.length)
  for (let i = 1; i <= 30; i++) {
    client.send('x')
    await arrived(server, head.length + i)
    server.advance(bodyRateWindowMs / 30)
  }
  server.advance(200)
  t.equal(parseResponses(await client.rest())[0].status, 408)
  t.same([server.door.bodies[0].ended, server.door.bodies[0].aborted], [false, true])
})

t.test('a body above the minimum rate still ends at the total time', async (t) => {
  const server = await startServer(t)
  const client = await RawClient.connect(server.port)
  const head = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 100000000\r\n\r\n'
  client.send(head)
  await arrived(server, head.length)
  const chunk = 'x'.repeat(bodyRateWindowMs)
  const windows = bodyTimeoutMs / bodyRateWindowMs
  for (let i = 1; i <= windows; i++) {
    client.send(chunk)
    await arrived(server, head.length + i * chunk.length)
    t.notOk(server.door.bodies[0].aborted)
    server.advance(bodyRateWindowMs + 100)
  }
  server.advance(200)
  t.equal(parseResponses(await client.rest())[0].status, 408)
  t.ok(server.door.bodies[0].aborted)
})

t.test('time in which the sink is paused does not count against the client', async (t) => {
  const server = await startServer(t)
  const { door } = server
  door.answer = (exchange) => {
    door.consume(exchange)
    exchange.body?.pause()
  }
  const client = await RawClient.connect(server.port)
  const head = 'POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 3\r\n\r\n'
  client.send(head)
  await arrived(server, head.length)
  server.advance(2 * bodyTimeoutMs)
  door.exchanges[0].body?.resume()
  client.send('abc')
  await arrived(server, head.length + 3)
  t.equal(door.bodies[0].text, 'abc')
  t.ok(door.bodies[0].ended)
  client.socket.destroy()
})

t.test('a client that stops reading is cut, one that reads slowly is not', async (t) => {
  const server = await startServer(t)
  // More than the kernel holds for both sides, however far it lets their buffers grow (tcp_rmem, tcp_wmem).
  const body = Buffer.alloc(64 * 1024 * 1024, 'x')
  server.door.ready = () => readyAnswer(body)
  const client = await RawClient.connect(server.port)
  client.socket.pause()
  client.send(GET)
  await arrived(server, GET.length)
  const [socket] = server.sockets
  const blocked = async () => {
    // Until two turns of the loop moved nothing: the kernel's buffers are full.
    for (let written = -1; written !== socket.bytesWritten; ) {
      written = socket.bytesWritten
      for (let i = 0; i < 20; i++) await new Promise(setImmediate)
    }
  }
  await blocked()
  for (let i = 0; i < 3; i++) {
    server.advance(writeTimeoutMs - 200)
    const before = socket.bytesWritten
    client.socket.resume()
    while (socket.bytesWritten === before) await new Promise(setImmediate)
    client.socket.pause()
    await blocked()
  }
  t.notOk(socket.destroyed)
  t.ok(client.received.length < body.length)
  // What was still on its way to the kernel counts as progress, a few times at most.
  for (let i = 0; i < 5 && !socket.destroyed; i++) {
    await blocked()
    server.advance(writeTimeoutMs + 200)
  }
  t.ok(socket.destroyed)
  client.socket.destroy()
})

t.test('200 pipelined requests whose answers nobody reads are not all taken', async (t) => {
  const server = await startServer(t)
  const body = Buffer.alloc(100_000, 'x')
  server.door.ready = () => readyAnswer(Buffer.from(body))
  const client = await RawClient.connect(server.port)
  client.socket.pause()
  client.send(GET.repeat(200))
  await arrived(server, GET.length)
  const [socket] = server.sockets
  for (let seen = -1; seen !== server.door.lookUps.length; ) {
    seen = server.door.lookUps.length
    for (let i = 0; i < 50; i++) await new Promise(setImmediate)
  }
  const taken = server.door.lookUps.length
  t.ok(taken < 200, `${taken} taken`)
  t.ok(socket.writableLength <= 256 * 1024, `${socket.writableLength} bytes wait`)
  // What was looked up and is neither in the kernel nor counted by the socket is what the engine holds.
  const held = server.door.answeredBytes - (socket.bytesWritten - socket.writableLength)
  t.ok(held <= 512 * 1024, `${held} bytes held`)
  client.socket.resume()
  await client.until(() => client.received.split('HTTP/1.1 200').length === 201)
  client.socket.destroy()
})

t.test('a flood of pipelined requests is not read while an exchange is under way', async (t) => {
  const server = await startServer(t)
  server.door.answer = () => {}
  const client = await RawClient.connect(server.port)
  client.send(GET.repeat(200_000))
  await arrived(server, 64 * 1024)
  for (let seen = -1; seen !== server.sockets[0].bytesRead; ) {
    seen = server.sockets[0].bytesRead
    for (let i = 0; i < 50; i++) await new Promise(setImmediate)
  }
  t.ok(server.sockets[0].bytesRead <= 512 * 1024, `${server.sockets[0].bytesRead} bytes read`)
  t.equal(server.door.requests.length, 1)
  client.socket.destroy()
})

t.test('a client that does not close after the last answer is cut a little later', async (t) => {
  const server = await startServer(t)
  const client = await RawClient.connect(server.port)
  client.send('BAD\r\n\r\n')
  await client.until(() => client.ended)
  t.notOk(server.sockets[0].destroyed)
  server.advance(2200)
  t.ok(server.sockets[0].destroyed)
  client.socket.destroy()
})

t.test('what a refused client goes on sending is bounded', async (t) => {
  const server = await startServer(t)
  const client = await RawClient.connect(server.port)
  client.send('BAD\r\n\r\n')
  await client.until(() => client.ended)
  const flood = Buffer.alloc(64 * 1024)
  while (!server.sockets[0].destroyed) {
    client.socket.write(flood)
    await new Promise(setImmediate)
  }
  t.ok(server.sockets[0].bytesRead < 2 * 1024 * 1024)
  client.socket.destroy()
})

t.test('an exchange that takes its time is not the client’s fault', async (t) => {
  const server = await startServer(t)
  server.door.answer = () => {}
  const client = await RawClient.connect(server.port)
  client.send(GET)
  await arrived(server, GET.length)
  server.advance(bodyTimeoutMs + idleTimeoutMs)
  server.door.exchanges[0].respond({ status: 204, fields: new Fields() }, null)
  await client.receive('204')
  client.socket.destroy()
})
