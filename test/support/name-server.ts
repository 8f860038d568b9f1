import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import type { Test } from 'tap'

/** What a name server says: addresses, that there is no such name, that it cannot tell, or nothing at all. */
export type NameAnswer = readonly string[] | 'no such name' | 'failing' | 'silent'

export interface NameServer {
  readonly address: string
  /** Of A and AAAA together. */
  queries: number
  answer: NameAnswer
}

const A = 1

/** A name server on UDP that gives the same answer for every name (RFC 1035 §4). IPv4 addresses alone. */
export async function startNameServer(t: Test, answer: NameAnswer): Promise<NameServer> {
  const socket = createSocket('udp4')
  socket.bind(0, '127.0.0.1')
  await once(socket, 'listening')
  t.teardown(() => socket.close())
  const server: NameServer = { address: `127.0.0.1:${socket.address().port}`, queries: 0, answer }
  socket.on('message', (query, peer) => {
    server.queries++
    if (server.answer === 'silent') return
    socket.send(response(query, server.answer), peer.port, peer.address)
  })
  return server
}

/** RFC 1035 §4.1.1 */
const NO_ERROR = 0
const SERVER_FAILURE = 2
const NAME_ERROR = 3

function response(query: Buffer, answer: Exclude<NameAnswer, 'silent'>): Buffer {
  const questionEnd = query.indexOf(0, 12) + 5
  const question = query.subarray(12, questionEnd)
  const type = query.readUInt16BE(questionEnd - 4)
  const addresses = typeof answer === 'string' || type !== A ? [] : answer
  const code =
    answer === 'no such name' ? NAME_ERROR : answer === 'failing' ? SERVER_FAILURE : NO_ERROR
  const head = Buffer.alloc(12)
  head.writeUInt16BE(query.readUInt16BE(0), 0)
  // A response, recursion desired and available.
  head.writeUInt16BE(0x8180 | code, 2)
  head.writeUInt16BE(1, 4)
  head.writeUInt16BE(addresses.length, 6)
  return Buffer.concat([head, question, ...addresses.map(addressRecord)])
}

function addressRecord(address: string): Buffer {
  const octets = address.split('.').map(Number)
  // The name is that of the question, at octet 12; type A, class IN, 1 s to live, 4 octets.
  return Buffer.from([0xc0, 12, 0, A, 0, 1, 0, 0, 0, 1, 0, 4, ...octets])
}
