import { execFileSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { connect } from 'node:tls'
import t from 'tap'
import { get, startLarder, startOrigin, waitFor } from '../support/larder-process.ts'
import { skipWithout } from '../support/programs.ts'

const pattern = readFileSync('/proc/sys/kernel/core_pattern', 'utf8').trim()
const elsewhere = /^\||\//.test(pattern) ? `core files go to '${pattern}' here` : false
const unprivileged = process.getuid?.() === 0 ? false : 'only root may allow core files for certain'
const skip = elsewhere || unprivileged || skipWithout('prlimit', 'util-linux')

t.test('a worker that crashes leaves no private key in its core file', { skip }, async (t) => {
  const url = await startOrigin(t, (_request, response) => response.end('ok'))
  const tenant = { id: 'a', hosts: ['a.test'], origins: [{ url }], certificate: 'self-signed' }
  const larder = await startLarder(t, {
    workers: 1,
    listen: { https: ['127.0.0.1:0'] },
    tenants: [tenant],
  })
  const pid = (await larder.workers())[0].pid ?? 0
  // Its key is in use.
  await new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: larder.httpsPort, servername: 'a.test' }
    const socket = connect({ ...options, rejectUnauthorized: false }, () =>
      resolve(socket.destroy()),
    )
    socket.on('error', reject)
  })
  execFileSync('prlimit', ['--pid', `${pid}`, '--core=unlimited'])
  process.kill(pid, 'SIGABRT')
  await waitFor(() => larder.stderr.includes('worker ended and is replaced'))
  const cores = readdirSync(larder.folder).filter((name) => name.startsWith('core'))
  t.equal(cores.length, 1, 'there is a core file')
  const core = readFileSync(join(larder.folder, cores[0]))
  const key = readFileSync(join(larder.folder, '.larder', 'a.key'), 'utf8')
  const lines = key.split('\n').filter((line) => line.length > 40)
  t.ok(lines.length > 0)
  for (const line of lines) {
    t.notOk(core.includes(line), 'as text')
    t.notOk(core.includes(Buffer.from(line, 'base64').subarray(3, 40)), 'as octets')
  }
  t.equal((await get(`${larder.adminUrl}/healthz`)).status, 200)
})
