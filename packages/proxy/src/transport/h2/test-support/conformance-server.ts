/**
 * A plain server for conformance and load tools: every request gets a short text, `/hit` a ready answer of
 * BODY_BYTES, and request bodies are read and dropped. Run: PORT=8080 node conformance-server.ts
 */
import { readFileSync } from 'node:fs'
import { startEngine } from './engine-server.ts'
import { readBody, readyAnswer, respondText, ScriptedDoor } from './scripted-door.ts'

const { PORT = '8080', BODY_BYTES = '1024', KEY, CERT } = process.env

const door = new ScriptedDoor()
door.ready.set('/hit', readyAnswer(Buffer.alloc(Number(BODY_BYTES), 'x')))
door.answered = () => {}
door.handle = (exchange) => {
  readBody(exchange).then(
    () => respondText(exchange, 200, 'a short text, but not an empty one'),
    // The client went away in the middle; there is nobody to answer.
    () => {},
  )
}
const noLimit = 1e9
const server = await startEngine(door, {
  port: Number(PORT),
  limits: { maxRequestsPerConnection: noLimit, idleTimeoutMs: 5000 },
  tls:
    KEY !== undefined && CERT !== undefined
      ? { key: readFileSync(KEY, 'utf8'), cert: readFileSync(CERT, 'utf8') }
      : undefined,
})
process.stdout.write(`listening on ${server.port}\n`)
process.on('SIGTERM', () => {
  process.stdout.write(`${JSON.stringify(process.cpuUsage())}\n`)
  process.exit(0)
})
