import { spawnSync } from 'node:child_process'
import t from 'tap'
import { startLarder, startOrigin } from '../support/larder-process.ts'
import { runProgram } from '../support/programs.ts'

/** Debian's own, whatever else is on PATH: its packages are the ones that CI installs. */
const PYTHON = '/usr/bin/python3'

const SCRIPT = `
import sys, httpx
for http2 in (False, True):
    with httpx.Client(http2=http2, http1=not http2, verify=False) as client:
        first = client.get(sys.argv[1] + '/page')
        second = client.get(sys.argv[1] + '/page')
        posted = client.post(sys.argv[1] + '/echo', content=iter([b'a' * 70000, b'b' * 70000]))
        print(second.http_version, second.status_code, second.text, 'hit' in second.headers['cache-status'],
              posted.status_code, posted.text)
`

function skip(): string | false {
  const isThere = spawnSync(PYTHON, ['-c', 'import httpx, h2']).status === 0
  if (isThere || process.env.CI) return false
  return 'httpx with h2 is not there: apt-get install python3-httpx python3-h2'
}

t.test(
  'httpx speaks HTTP/1.1 and HTTP/2 with it, uploads included',
  { skip: skip() },
  async (t) => {
    const origin = await startOrigin(t, (request, response) => {
      if (request.method === 'GET') {
        response.setHeader('cache-control', 'max-age=600')
        response.end('page')
        return
      }
      let bytes = 0
      request.on('data', (chunk: Buffer) => {
        bytes += chunk.length
      })
      request.on('end', () => response.end(`${bytes} bytes`))
    })
    const tenants = [
      { id: 'a', hosts: ['*'], origins: [{ url: origin }], certificate: 'self-signed' },
    ]
    const larder = await startLarder(t, { tenants }, ['--https', '127.0.0.1:0'])
    const url = `https://127.0.0.1:${larder.httpsPort}`
    const { status, stdout, stderr } = await runProgram(PYTHON, ['-c', SCRIPT, url])
    t.equal(status, 0, stderr)
    t.equal(
      stdout,
      'HTTP/1.1 200 page True 200 140000 bytes\nHTTP/2 200 page True 200 140000 bytes\n',
    )
  },
)
