import { once } from 'node:events'
import { connect as connectHttp2 } from 'node:http2'
import { createServer } from 'node:net'
import { connect as connectTls } from 'node:tls'
import t from 'tap'
import {
  exchangeRaw,
  parseResponses,
} from '../../packages/proxy/src/transport/h1/support/raw-client.ts'
import { startEdge } from '../support/edge.ts'

const TENANTS = {
  tenant: { hosts: ['one.test', '*.img.one.test'] },
  otherTenants: [
    {
      id: 'two',
      hosts: ['two.test'],
      origins: [{ url: 'http://127.0.0.1:9' }],
      certificate: 'self-signed',
    },
  ],
}

const ELSEWHERE = [
  'unknown.test',
  '127.0.0.1',
  '[::1]',
  '[::ffff:127.0.0.1]',
  '169.254.169.254',
  '0x7f000001',
  '2130706433',
  'localhost',
  'one.test.evil.test',
  'evil.img.one.test.evil.test',
  'a.b.img.one.test',
  'img.one.test',
]

t.test(
  'only hosts of tenants are served; whatever else is asked for is 421 (RFC 9110 §7.4)',
  async (t) => {
    const edge = await startEdge(t, 'h1', TENANTS)
    edge.origin.answers('/', { body: 'one' })
    for (const host of ELSEWHERE) {
      for (const head of [
        `GET / HTTP/1.1\r\nHost: ${host}\r\n`,
        `GET http://${host}/ HTTP/1.1\r\nHost: one.test\r\n`,
        `GET https://${host}:443/ HTTP/1.1\r\nHost: one.test\r\n`,
      ]) {
        const octets = `${head}Connection: close\r\n\r\n`
        const [{ status, fields }] = parseResponses(await exchangeRaw(edge.ports.http, octets))
        t.equal(status, 421, head)
        t.match(fields.get('proxy-status'), /destination_not_found/)
      }
    }
    t.equal(edge.origin.asked(), 0)
    for (const host of ['one.test', 'ONE.test', 'one.test.', 'a.img.one.test']) {
      const octets = `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`
      t.equal(parseResponses(await exchangeRaw(edge.ports.http, octets))[0].status, 200, host)
    }
  },
)

t.test('no tunnel is opened and nothing is echoed (RFC 9110 §9.3.6, §9.3.8)', async (t) => {
  const edge = await startEdge(t, 'h1', TENANTS)
  let reached = false
  const inside = createServer(() => {
    reached = true
  }).listen(0, '127.0.0.1')
  await once(inside, 'listening')
  t.teardown(() => inside.close())
  for (const line of [
    'CONNECT 127.0.0.1:22 HTTP/1.1',
    'CONNECT one.test:443 HTTP/1.1',
    'TRACE / HTTP/1.1',
  ]) {
    const octets = `${line}\r\nHost: one.test\r\nConnection: close\r\n\r\n`
    t.equal(parseResponses(await exchangeRaw(edge.ports.http, octets))[0].status, 405, line)
  }
  t.notOk(reached)
  t.equal(edge.origin.asked(), 0)
})

t.test('a request that comes back is not sent on for ever (RFC 9110 §7.6.3)', async (t) => {
  const edge = await startEdge(t, 'h1')
  edge.origin.answers('/loop', (wire, request) => {
    const octets = request.head.replace(/^connection:.*\r\n/im, '')
    void exchangeRaw(
      edge.ports.http,
      octets.replace('\r\n\r\n', '\r\nConnection: close\r\n\r\n'),
    ).then((answer) => {
      const [{ status, fields }] = parseResponses(answer)
      wire.answer({ status, fields: { 'X-Inner': fields.get('proxy-status') ?? '' } })
    })
  })
  for (const method of ['GET', 'POST']) {
    const answer = await edge.request({ method, path: '/loop' })
    t.equal(answer.status, 502, method)
    t.match(answer.fields.get('x-inner'), /proxy_loop_detected/, method)
  }
  t.equal(edge.origin.asked(), 2, 'one per request')
})

t.test(
  'a connection opened for one tenant serves no other (RFC 9110 §7.4, §15.5.20)',
  async (t) => {
    const edge = await startEdge(t, 'h1', TENANTS)
    edge.origin.answers('/', { body: 'one' })
    const port = edge.ports.https
    const ask = async (servername: string, host: string) => {
      const options = { port, host: '127.0.0.1', servername, rejectUnauthorized: false }
      const socket = connectTls({ ...options, ALPNProtocols: ['http/1.1'] })
      socket.write(`GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`)
      let text = ''
      for await (const chunk of socket) text += chunk
      return Number(text.split(' ')[1])
    }
    t.equal(await ask('one.test', 'one.test'), 200)
    t.equal(await ask('one.test', 'a.img.one.test'), 200, 'another name of the same tenant')
    t.equal(await ask('two.test', 'one.test'), 421)
    const session = connectHttp2(`https://127.0.0.1:${port}`, {
      servername: 'two.test',
      rejectUnauthorized: false,
    })
    t.teardown(() => session.destroy())
    const stream = session.request({ ':authority': 'one.test', ':path': '/' })
    const [headers] = await once(stream, 'response')
    t.equal(headers[':status'], 421)
  },
)
