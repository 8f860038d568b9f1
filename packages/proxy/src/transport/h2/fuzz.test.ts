import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { CLIENT_PREFACE, FRAME } from './frame.ts'
import { get, ReferenceEncoder, request } from './test-support/block.ts'
import { startEngine } from './test-support/engine-server.ts'
import {
  data,
  frame,
  headers,
  RawClient,
  resetStream,
  settings,
  uint32,
  windowUpdate,
} from './test-support/raw-client.ts'
import { readBody, readyAnswer, respondText, ScriptedDoor } from './test-support/scripted-door.ts'

const ROUNDS = Number(process.env.FUZZ_ROUNDS ?? 400)
const SEED = Number(process.env.FUZZ_SEED ?? 9113)

/** mulberry32: the same seed, the same attack. */
function randomFrom(seed: number): (below: number) => number {
  let state = seed
  return (below) => {
    state = (state + 0x6d2b79f5) | 0
    let x = Math.imul(state ^ (state >>> 15), 1 | state)
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x
    return ((x ^ (x >>> 14)) >>> 0) % below
  }
}

/** An honest connection's worth of frames, as a list to be spoilt. */
function honestFrames(random: (below: number) => number): Buffer[] {
  const encoder = new ReferenceEncoder()
  const frames = [settings([4, random(100_000)], [1, 0])]
  for (let id = 1; id < 20; id += 2) {
    const block = encoder.encode(
      [
        [':method', 'GET'],
        [':scheme', 'http'],
        [':path', `/${random(3) === 0 ? 'hit' : id}`],
        [':authority', 'a.test'],
        ['cookie', 'a=b'],
      ],
      () => random(1000),
    )
    frames.push(headers(id, block))
    frames.push(windowUpdate(random(2) * id, 1 + random(10_000)))
    frames.push(frame(FRAME.ping, 0, 0, Buffer.alloc(8)))
    frames.push(frame(FRAME.priorityUpdate, 0, 0, Buffer.concat([uint32(id), Buffer.from('u=1')])))
  }
  frames.push(headers(21, request('POST', '/'), false), data(21, 'abc'), data(21, 'd', true))
  frames.push(headers(23, get('/')), resetStream(23))
  return frames
}

function spoil(frames: Buffer[], random: (below: number) => number): Buffer {
  const list = frames.slice()
  for (let i = random(4); i >= 0; i--) {
    const at = random(list.length)
    const kind = random(5)
    if (kind === 0) list.splice(at, 1)
    else if (kind === 1) list.splice(at, 0, list[random(list.length)])
    else if (kind === 2) [list[0], list[at]] = [list[at], list[0]]
    else {
      const changed = Buffer.from(list[at])
      if (changed.length > 0) changed[random(changed.length)] = random(256)
      list[at] = kind === 3 ? changed : changed.subarray(0, random(changed.length))
    }
  }
  return Buffer.concat(list)
}

const CORPUS = new URL('../corpus/http2/', import.meta.url)
const RECORDED = readdirSync(CORPUS)
  .sort()
  .map((name) => readFileSync(new URL(name, CORPUS)).subarray(CLIENT_PREFACE.length))

/** A recorded connection with a few octets changed, doubled or left out. */
function mutate(random: (below: number) => number): Buffer {
  let bytes = Buffer.from(RECORDED[random(RECORDED.length)])
  for (let i = random(4); i >= 0; i--) {
    const at = random(bytes.length)
    const kind = random(3)
    if (kind === 0) bytes[at] = random(256)
    else if (kind === 1) bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1)])
    else bytes = Buffer.concat([bytes.subarray(0, at), bytes.subarray(random(at + 1))])
  }
  return bytes
}

t.test(`${ROUNDS} spoilt connections (seed ${SEED}) leave the server whole`, async (t) => {
  const random = randomFrom(SEED)
  const door = new ScriptedDoor()
  door.ready.set('/hit', readyAnswer(Buffer.alloc(20_000)))
  door.onExchange = async (exchange) => {
    try {
      await readBody(exchange)
    } catch {
      // Cut off by the attack: nobody is left to answer.
      return
    }
    respondText(exchange, 200, exchange.request.target)
  }
  const server = await startEngine(door)
  t.teardown(() => server.close())
  for (let round = 0; round < ROUNDS; round++) {
    const client = await RawClient.connect(server.port, { bare: true })
    const recorded = round % 2 === 1
    const bytes = recorded ? mutate(random) : spoil(honestFrames(random), random)
    const cut = random(bytes.length)
    client.send(CLIENT_PREFACE, bytes.subarray(0, cut))
    client.send(bytes.subarray(cut))
    client.socket.end()
    await client.ended
  }
  for (const { exchange, closed } of door.seen) {
    await closed
    if (!/^[/*]/.test(exchange.request.target)) t.fail('a request that is not well-formed')
  }
  t.strictSame(
    door.refusals.filter(({ status }) => status === 500),
    [],
    'no defect of ours came to light',
  )
  const client = await RawClient.connect(server.port)
  client.send(headers(1, get('/after')))
  t.equal((await client.response(1)).body.toString(), '/after')
  client.destroy()
})
