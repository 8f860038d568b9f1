import { execFile } from 'node:child_process'
import { Agent, request } from 'node:http'
import { promisify } from 'node:util'
import t from 'tap'
import { Fields } from '../../http/fields.ts'
import { startServer } from './support/server-under-test.ts'

const run = promisify(execFile)

function ask(agent: Agent, port: number, method: string, body: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const headers = body === '' ? {} : { 'transfer-encoding': 'chunked', expect: '100-continue' }
    const asked = request({ agent, port, host: '127.0.0.1', method, path: '/x', headers })
    asked.on('error', reject)
    asked.on('response', (response) => {
      let text = ''
      response.setEncoding('latin1')
      response.on('data', (chunk) => {
        text += chunk
      })
      response.on('end', () => resolve(`${response.statusCode} ${text}`))
      response.on('error', reject)
    })
    if (body === '') asked.end()
    else {
      asked.on('continue', () => asked.end(body))
      asked.flushHeaders()
    }
  })
}

t.test('the node:http client with keep-alive', async (t) => {
  const { port, door, sockets } = await startServer(t)
  const agent = new Agent({ keepAlive: true, maxSockets: 4 })
  t.teardown(() => agent.destroy())
  for (let round = 0; round < 20; round++) {
    const answers = await Promise.all([
      ask(agent, port, 'GET', ''),
      ask(agent, port, 'POST', 'hello'),
      ask(agent, port, 'HEAD', ''),
      ask(agent, port, 'PUT', 'x'.repeat(100_000)),
    ])
    t.same(answers, ['200 no body', '200 hello', '200 ', `200 ${'x'.repeat(100_000)}`])
  }
  t.equal(door.requests.length, 80)
  t.ok(sockets.length <= 4)
})

t.test('curl: several transfers on one connection, uploads, HTTP/1.0', async (t) => {
  const { port, door, sockets } = await startServer(t)
  const url = `http://127.0.0.1:${port}/a`
  try {
    await run('curl', ['--version'])
  } catch {
    t.comment('curl is not installed')
    return
  }
  const { stdout } = await run('curl', ['-s', url, url, '-d', 'posted'])
  t.equal(stdout, 'postedposted')
  t.equal(sockets.length, 1)
  t.equal((await run('curl', ['-s', '-0', url])).stdout, 'no body')
  t.match((await run('curl', ['-s', '-I', url])).stdout, /^HTTP\/1\.1 200 OK\r\n/)
  door.answer = (exchange) => {
    const writer = exchange.respondStreaming({ status: 200, fields: new Fields() })
    writer.write(Buffer.from('one '))
    setImmediate(() => {
      writer.write(Buffer.from('two'))
      writer.end(Fields.from([['x-sum', '7']]))
    })
  }
  t.equal((await run('curl', ['-s', url])).stdout, 'one two')
  t.equal((await run('curl', ['-s', '-0', url])).stdout, 'one two')
})
