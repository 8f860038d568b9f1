import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import t from 'tap'
import { startLarder, startOrigin, temporaryFolder, waitFor } from '../support/larder-process.ts'
import { runProgram, skipWithout } from '../support/programs.ts'

const IMAGES = 50
/** One transparent dot. */
const GIF = Buffer.from('R0lGODlhAQABAAAAACH5BAEKAAEALAAAAAABAAEAAAICTAEAOw==', 'base64')
const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
  '--ignore-certificate-errors',
  '--virtual-time-budget=20000',
  '--dump-dom',
]

const skip = skipWithout('chromium', 'chromium')
t.setTimeout(90_000)

t.test('chromium loads a page with 50 images over one HTTP/2 connection', { skip }, async (t) => {
  const tags = Array.from({ length: IMAGES }, (_, number) => `<img src="/${number}.gif">`).join('')
  const script = `<script>onload = () => {
    const loaded = [...document.images].filter((image) => image.naturalWidth === 1).length
    document.title = loaded + ' loaded, ' + performance.getEntriesByType('resource')
      .filter((entry) => entry.nextHopProtocol === 'h2').length + ' over h2'
  }</script>`
  const origin = await startOrigin(t, (request, response) => {
    response.setHeader('cache-control', 'max-age=600')
    if (request.url?.endsWith('.gif')) response.setHeader('content-type', 'image/gif').end(GIF)
    else response.setHeader('content-type', 'text/html').end(`<title>-</title>${tags}${script}`)
  })
  const tenants = [
    { id: 'a', hosts: ['localhost'], origins: [{ url: origin }], certificate: 'self-signed' },
  ]
  const logging = { access: { output: 'access.log' } }
  const words = ['--https', '127.0.0.1:0', '--workers', '1']
  const larder = await startLarder(t, { tenants, logging }, words)
  const url = `https://localhost:${larder.httpsPort}/page`
  const profile = `--user-data-dir=${temporaryFolder(t)}`
  const { stdout } = await runProgram('chromium', [...FLAGS, profile, url])
  t.match(stdout, `<title>${IMAGES} loaded, ${IMAGES} over h2</title>`)

  const log = join(larder.folder, 'access.log')
  const lines = () => readFileSync(log, 'utf8').split('\n').slice(0, -1)
  await waitFor(() => lines().filter((line) => line.includes('.gif"')).length === IMAGES)
  for (const line of lines()) t.match(JSON.parse(line), { protocol: 'HTTP/2', scheme: 'https' })
})
