import { connect, type TLSSocket } from 'node:tls'
import { startLarder } from './peers.ts'
import { residentBytes } from './processes.ts'

/** What an idle TLS connection costs: 10,000 of them, each of which has had one answer. */

const BATCH = 100

export async function measureIdle(folder: string, count: number): Promise<number> {
  const larder = await startLarder({ folder, originPort: 1 })
  const sockets: TLSSocket[] = []
  try {
    // The first ones grow what is never given back; they are not counted.
    await open(sockets, larder.httpsPort, 500)
    const before = residentBytes(larder.pid)
    await open(sockets, larder.httpsPort, count)
    await new Promise((resolve) => setTimeout(resolve, 3000))
    return (residentBytes(larder.pid) - before) / count
  } finally {
    for (const socket of sockets) socket.destroy()
    await larder.stop()
  }
}

async function open(sockets: TLSSocket[], port: number, count: number): Promise<void> {
  for (let opened = 0; opened < count; opened += BATCH) {
    const batch = Array.from({ length: BATCH }, () => answered(port))
    sockets.push(...(await Promise.all(batch)))
  }
}

function answered(port: number): Promise<TLSSocket> {
  return new Promise((resolve, reject) => {
    const options = { port, host: '127.0.0.1', servername: 'localhost', rejectUnauthorized: false }
    const socket = connect(options, () =>
      socket.write('OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n'),
    )
    socket.once('data', () => resolve(socket))
    socket.once('error', reject)
  })
}
