import t from 'tap'
import { startLarder, startOrigin } from '../support/larder-process.ts'
import { runProgram, skipWithout } from '../support/programs.ts'

async function start(t: import('tap').Test) {
  const origin = await startOrigin(t, (_request, response) => {
    response.setHeader('cache-control', 'max-age=600')
    response.end('x'.repeat(1000))
  })
  const tenants = [
    { id: 'a', hosts: ['*', 'localhost'], origins: [{ url: origin }], certificate: 'self-signed' },
  ]
  const tls = { unknownServerName: 'default' }
  return startLarder(t, { tenants, tls }, ['--https', '127.0.0.1:0'])
}

const h2loadMissing = skipWithout('h2load', 'nghttp2-client')

t.test('h2load has every request answered', { skip: h2loadMissing }, async (t) => {
  const larder = await start(t)
  for (const protocol of [[], ['--h1']]) {
    const words = ['-n', '5000', '-c', '20', '-m', '10', ...protocol]
    const url = `https://127.0.0.1:${larder.httpsPort}/x`
    const { stdout } = await runProgram('h2load', [...words, url])
    t.match(stdout, /5000 succeeded, 0 failed, 0 errored, 0 timeout/)
    t.match(stdout, /status codes: 5000 2xx/)
  }
})

const nghttpMissing = skipWithout('nghttp', 'nghttp2-client')

t.test(
  'nghttp reads a response and its connection is sound',
  { skip: nghttpMissing },
  async (t) => {
    const larder = await start(t)
    const url = `https://127.0.0.1:${larder.httpsPort}/x`
    const { status, stdout } = await runProgram('nghttp', [
      '-v',
      '-y',
      '-n',
      '--expect-continue',
      url,
    ])
    t.equal(status, 0)
    t.match(stdout, /:status: 200/)
    t.notMatch(stdout, /GOAWAY.*PROTOCOL_ERROR|RST_STREAM/)
  },
)
