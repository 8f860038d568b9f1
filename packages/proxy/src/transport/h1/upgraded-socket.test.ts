import { randomBytes } from 'node:crypto'
import t from 'tap'
import { DEFAULT_LIMITS } from '../limits.ts'
import { giveOutput, takeOutput } from '../output-pool.ts'
import {
  echoOctets,
  eventually,
  still,
  switched,
  type UpgradeRecord,
} from '../test-support/upgrade-record.ts'
import { RawClient } from './support/raw-client.ts'
import { startServer } from './support/server-under-test.ts'
import { SWITCHED, startUpgradeFront, UPGRADE_REQUEST } from './support/upgrading.ts'

const { headerTimeoutMs, idleTimeoutMs, bodyTimeoutMs, writeTimeoutMs } = DEFAULT_LIMITS
const MIB = 1024 * 1024

/** Nobody takes the octets, nobody sends any: the test does. */
const hold = () => {}
const record = (upgrade: UpgradeRecord) => {
  upgrade.consume()
}

for (const secure of [false, true]) {
  const over = secure ? 'TLS' : 'TCP'

  t.test(`10 MiB both ways at once come back octet by octet, over ${over}`, async (t) => {
    const front = await startUpgradeFront(t, secure, echoOctets)
    const client = await front.client()
    const sent = randomBytes(10 * MIB)
    for (let at = 0; at < sent.length; at += 50_000)
      client.socket.write(sent.subarray(at, at + 50_000))
    client.socket.end()
    await client.until(() => client.ended)
    t.ok(client.octets.equals(sent))
    const upgrade = await front.switched
    await eventually(() => upgrade.closes.length > 0)
    t.same(upgrade.closes, [{ how: 'ended', bytesSent: 10 * MIB, bytesReceived: 10 * MIB }])
    t.same(front.door.ends, [{ complete: true, bytesSent: 10 * MIB }])
  })

  t.test(`a client that ends its direction is still written to, over ${over}`, async (t) => {
    const front = await startUpgradeFront(t, secure, record)
    const client = await front.client()
    client.socket.end('last words')
    const upgrade = await front.switched
    await eventually(() => upgrade.events.includes('end'))
    t.equal(upgrade.text, 'last words')
    upgrade.connection.write(Buffer.from('an answer'))
    await client.until(() => client.bytes === 9)
    t.notOk(client.ended)
    t.same(upgrade.closes, [])
    upgrade.connection.end()
    await client.until(() => client.ended)
    await eventually(() => upgrade.closes.length > 0)
    t.same(upgrade.closes, [{ how: 'ended', bytesSent: 9, bytesReceived: 10 }])
    t.same(upgrade.events.slice(-2), ['end', 'close'])
  })

  t.test(`a client goes on sending after we have ended ours, over ${over}`, async (t) => {
    const front = await startUpgradeFront(t, secure, record)
    const client = await front.client()
    const { connection, ...upgrade } = await front.switched
    connection.write(Buffer.from('all we say'))
    connection.end()
    t.equal(connection.write(Buffer.from('more')), false)
    await client.until(() => client.ended)
    t.equal(client.octets.toString(), 'all we say')
    client.socket.write('one')
    await eventually(() => upgrade.chunks.length === 1)
    client.socket.end('two')
    await eventually(() => upgrade.closes.length > 0)
    t.equal(Buffer.concat(upgrade.chunks).toString(), 'onetwo')
    t.same(upgrade.closes, [{ how: 'ended', bytesSent: 10, bytesReceived: 6 }])
  })

  t.test(`what a paused sink has not had is not lost by both ends, over ${over}`, async (t) => {
    const front = await startUpgradeFront(t, secure, hold)
    const client = await front.client()
    const { connection, ...upgrade } = await front.switched
    connection.end()
    await client.until(() => client.ended)
    const sent = randomBytes(40_000)
    client.socket.end(sent)
    await new Promise((resolve) => client.socket.once('finish', resolve))
    for (let i = 0; i < 50; i++) await new Promise(setImmediate)
    t.same(upgrade.events, [])
    let paused = false
    const received: Buffer[] = []
    const ended = new Promise<void>((onEnd) => {
      connection.consume({
        onChunk(chunk) {
          t.notOk(paused, 'nothing comes while paused')
          received.push(chunk)
          paused = true
          connection.pause()
          setImmediate(() => {
            paused = false
            connection.resume()
          })
        },
        onEnd,
      })
    })
    await ended
    t.ok(Buffer.concat(received).equals(sent))
    await eventually(() => upgrade.closes.length > 0)
    t.match(upgrade.closes, [{ how: 'ended', bytesReceived: 40_000 }])
  })

  t.test(`abort() cuts both directions, and is told once, over ${over}`, async (t) => {
    const front = await startUpgradeFront(t, secure, record)
    const client = await front.client()
    const { connection, ...upgrade } = await front.switched
    connection.write(Buffer.from('half'))
    await client.until(() => client.bytes === 4)
    connection.abort()
    connection.abort()
    connection.end()
    t.equal(connection.write(Buffer.from('more')), false)
    t.same(upgrade.closes, [{ how: 'aborted', bytesSent: 4, bytesReceived: 0 }])
    await client.over()
    t.equal(client.bytes, 4)
    // Underneath TLS there is no reset: what is missing is close_notify, which Node's client does not show.
    if (!secure) t.ok(client.reset)
    await eventually(() => front.listener.connectionCount === 0)
    t.equal(upgrade.closes.length, 1)
    t.same(front.door.ends, [{ complete: false, bytesSent: 4 }])
    t.notOk(upgrade.events.includes('end'))
  })

  t.test(`a client that is gone is told once, and not as an end, over ${over}`, async (t) => {
    const front = await startUpgradeFront(t, secure, record)
    const client = await front.client()
    client.socket.write('x')
    const upgrade = await front.switched
    await eventually(() => upgrade.chunks.length === 1)
    client.vanish()
    await eventually(() => upgrade.closes.length > 0)
    t.same(upgrade.closes, [{ how: 'lost', bytesSent: 0, bytesReceived: 1 }])
    t.same(upgrade.events, ['chunk', 'close'])
    t.equal(front.door.ends.length, 1)
  })

  t.test(`a drain waits for it, up to its deadline, over ${over}`, async (t) => {
    const front = await startUpgradeFront(t, secure, echoOctets)
    const client = await front.client()
    const upgrade = await front.switched
    upgrade.connection.setIdleTimeout(10 * 60_000)
    const drained = front.listener.drain(30_000)
    await new Promise(setImmediate)
    front.advance(29_000)
    client.socket.write('still here')
    await client.until(() => client.bytes === 10)
    t.equal(front.listener.connectionCount, 1)
    front.advance(1_200)
    await drained
    t.same(upgrade.closes, [{ how: 'lost', bytesSent: 10, bytesReceived: 10 }])
    t.equal(front.listener.connectionCount, 0)
    await client.over()
  })
}

t.test('the times of HTTP do not count any more, the idle time does', async (t) => {
  const front = await startUpgradeFront(t, false, record)
  const client = await front.client()
  const upgrade = await front.switched
  const { connection } = upgrade
  connection.setIdleTimeout(10 * bodyTimeoutMs)
  front.advance(2 * (headerTimeoutMs + idleTimeoutMs + bodyTimeoutMs))
  client.socket.write('a')
  await eventually(() => upgrade.chunks.length === 1)
  t.same(upgrade.closes, [])

  connection.setIdleTimeout(5_000)
  for (let i = 0; i < 3; i++) {
    front.advance(4_800)
    client.socket.write('b')
    await eventually(() => upgrade.text.length === 2 + i)
    front.advance(4_800)
    connection.write(Buffer.from('c'))
    await client.until(() => client.bytes === 1 + i)
    // The end of the write is heard in a turn of its own.
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
  }
  t.same(upgrade.closes, [])
  front.advance(5_200)
  t.same(upgrade.closes, [{ how: 'idle', bytesSent: 3, bytesReceived: 4 }])
  await client.over()
  connection.setIdleTimeout(1)
  front.advance(1_000)
  t.equal(upgrade.closes.length, 1)
})

t.test('an idle time nobody has set is that of the limits', async (t) => {
  const front = await startUpgradeFront(t, false, hold)
  await front.client()
  const upgrade = await front.switched
  front.advance(idleTimeoutMs - 200)
  t.same(upgrade.closes, [])
  front.advance(400)
  t.match(upgrade.closes, [{ how: 'idle' }])
})

t.test('an idle time without bound is refused', async (t) => {
  const front = await startUpgradeFront(t, false, hold)
  await front.client()
  const { connection } = await front.switched
  for (const ms of [0, -1, Number.NaN, Number.POSITIVE_INFINITY]) {
    t.throws(() => connection.setIdleTimeout(ms), RangeError)
  }
})

t.test('a client that does not read stops the writer, and is cut when it goes on', async (t) => {
  const server = await startServer(t)
  let upgrade: UpgradeRecord | null = null
  server.door.answer = (exchange) => {
    upgrade = switched(exchange)
    upgrade.connection.setIdleTimeout(100 * writeTimeoutMs)
  }
  const client = await RawClient.connect(server.port)
  await client.send(UPGRADE_REQUEST).receive('\r\n\r\n')
  client.socket.pause()
  const [socket] = server.sockets
  const { connection, closes } = upgrade!
  const chunk = Buffer.alloc(32 * 1024)
  let accepted = 0
  let stops = 0
  const pump = () => {
    for (;;) {
      accepted += chunk.length
      if (!connection.write(chunk)) break
    }
    stops++
  }
  connection.onDrain = pump
  pump()
  await still(() => socket.bytesWritten)
  t.ok(stops > 1, 'the writer went on for as long as the kernel took')
  const held = accepted - (socket.bytesWritten - socket.writableLength)
  t.ok(held <= 256 * 1024, `${held} bytes held`)
  // What was still on its way to the kernel counts as progress, a few times at most.
  for (let i = 0; i < 5 && closes.length === 0; i++) {
    await still(() => socket.bytesWritten)
    server.advance(writeTimeoutMs + 200)
    await new Promise(setImmediate)
  }
  await eventually(() => closes.length > 0)
  t.equal(closes[0].how, 'lost')
  t.ok(closes[0].bytesSent < accepted)
  client.socket.destroy()
})

t.test('a sink that does not take octets stops the client', async (t) => {
  const server = await startServer(t)
  let upgrade: UpgradeRecord | null = null
  server.door.answer = (exchange) => {
    upgrade = switched(exchange)
  }
  const client = await RawClient.connect(server.port)
  const sent = randomBytes(16 * MIB)
  client.send(UPGRADE_REQUEST).send(sent)
  await client.receive('\r\n\r\n')
  const [socket] = server.sockets
  await still(() => socket.bytesRead)
  t.ok(socket.bytesRead <= 512 * 1024, `${socket.bytesRead} bytes read before it was asked`)
  const taken = upgrade!
  let turns = 0
  taken.consume(() => {
    if (++turns !== 2) return
    taken.connection.pause()
  })
  await eventually(() => turns === 2)
  await still(() => socket.bytesRead)
  t.equal(turns, 2)
  const before = taken.octets.length
  t.ok(socket.bytesRead - before <= 512 * 1024, `${socket.bytesRead - before} bytes waiting`)
  taken.connection.resume()
  await eventually(() => taken.chunks.reduce((sum, { length }) => sum + length, 0) === sent.length)
  t.ok(taken.octets.equals(sent))
  client.socket.destroy()
})

t.test('the buffers of the output go back to their pool', async (t) => {
  const front = await startUpgradeFront(t, false, echoOctets)
  const client = await front.client()
  const buffer = takeOutput()
  giveOutput(buffer)
  for (let i = 1; i <= 10; i++) {
    client.socket.write('ping')
    await client.until(() => client.bytes === 4 * i)
  }
  for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate)
  t.equal(takeOutput(), buffer, 'the one on top of the pool is there again')
  giveOutput(buffer)
})

t.test('a sink that throws costs one connection, not the process', async (t) => {
  const front = await startUpgradeFront(t, false, (upgrade) => {
    upgrade.consume(() => {
      throw new Error('mistake in the sink')
    })
  })
  const client = await front.client()
  const warned = new Promise((resolve) => process.once('warning', resolve))
  client.socket.write('x')
  t.match(await warned, { message: 'mistake in the sink' })
  await client.over()
  const upgrade = await front.switched
  t.match(upgrade.closes, [{ how: 'lost' }])
  t.equal(front.door.ends.length, 1)
})

t.test('an onClose that throws does not keep the exchange from ending', async (t) => {
  const front = await startUpgradeFront(t, false, ({ connection }) => {
    connection.onClose = () => {
      throw new Error('mistake in onClose')
    }
  })
  const client = await front.client()
  const warned = new Promise((resolve) => process.once('warning', resolve))
  client.vanish()
  t.match(await warned, { message: 'mistake in onClose' })
  await eventually(() => front.listener.connectionCount === 0)
  t.equal(front.door.ends.length, 1)
})

t.test('a connection is consumed once', async (t) => {
  const front = await startUpgradeFront(t, false, record)
  await front.client()
  const upgrade = await front.switched
  t.throws(() => upgrade.consume(), 'consumed once')
})

t.test('our end waits for a sink to have had what came before the end of the client', async (t) => {
  const server = await startServer(t)
  server.door.answer = () => {}
  const client = await RawClient.connect(server.port)
  client.send(`${UPGRADE_REQUEST}early`).socket.end()
  await eventually(() => server.sockets[0]?.readableEnded === true)
  const upgrade = switched(server.door.exchanges[0])
  upgrade.connection.end()
  await client.receive('\r\n\r\n')
  for (let i = 0; i < 50; i++) await new Promise(setImmediate)
  upgrade.consume()
  await eventually(() => upgrade.closes.length > 0)
  t.equal(upgrade.text, 'early')
  t.same(upgrade.events, ['chunk', 'end', 'close'])
  t.same(upgrade.closes, [{ how: 'ended', bytesSent: 0, bytesReceived: 5 }])
  await client.rest()
})

t.test('a client that had ended before the switch is heard to have ended', async (t) => {
  const server = await startServer(t)
  const { promise: ended, resolve: onEnd } = Promise.withResolvers<void>()
  let upgrade: UpgradeRecord | null = null
  server.door.answer = (exchange) => {
    const [socket] = server.sockets
    const decide = () => {
      upgrade = switched(exchange)
      upgrade.consume(undefined, onEnd)
    }
    if (socket.readableEnded) decide()
    else socket.once('end', () => setImmediate(decide))
  }
  const client = await RawClient.connect(server.port)
  client.send(`${UPGRADE_REQUEST}early`).socket.end()
  await ended
  t.equal(upgrade!.text, 'early')
  upgrade!.connection.write(Buffer.from('late'))
  upgrade!.connection.end()
  t.equal(await client.rest(), `${SWITCHED}\r\nlate`)
})
