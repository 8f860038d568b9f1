import { readFileSync } from 'node:fs'
import { createServer } from 'node:tls'

/** The least that Node can do: handshakes with the suites of Larder's default policy. Arguments: port, folder. */

const [port, folder] = process.argv.slice(2)
const server = createServer(
  {
    key: readFileSync(`${folder}/server.key`),
    cert: readFileSync(`${folder}/server.crt`),
    ALPNProtocols: ['h2', 'http/1.1'],
    honorCipherOrder: true,
    ecdhCurve: 'X25519MLKEM768:X25519:prime256v1:secp384r1',
    ciphers: 'TLS_AES_128_GCM_SHA256:ECDHE-ECDSA-AES128-GCM-SHA256',
  },
  (socket) => {
    socket.on('error', () => {})
    socket.resume()
  },
)
server.on('tlsClientError', () => {})
server.listen(Number(port), '127.0.0.1')
