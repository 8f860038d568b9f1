import { readdirSync, readFileSync } from 'node:fs'
import t from 'tap'
import { parseResponses, RawClient } from './support/raw-client.ts'
import { startServer } from './support/server-under-test.ts'

/** Seeded, so that a failure can be repeated: the seed of each case is in its message. */
const CASES = Number(process.env.FUZZ_ROUNDS ?? 1500)
const FIRST_SEED = Number(process.env.FUZZ_SEED ?? 1)

const CORPUS = new URL('../corpus/http1/', import.meta.url)
const NAMES = readdirSync(CORPUS).sort()
const read = (name: string) => readFileSync(new URL(name, CORPUS), 'latin1')
const SEEDS = NAMES.filter((name) => !name.startsWith('refused-')).map(read)
const REFUSED = NAMES.filter((name) => name.startsWith('refused-')).map(read)

const TOKENS = [
  '\r\n',
  '\n',
  '\r',
  '\0',
  ' ',
  '\t',
  ':',
  ';',
  ',',
  '"',
  '0',
  '5',
  '\x0b',
  '\x7f',
  '\x80',
  '\xff',
  'chunked',
  '\r\n\r\n',
  'Content-Length: 3\r\n',
  'Transfer-Encoding: chunked\r\n',
  'Connection: close\r\n',
  'Host: c.test\r\n',
  'HTTP/1.0',
  '0\r\n\r\n',
]

/** Mulberry32. */
function random(seed: number): () => number {
  let state = seed
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
  }
}

function mutate(next: () => number): string {
  const pick = (count: number) => Math.floor(next() * count)
  let text = ''
  for (let i = 0; i <= pick(3); i++) text += SEEDS[pick(SEEDS.length)]
  if (pick(8) === 0) text += REFUSED[pick(REFUSED.length)]
  for (let i = 0; i <= pick(3); i++) {
    const at = pick(text.length)
    const kind = pick(4)
    if (kind === 0) text = text.slice(0, at) + text.slice(at + 1 + pick(4))
    else if (kind === 1) text = text.slice(0, at) + TOKENS[pick(TOKENS.length)] + text.slice(at)
    else if (kind === 2)
      text = text.slice(0, at) + String.fromCharCode(pick(256)) + text.slice(at + 1)
    else text = text.slice(0, at) + text.slice(at - pick(at + 1), at) + text.slice(at)
  }
  return text
}

t.test(
  'mutated requests: every answer is whole, and nothing is served behind a refusal',
  async (t) => {
    const { port, door, sockets } = await startServer(t)
    const failures: string[] = []
    let served = 0
    for (let seed = FIRST_SEED; seed < FIRST_SEED + CASES; seed++) {
      const next = random(seed)
      const text = mutate(next)
      const cut = Math.floor(next() * text.length)
      door.requests.length = 0
      door.refusals.length = 0
      door.ends.length = 0
      door.bodies.length = 0
      const client = await RawClient.connect(port)
      client.send(text.slice(0, cut)).send(text.slice(cut)).socket.end()
      const received = await client.rest()
      served += door.requests.length
      const problem = judge(received)
      if (problem !== null) failures.push(`seed ${seed}: ${problem}\n${JSON.stringify(text)}`)
    }
    t.same(failures, [])
    t.ok(served > CASES / 2, `${served} requests were whole enough to be served`)
    while (sockets.some((socket) => !socket.destroyed)) await new Promise(setImmediate)

    function judge(received: string): string | null {
      const methods = door.requests.map((request) => request.split(' ')[0])
      // A refusal has no body when what it refuses is HEAD.
      if (received.endsWith('\r\n\r\n')) methods.push('HEAD')
      const answers = parseResponses(received, methods).filter(({ status }) => status >= 200)
      const refused = answers.filter(({ status }) => status >= 400)
      if (refused.length > 1) return 'refused twice'
      if (refused.length === 1 && answers[answers.length - 1].status < 400)
        return 'served after refusal'
      if (door.refusals.length > 1) return 'logged two refusals'
      if (door.ends.length !== door.requests.length) return 'an exchange did not end exactly once'
      if (answers.length !== door.requests.length + door.refusals.length)
        return 'answers do not match'
      if (door.bodies.some((body) => body.ended === body.aborted)) return 'a body has no one end'
      return null
    }
  },
)
