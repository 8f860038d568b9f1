import { connect } from 'node:net'
import { parseArgs } from 'node:util'
import { Random } from './traces/random.ts'

/**
 * Load over HTTP/1.1 in which all connections share one list of keys: h2load gives the whole list to each of them, so that
 * many keys cannot be had from it without asking for each one many times. Prints how many answers were right; the first
 * that is not a 200 with the expected length ends it with status 1.
 */

const { values } = parseArgs({
  options: {
    port: { type: 'string', default: '' },
    size: { type: 'string', default: '' },
    first: { type: 'string', default: '0' },
    keys: { type: 'string', default: '' },
    requests: { type: 'string', default: '' },
    connections: { type: 'string', default: '' },
    random: { type: 'boolean', default: false },
    repeat: { type: 'string', default: '1' },
  },
})
const size = Number(values.size)
const first = Number(values.first)
const keys = Number(values.keys)
const requests = Number(values.requests)
const repeat = Number(values.repeat)
const random = new Random(keys + first)
const IDLE_LIMIT_MS = 30_000

let begun = 0
let answered = 0

function nextPath(): string {
  const i = Math.floor(begun++ / repeat)
  return `/${size}/${first + (values.random ? random.below(keys) : i % keys)}`
}

function client(): void {
  const socket = connect(Number(values.port), '127.0.0.1')
  let head = Buffer.alloc(0)
  let bodyLeft = -1
  const ask = () => {
    if (begun === requests) socket.end()
    else socket.write(`GET ${nextPath()} HTTP/1.1\r\nHost: localhost\r\n\r\n`)
  }
  const done = () => {
    bodyLeft = -1
    head = Buffer.alloc(0)
    answered++
    ask()
  }
  socket.setNoDelay()
  socket.setTimeout(IDLE_LIMIT_MS, () => fail(`no answer in ${IDLE_LIMIT_MS} ms`))
  socket.on('connect', ask)
  socket.on('error', (error) => fail(error.message))
  socket.on('close', () => {
    if (answered < requests && begun < requests) fail('a connection ended early')
  })
  socket.on('data', (chunk: Buffer) => {
    let bytes = chunk
    if (bodyLeft === -1) {
      head = Buffer.concat([head, chunk])
      const end = head.indexOf('\r\n\r\n')
      if (end === -1) return
      const text = head.latin1Slice(0, end).toLowerCase()
      if (!text.startsWith('http/1.1 200 ') || !text.includes(`\r\ncontent-length: ${size}`)) {
        fail(text)
      }
      bodyLeft = size
      bytes = head.subarray(end + 4)
    }
    bodyLeft -= bytes.length
    if (bodyLeft < 0) fail('more than was asked for')
    if (bodyLeft === 0) done()
  })
}

function fail(what: string): never {
  console.error(`after ${answered} answers: ${what}`)
  process.exit(1)
}

process.on('exit', () => console.log(answered))
for (let i = 0; i < Number(values.connections); i++) client()
