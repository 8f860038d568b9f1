import t, { type Test } from 'tap'
import { CLIENT_PREFACE } from '../../packages/proxy/src/transport/h2/frame.ts'
import { block, type Line } from '../../packages/proxy/src/transport/h2/test-support/block.ts'
import { headers, settings } from '../../packages/proxy/src/transport/h2/test-support/raw-client.ts'
import { type GeneratedRequest, generateRequest, http1Bytes, mutate, Random } from './generate.ts'
import { type MemorySocket, makeWorld } from './world.ts'

/**
 * A hit through the synchronous door must be, octet for octet, what the general door would have answered. Two worlds
 * that differ in nothing but the door get the same requests. `LARDER_DOOR_CASES=1000000` runs the long version.
 */
const CASES = Number(process.env.LARDER_DOOR_CASES ?? 40_000)
const SEED = Number(process.env.LARDER_DOOR_SEED ?? 20_261_120)
const PER_CONNECTION = 10

t.test('both doors give the same HTTP/1.1 octets for the same requests', async (t) => {
  const random = new Random(SEED)
  await compare(t, 'h1', () => {
    const requests: Buffer[] = []
    for (let i = 1; i <= PER_CONNECTION; i++) {
      const bytes = http1Bytes(generateRequest(random), i === PER_CONNECTION, random)
      requests.push(random.chance(40) ? mutate(bytes, random) : bytes)
    }
    return [Buffer.concat(requests)]
  })
})

t.test('both doors give the same HTTP/2 octets for the same requests', async (t) => {
  const random = new Random(SEED + 1)
  await compare(t, 'h2', () => {
    const frames = [CLIENT_PREFACE, settings()]
    for (let i = 0; i < PER_CONNECTION; i++) {
      const lines = http2Lines(generateRequest(random))
      frames.push(headers(i * 2 + 1, block(lines)))
    }
    // By itself: an error of the connection may overtake answers that one of the doors still holds.
    const mutated = mutate(block(http2Lines(generateRequest(random))), random)
    return [Buffer.concat(frames), headers(PER_CONNECTION * 2 + 1, mutated)]
  })
})

/** Which stream speaks first is a matter of priorities; what each one says is not. */
function byStream(output: Buffer): string {
  const streams = new Map<number, string>()
  for (let at = 0; at + 9 <= output.length; ) {
    const end = at + 9 + output.readUIntBE(at, 3)
    const id = output.readUInt32BE(at + 5)
    streams.set(id, (streams.get(id) ?? '') + output.toString('latin1', at, end))
    at = end
  }
  return [...streams]
    .sort(([a], [b]) => a - b)
    .map(([, text]) => text)
    .join('\n')
}

async function compare(t: Test, protocol: 'h1' | 'h2', input: () => Buffer[]): Promise<void> {
  const canonical = protocol === 'h2' ? byStream : (output: Buffer) => output.toString('latin1')
  const fast = makeWorld(true)
  const general = makeWorld(false)
  let differences = 0
  let answers = 0
  // One connection at a time: which requests meet in one collapsed call must not hang on the order of events.
  for (let done = 0; done < CASES; done += PER_CONNECTION) {
    const sent = input()
    const a = fast.connect(protocol)
    const b = general.connect(protocol)
    for (const bytes of sent) {
      a.push(bytes)
      b.push(bytes)
      await settled(a, b)
    }
    if (a.output.length > 0) answers++
    const fromFast = canonical(a.output)
    const fromGeneral = canonical(b.output)
    if (fromFast !== fromGeneral && differences++ === 0) {
      t.equal(fromFast, fromGeneral, String(sent))
    }
    a.destroy()
    b.destroy()
  }
  t.equal(differences, 0, 'connections whose answers differ')
  t.ok(answers * PER_CONNECTION >= CASES * 0.95, 'connections that were answered')
  t.ok(fast.hits.count > CASES / 10, `${fast.hits.count} hits took the synchronous door`)
  t.equal(general.hits.count, 0)
}

/** Until neither socket has written anything for three turns of the loop. */
async function settled(a: MemorySocket, b: MemorySocket): Promise<void> {
  let before = -1
  let quiet = 0
  while (quiet < 3) {
    await new Promise((resolve) => setImmediate(resolve))
    const written = a.writtenBytes + b.writtenBytes
    quiet = written === before ? quiet + 1 : 0
    before = written
  }
}

function http2Lines({ method, target, host, fields }: GeneratedRequest): Line[] {
  return [
    [':method', method],
    [':scheme', 'http'],
    [':path', target],
    [':authority', host],
    ...fields,
  ]
}
